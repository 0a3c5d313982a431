//! The meter of one function: who is inside, who came and went, and the integral of concurrency.
//!
//! A call touches one shard only, on a cache line of its own; what it costs is six additions. The
//! integral needs no ticking: an arrival subtracts its moment, an end adds its own, and a reader adds
//! `inside × now`. A reader takes the counters of a shard only when no call was half recorded.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tidegate_core::Moment;

use crate::gate::Tally;

/// How often a reader looks again when it meets a call that is being recorded.
const LOOKS: u32 = 64;

/// Counters of one function.
#[derive(Debug)]
pub(crate) struct Meter {
    shards: Box<[Shard]>,
    /// The largest integral ever told, since readings may cross while the integral must not shrink.
    told: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// First and last step of recording.
    tally: Tally,
    /// Arrivals whose moment is in `area`.
    entered: AtomicU64,
    /// Ends whose moment may be in `area`.
    leaving: AtomicU64,
    /// Sum of ends minus sum of arrivals, in nanoseconds, wrapping.
    area: AtomicU64,
    /// Moment of the last end plus one nanosecond; zero when none ever ended.
    last_end: AtomicU64,
}

/// Which shard a call was counted on.
#[derive(Copy, Clone, Debug)]
pub(crate) struct ShardIndex(u32);

/// Counters of one moment, consistent with each other.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) inside: u64,
    pub(crate) started: u64,
    pub(crate) completed: u64,
    pub(crate) concurrency_nanos: u64,
    pub(crate) last_end: Option<Moment>,
}

thread_local! {
    static THREAD: Cell<u32> = const { Cell::new(u32::MAX) };
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// A number of this thread: threads that record at the same time differ in it.
fn thread_number() -> u32 {
    THREAD.with(|number| {
        if number.get() == u32::MAX {
            let next = THREADS.fetch_add(1, Ordering::Relaxed) & 0xffff;
            number.set(u32::try_from(next).unwrap_or_default());
        }
        number.get()
    })
}

impl ShardIndex {
    pub(crate) fn get(self) -> usize {
        self.0 as usize
    }
}

impl Meter {
    /// A meter of this many shards, a power of two.
    pub(crate) fn new(shards: usize) -> Self {
        debug_assert!(shards.is_power_of_two());
        Self { shards: (0..shards).map(|_| Shard::default()).collect(), told: AtomicU64::new(0) }
    }

    /// A call arrives.
    pub(crate) fn enter(&self, now: Moment) -> ShardIndex {
        let index = ShardIndex(thread_number() & (self.shards.len() as u32 - 1));
        let shard = &self.shards[index.get()];
        shard.tally.arrive();
        shard.area.fetch_sub(now.as_nanos(), Ordering::AcqRel);
        shard.entered.fetch_add(1, Ordering::AcqRel);
        index
    }

    /// The call that was counted on `index` ends.
    pub(crate) fn leave(&self, index: ShardIndex, now: Moment) {
        let shard = &self.shards[index.get()];
        shard.leaving.fetch_add(1, Ordering::AcqRel);
        shard.area.fetch_add(now.as_nanos(), Ordering::AcqRel);
        shard.last_end.fetch_max(now.as_nanos().saturating_add(1), Ordering::AcqRel);
        shard.tally.leave();
    }

    /// Who is inside, exact enough for the gate: never too few.
    pub(crate) fn inside(&self) -> u64 {
        self.shards.iter().map(|shard| shard.tally.inside()).sum()
    }

    /// Who is inside, roughly and cheaply.
    pub(crate) fn inside_roughly(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| {
                let left = shard.tally.left();
                shard.tally.arrived().saturating_sub(left)
            })
            .sum()
    }

    /// Calls that ever arrived.
    pub(crate) fn started(&self) -> u64 {
        self.shards.iter().map(|shard| shard.tally.arrived()).sum()
    }

    /// Calls that ever ended.
    pub(crate) fn completed(&self) -> u64 {
        self.shards.iter().map(|shard| shard.tally.left()).sum()
    }

    /// All counters at `now`; `None` when a shard stayed half recorded through all looks, which a
    /// scale decision must treat as no data.
    pub(crate) fn read(&self, now: Moment) -> Option<Reading> {
        let mut sum = Reading::default();
        let mut area = 0_u64;
        let mut last_end = 0;
        for shard in &self.shards {
            let (started, completed, part) = shard.read()?;
            let inside = started.saturating_sub(completed);
            sum.started += started;
            sum.completed += completed;
            sum.inside += inside;
            area = area.wrapping_add(part).wrapping_add(inside.wrapping_mul(now.as_nanos()));
            last_end = last_end.max(shard.last_end.load(Ordering::Acquire));
        }
        // Calls that arrived after `now` was taken make the sum a little less than nothing at worst.
        let area = if area > u64::MAX / 2 { 0 } else { area };
        sum.concurrency_nanos = self.told.fetch_max(area, Ordering::AcqRel).max(area);
        sum.last_end = last_end.checked_sub(1).map(Moment::from_nanos);
        Some(sum)
    }
}

impl Shard {
    /// Arrivals, ends and area, with no call half recorded.
    fn read(&self) -> Option<(u64, u64, u64)> {
        for _ in 0..LOOKS {
            let entered = self.entered.load(Ordering::Acquire);
            let left = self.tally.left();
            let area = self.area.load(Ordering::Acquire);
            let arrived = self.tally.arrived();
            let leaving = self.leaving.load(Ordering::Acquire);
            if arrived == entered && leaving == left {
                return Some((entered, left, area));
            }
            std::hint::spin_loop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_integral_is_the_sum_of_the_times_inside() {
        let meter = Meter::new(2);
        let first = meter.enter(Moment::from_millis(10));
        let second = meter.enter(Moment::from_millis(20));
        meter.leave(first, Moment::from_millis(50));
        let seen = meter.read(Moment::from_millis(60)).expect("nothing is being recorded");
        assert_eq!((seen.inside, seen.started, seen.completed), (1, 2, 1));
        assert_eq!(seen.concurrency_nanos, 80_000_000);
        assert_eq!(seen.last_end, Some(Moment::from_millis(50)));
        meter.leave(second, Moment::from_millis(60));
        let seen = meter.read(Moment::from_millis(100)).expect("nothing is being recorded");
        assert_eq!((seen.inside, seen.concurrency_nanos), (0, 80_000_000));
    }

    #[test]
    fn readings_under_load_are_consistent_and_never_shrink() {
        let meter = Meter::new(2);
        let time = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        let start = Moment::from_nanos(time.fetch_add(1, Ordering::SeqCst));
                        let index = meter.enter(start);
                        meter.leave(index, Moment::from_nanos(time.fetch_add(1, Ordering::SeqCst)));
                    }
                });
            }
            let mut last = Reading::default();
            for _ in 0..2_000 {
                let now = Moment::from_nanos(time.load(Ordering::SeqCst));
                let Some(seen) = meter.read(now) else { continue };
                assert!(seen.concurrency_nanos >= last.concurrency_nanos);
                assert!(seen.started >= last.started && seen.completed >= last.completed);
                assert!(seen.inside <= 3, "{seen:?}");
                last = seen;
            }
        });
        assert_eq!(meter.inside(), 0);
    }

    proptest! {
        #[test]
        fn any_calls_add_up(calls in prop::collection::vec((0_u64..1_000_000, 0_u64..1_000_000), 0..40)) {
            let meter = Meter::new(4);
            let mut expected = 0;
            let end = Moment::from_nanos(3_000_000);
            for (at, span) in &calls {
                let index = meter.enter(Moment::from_nanos(*at));
                if span % 3 > 0 {
                    meter.leave(index, Moment::from_nanos(at + span));
                    expected += span;
                } else {
                    expected += end.as_nanos() - at;
                }
            }
            let seen = meter.read(end).expect("nothing is being recorded");
            prop_assert_eq!(seen.concurrency_nanos, expected);
            prop_assert_eq!(seen.started, calls.len() as u64);
        }
    }
}
