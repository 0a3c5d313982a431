//! The closed loop: each slot sends when its last call has ended, hey's `-q` at most so often.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use super::{Lane, Slot};
use crate::clock::{Timer, now};
use crate::plan::Due;

/// Calls this thread has taken from the budget and not sent yet.
type Taken = RefCell<Range<u64>>;

pub(super) async fn run(lane: &Rc<Lane>, slots: usize) -> std::io::Result<()> {
    let taken = Rc::new(Taken::default());
    for _ in 0..slots {
        let timer = lane.shared.gap.map(|_| Timer::new()).transpose()?;
        let (lane, slot, taken) = (Rc::clone(lane), lane.new_slot(), Rc::clone(&taken));
        tokio::task::spawn_local(async move {
            work(&lane, &slot, &taken, timer).await;
            lane.slot_ended();
        });
    }
    lane.slots_ended().await;
    Ok(())
}

async fn work(lane: &Lane, slot: &Slot, taken: &Taken, mut timer: Option<Timer>) {
    let mut at = now();
    let mut turn = at;
    while !lane.stopped() {
        if let (Some(timer), Some(gap)) = (&mut timer, lane.shared.gap) {
            if lane.end.is_some_and(|end| turn >= end)
                || slot.until_cut(timer.until(turn)).await.is_err()
            {
                return;
            }
            at = now();
            // Like a ticker: a turn that was missed is lost, one that is due waits.
            turn = (turn + gap).max(at.checked_sub(gap).unwrap_or(at));
        }
        if lane.end.is_some_and(|end| at >= end) {
            return;
        }
        let Some(n) = next(taken, lane) else { return };
        let due = Due {
            at: at - lane.start,
            target: lane.shared.picker.pick(n),
            takes: None,
            body: None,
        };
        at = lane.call(slot, due, Moments { due: at, ready: at, sent: at }).await;
    }
}

/// When a call was due, when a connection was free for it, and when it goes out.
#[derive(Copy, Clone, Debug)]
pub(super) struct Moments {
    pub(super) due: Instant,
    pub(super) ready: Instant,
    pub(super) sent: Instant,
}

fn next(taken: &Taken, lane: &Lane) -> Option<u64> {
    let mut taken = taken.borrow_mut();
    if taken.is_empty() {
        *taken = lane.shared.budget.take();
    }
    taken.next()
}
