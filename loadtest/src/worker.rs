//! One thread of the engine: a runtime of its own, its share of connections, its own record.
//!
//! A *slot* is one call that may be open; it is a task. Slots of a closed loop send when their last call
//! has ended; slots of an open loop are handed what is due by the pacer. A coarse sweep looks at all
//! deadlines, so that no call needs a timer.

mod call;
mod closed;
mod open;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::now;
use crate::connection::dial::Dialer;
use crate::connection::request::{Origin, Prepared};
use crate::connection::{Connection, READ_SIZE};
use crate::plan::Transport;
use crate::record::{Recorder, Setup};
use crate::schedule::{Picker, Schedule};

/// What all threads read and none writes, but for the count of calls.
pub(crate) struct Shared {
    pub(crate) targets: Vec<Prepared>,
    pub(crate) origins: Vec<Origin>,
    pub(crate) transport: Transport,
    pub(crate) timeout: Option<Duration>,
    /// Gap between calls of one worker of a closed loop.
    pub(crate) gap: Option<Duration>,
    pub(crate) picker: Picker,
    pub(crate) budget: Budget,
    pub(crate) stop: CancellationToken,
}

/// The calls of a closed loop, taken by threads in blocks.
pub(crate) struct Budget {
    next: AtomicU64,
    calls: u64,
    block: u64,
}

impl Budget {
    pub(crate) fn new(calls: Option<u64>, slots: usize) -> Self {
        let block =
            calls.map_or(1 << 16, |calls| (calls / (slots as u64 * 8).max(1)).clamp(1, 256));
        Self { next: AtomicU64::new(0), calls: calls.unwrap_or(u64::MAX), block }
    }

    fn take(&self) -> std::ops::Range<u64> {
        let from = self.next.fetch_add(self.block, Ordering::Relaxed);
        from.min(self.calls)..from.saturating_add(self.block).min(self.calls)
    }
}

/// One thread's part of the run.
pub(crate) struct Part {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dialer: Dialer,
    pub(crate) slots: usize,
    pub(crate) schedule: Option<Schedule>,
    /// The profile's or the run's end, from the start.
    pub(crate) end: Option<Duration>,
    pub(crate) setup: Setup,
    pub(crate) start: tokio::sync::oneshot::Receiver<Instant>,
}

/// Runs one thread's part to its end.
pub(crate) fn run(part: Part) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())?;
    runtime.block_on(async {
        // Without a start the run was given up.
        let Ok(start) = part.start.await else { return Ok(()) };
        let lane = Rc::new(Lane {
            shared: part.shared,
            dialer: part.dialer,
            origins: RefCell::default(),
            idle: RefCell::default(),
            http2: RefCell::default(),
            greeting: tokio::sync::Mutex::default(),
            scratch: RefCell::new(vec![0; READ_SIZE]),
            recorder: RefCell::new(Recorder::new(part.setup, start)),
            slots: RefCell::default(),
            live: Cell::new(0),
            all_done: Notify::new(),
            start,
            end: part.end.map(|end| start + end),
        });
        lane.origins.borrow_mut().clone_from(&lane.shared.origins);
        let sweep = tokio::task::spawn_local(sweep(Rc::clone(&lane)));
        match part.schedule {
            Some(schedule) => open::run(&lane, schedule, part.slots).await?,
            None => closed::run(&lane, part.slots).await?,
        }
        sweep.abort();
        lane.recorder.borrow_mut().finish(now());
        Ok(())
    })
}

/// Everything of one thread.
struct Lane {
    shared: Arc<Shared>,
    dialer: Dialer,
    /// The run's, and those that redirects led to.
    origins: RefCell<Vec<Origin>>,
    /// Open connections that carry no call, by origin.
    idle: RefCell<Vec<Vec<Connection>>>,
    /// HTTP/2 connections and how many slots were promised each, by origin.
    http2: RefCell<Vec<Vec<call::Shared2>>>,
    greeting: tokio::sync::Mutex<()>,
    scratch: RefCell<Vec<u8>>,
    recorder: RefCell<Recorder>,
    slots: RefCell<Vec<Rc<Slot>>>,
    /// Slots whose task has not ended.
    live: Cell<usize>,
    all_done: Notify,
    start: Instant,
    end: Option<Instant>,
}

impl Lane {
    fn stopped(&self) -> bool {
        self.shared.stop.is_cancelled()
    }

    fn new_slot(&self) -> Rc<Slot> {
        let slot = Rc::new(Slot::new());
        self.slots.borrow_mut().push(Rc::clone(&slot));
        self.live.set(self.live.get() + 1);
        slot
    }

    fn slot_ended(&self) {
        self.live.set(self.live.get() - 1);
        if self.live.get() == 0 {
            self.all_done.notify_one();
        }
    }

    async fn slots_ended(&self) {
        while self.live.get() > 0 {
            self.all_done.notified().await;
        }
    }
}

/// Why a call was ended from outside.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Cut {
    TimedOut,
    Stopped,
}

/// A call that may be open.
struct Slot {
    deadline: Cell<Option<Instant>>,
    cut: Cell<Option<Cut>>,
    waker: RefCell<Waker>,
    job: Cell<Option<open::Job>>,
    closing: Cell<bool>,
}

impl Slot {
    fn new() -> Self {
        Self {
            deadline: Cell::new(None),
            cut: Cell::new(None),
            waker: RefCell::new(Waker::noop().clone()),
            job: Cell::new(None),
            closing: Cell::new(false),
        }
    }

    fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    fn wait(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        if !kept.will_wake(waker) {
            kept.clone_from(waker);
        }
    }

    /// Runs `future` until it ends or this slot is cut.
    async fn until_cut<T>(&self, future: impl Future<Output = T>) -> Result<T, Cut> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Some(cut) = self.cut.take() {
                return Poll::Ready(Err(cut));
            }
            self.wait(cx.waker());
            future.as_mut().poll(cx).map(Ok)
        })
        .await
    }
}

/// How often deadlines are looked at; a call may last so much longer than it should.
const SWEEP: Duration = Duration::from_millis(10);

/// Ends calls that last too long, or all when the run is stopped, and sends records in idle seconds.
async fn sweep(lane: Rc<Lane>) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let stop = lane.shared.stop.clone();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => {
                for slot in lane.slots.borrow().iter() {
                    slot.cut.set(Some(Cut::Stopped));
                    slot.wake();
                }
                return;
            }
        }
        let at = now();
        lane.recorder.borrow_mut().tick(at);
        if lane.shared.timeout.is_some() {
            for slot in lane.slots.borrow().iter() {
                if slot.deadline.get().is_some_and(|deadline| deadline <= at) {
                    slot.deadline.set(None);
                    slot.cut.set(Some(Cut::TimedOut));
                    slot.wake();
                }
            }
        }
    }
}
