//! The open loop: calls go out when they are due, whatever has become of those before.
//!
//! The pacer sleeps until the next call is due and hands it to an idle slot, or makes a slot while there
//! may be more. When all are busy the schedule itself is the queue: it is not drawn further until a slot
//! ends its call and takes what is overdue. So a slow target costs no memory, however long it stalls.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::Notify;

use super::closed::Moments;
use super::{Cut, Lane, Slot};
use crate::clock::{Timer, now};
use crate::plan::Due;
use crate::schedule::Schedule;

/// A call that is due, on its way to a slot.
pub(super) struct Job {
    due: Due,
    moment: Instant,
    ready: Instant,
}

struct Pacer {
    schedule: RefCell<Schedule>,
    head: Cell<Option<Due>>,
    idle: RefCell<Vec<Rc<Slot>>>,
    most: usize,
    made: Cell<usize>,
    /// Since when a slot has been free without a break.
    free_since: Cell<Instant>,
    freed: Notify,
}

pub(super) async fn run(
    lane: &Rc<Lane>,
    mut schedule: Schedule,
    most: usize,
) -> std::io::Result<()> {
    let mut timer = Timer::new()?;
    let head = Cell::new(schedule.next());
    let pacer = Rc::new(Pacer {
        schedule: RefCell::new(schedule),
        head,
        idle: RefCell::default(),
        most,
        made: Cell::new(0),
        free_since: Cell::new(lane.start),
        freed: Notify::new(),
    });
    while let Some(due) = pacer.head.get() {
        let moment = lane.start + due.at;
        let at = now();
        if moment > at {
            tokio::select! {
                () = timer.until(moment) => {}
                () = lane.shared.stop.cancelled() => break,
            }
        } else if lane.stopped() {
            break;
        } else if let Some(slot) = pacer.free_slot(lane) {
            let ready = moment.max(pacer.free_since.get());
            pacer.draw();
            slot.job.set(Some(Job { due, moment, ready }));
            slot.wake();
        } else if lane.end.is_some_and(|end| at >= end) {
            break;
        } else {
            pacer.wait_for_slot(lane, &mut timer).await;
        }
    }
    // An idle tail of the profile is part of the run: scaling down is watched in it.
    if let Some(end) = lane.end
        && !pacer.schedule.borrow().counted_out()
        && !lane.stopped()
    {
        tokio::select! {
            () = timer.until(end) => {}
            () = lane.shared.stop.cancelled() => {}
        }
    }
    pacer.head.set(None);
    for slot in lane.slots.borrow().iter() {
        slot.closing.set(true);
        slot.wake();
    }
    lane.slots_ended().await;
    Ok(())
}

impl Pacer {
    fn draw(&self) {
        self.head.set(self.schedule.borrow_mut().next());
    }

    /// The slot that was busy last: its connection is warm.
    fn free_slot(self: &Rc<Self>, lane: &Rc<Lane>) -> Option<Rc<Slot>> {
        if let Some(slot) = self.idle.borrow_mut().pop() {
            return Some(slot);
        }
        if self.made.get() == self.most {
            return None;
        }
        self.made.set(self.made.get() + 1);
        let slot = lane.new_slot();
        let (pacer, lane, task_slot) = (Rc::clone(self), Rc::clone(lane), Rc::clone(&slot));
        tokio::task::spawn_local(async move {
            pacer.work(&lane, &task_slot).await;
            lane.slot_ended();
        });
        Some(slot)
    }

    async fn wait_for_slot(&self, lane: &Lane, timer: &mut Timer) {
        let end = async {
            match lane.end {
                Some(end) => timer.until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.freed.notified() => {}
            () = end => {}
            () = lane.shared.stop.cancelled() => {}
        }
    }

    async fn work(&self, lane: &Lane, slot: &Rc<Slot>) {
        while let Some(job) = next_job(slot).await {
            let mut moments = Moments { due: job.moment, ready: job.ready, sent: now() };
            let mut due = job.due;
            loop {
                let done = lane.call(slot, due, moments).await;
                let Some((overdue, moment)) = self.overdue(lane, done) else {
                    self.rest(slot, done);
                    break;
                };
                due = overdue;
                moments = Moments { due: moment, ready: moment.max(done), sent: done };
            }
        }
    }

    /// What should have gone out while all slots were busy.
    fn overdue(&self, lane: &Lane, at: Instant) -> Option<(Due, Instant)> {
        let due = self.head.get()?;
        let moment = lane.start + due.at;
        if moment > at || lane.stopped() || lane.end.is_some_and(|end| at >= end) {
            return None;
        }
        self.draw();
        Some((due, moment))
    }

    fn rest(&self, slot: &Rc<Slot>, at: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() && self.made.get() == self.most {
            self.free_since.set(at);
        }
        idle.push(Rc::clone(slot));
        drop(idle);
        self.freed.notify_one();
    }
}

async fn next_job(slot: &Slot) -> Option<Job> {
    poll_fn(|cx| {
        if let Some(job) = slot.job.take() {
            return Poll::Ready(Some(job));
        }
        if slot.closing.get() || slot.cut.get() == Some(Cut::Stopped) {
            return Poll::Ready(None);
        }
        slot.wait(cx.waker());
        Poll::Pending
    })
    .await
}
