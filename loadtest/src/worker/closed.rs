//! The closed loop: each slot sends when its last call has ended, hey's `-q` at most so often.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

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
    let mut turns = lane.shared.gap.map(|gap| Turns::new(lane.start, gap, lane.end));
    while !lane.stopped() {
        match (&mut timer, &mut turns) {
            (Some(timer), Some(turns)) => {
                let Some(turn) = turns.next(at) else { return };
                if slot.until_cut(timer.until(turn)).await.is_err() {
                    return;
                }
                at = now();
            }
            _ if lane.end.is_some_and(|end| at >= end) => return,
            _ => {}
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

/// When a worker with a pace of its own may send: like a ticker that first ticks after one gap, as hey's
/// does. A turn that was missed is lost, one that is due waits.
struct Turns {
    next: Instant,
    gap: Duration,
    end: Option<Instant>,
}

impl Turns {
    fn new(start: Instant, gap: Duration, end: Option<Instant>) -> Self {
        Self { next: start + gap, gap, end }
    }

    /// The turn after a call that ended at `at`; none when the run is over by then. A turn on the end
    /// itself still counts, or 10/s for a second would be 9 calls.
    fn next(&mut self, at: Instant) -> Option<Instant> {
        let turn = self.next.max(at.checked_sub(self.gap).unwrap_or(at));
        // Gaps are whole nanoseconds: their sum may miss the end by some.
        let edge = self.gap / 100;
        let over = |end: Instant| turn > end + edge || (at >= end && turn + edge < end);
        if self.end.is_some_and(over) {
            return None;
        }
        self.next = turn + self.gap;
        Some(turn)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns in milliseconds after the start, when every call takes `takes`.
    fn turns(gap: u64, end: u64, takes: u64) -> Vec<u128> {
        let (start, ms) = (now(), Duration::from_millis);
        let mut turns = Turns::new(start, ms(gap), Some(start + ms(end)));
        let mut at = start;
        let mut found = Vec::new();
        while let Some(turn) = turns.next(at) {
            let sent = turn.max(at);
            found.push((sent - start).as_millis());
            at = sent + ms(takes);
        }
        found
    }

    #[test]
    fn a_worker_sends_after_each_gap_and_on_the_end() {
        assert_eq!(turns(250, 1000, 1), [250, 500, 750, 1000]);
        assert_eq!(turns(300, 1000, 1), [300, 600, 900]);
        assert_eq!(turns(2000, 1000, 1), []);
    }

    #[test]
    fn missed_turns_are_lost() {
        // Slower than its pace: one call after the other, none after the end.
        assert_eq!(turns(100, 1000, 350), [100, 450, 800]);
    }

    #[test]
    fn gaps_that_are_no_whole_nanoseconds_fill_the_time() {
        let start = now();
        let gap = Duration::from_secs_f64(1.0 / 7.0);
        let mut turns = Turns::new(start, gap, Some(start + Duration::from_secs(1)));
        let mut count = 0;
        while turns.next(start).is_some() {
            count += 1;
        }
        assert_eq!(count, 7);
    }
}
