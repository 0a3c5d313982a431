//! Counts wanted in the past that still hold the count up, and how long they do.
//!
//! Kept falling: a wish that a later one reaches is forgotten, so the first that is young enough is the
//! highest. A load that hovers about a boundary makes wishes hold twice as long each time the count
//! went down too early.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_core::{Moment, Replicas};

/// Wishes kept at most.
const MOST: usize = 16;
/// Longest that going to and fro makes a wish hold.
const LONGEST_HOLD: Duration = Duration::from_secs(300);
/// Doublings of the hold at most.
const MOST_FLAPS: u8 = 4;
/// After this long without it, going to and fro is forgotten.
const FLAPS_FORGOTTEN: Duration = Duration::from_secs(900);

/// What was wanted, and whether the count went to and fro over it.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The lowest and newest, which a steady load only renews.
    newest: Option<Wish>,
    /// Older and higher ones.
    falling: VecDeque<Wish>,
    /// When the count last went down while the load was close to what is left.
    narrow_down: Option<Moment>,
    /// When it last came back up soon after that, and how often.
    flapped: Option<Moment>,
    flaps: u8,
}

/// Eight bytes: milliseconds wrap after 49 days, a wish holds for an hour at most.
#[derive(Copy, Clone, Debug)]
struct Wish {
    at_millis: u32,
    count: Replicas,
}

impl Wishes {
    /// Notes a wish, and forgets those older than `span`.
    pub fn note(&mut self, now: Moment, count: Replicas, span: Duration) {
        let at_millis = millis(now);
        while self.falling.front().is_some_and(|wish| wish.age(at_millis) > span) {
            self.falling.pop_front();
        }
        let full = self.falling.len() >= MOST;
        let wish = Wish { at_millis, count };
        match self.newest.replace(wish).filter(|last| last.count > count) {
            // Too many: two become one, as high as the one and as new as the other.
            Some(last) if full => self.newest = Some(Wish { at_millis, ..last }),
            Some(last) => self.falling.push_back(last),
            None => {
                while self.falling.back().is_some_and(|last| last.count <= count) {
                    self.falling.pop_back();
                }
            }
        }
    }

    /// The highest wish of the last `span`, and how old it is.
    pub fn highest(&self, now: Moment, span: Duration) -> Option<(Replicas, Duration)> {
        let now = millis(now);
        let young = |wish: &&Wish| wish.age(now) <= span;
        self.falling.iter().chain(&self.newest).find(young).map(|wish| (wish.count, wish.age(now)))
    }

    /// How long a wish holds when nothing goes to and fro: `plain`; else twice as long for each time.
    pub fn hold(&self, plain: Duration) -> Duration {
        (plain * (1 << self.flaps)).min(LONGEST_HOLD.max(plain))
    }

    /// The count goes down; `narrow` when a little more load would ask for more than what is left.
    pub fn went_down(&mut self, now: Moment, narrow: bool) {
        if self.flapped.is_some_and(|at| now.since(at) > FLAPS_FORGOTTEN) {
            (self.flapped, self.flaps) = (None, 0);
        }
        self.narrow_down = narrow.then_some(now);
    }

    /// The count goes up; soon after going down narrowly, that was a step to and fro.
    pub fn went_up(&mut self, now: Moment, plain: Duration) {
        let soon = self.hold(plain) * 4;
        if self.narrow_down.take().is_some_and(|at| now.since(at) < soon) {
            self.flaps = (self.flaps + 1).min(MOST_FLAPS);
            self.flapped = Some(now);
        }
    }

    /// Forgets the wishes, and the memory they take.
    pub fn clear(&mut self) {
        self.newest = None;
        self.falling = VecDeque::new();
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.falling.capacity() * size_of::<Wish>()
    }
}

impl Wish {
    fn age(&self, now_millis: u32) -> Duration {
        Duration::from_millis(u64::from(now_millis.wrapping_sub(self.at_millis)))
    }
}

fn millis(at: Moment) -> u32 {
    at.since_start().as_millis() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(60);

    #[test]
    fn the_highest_wish_is_the_sliding_maximum() {
        let mut wishes = Wishes::default();
        // Ten seconds apart: what is wanted, and the highest of the last 60 s.
        let steps =
            [(8, 8), (8, 8), (7, 8), (6, 8), (5, 8), (4, 8), (5, 8), (5, 8), (2, 7), (2, 6)];
        for (step, (wanted, highest)) in (0_u64..).zip(steps) {
            let now = Moment::from_secs(step * 10);
            wishes.note(now, Replicas::new(wanted), SPAN);
            let found = wishes.highest(now, SPAN).map(|(count, _)| count.get());
            assert_eq!(found, Some(highest), "at {now}");
        }
        let highest =
            |at| wishes.highest(Moment::from_secs(at), SPAN).map(|(count, _)| count.get());
        assert_eq!(highest(131), Some(2)); // the last 5 was at 70 s
        assert_eq!(highest(151), None);
    }

    #[test]
    fn only_narrow_steps_to_and_fro_make_wishes_hold_longer() {
        let mut wishes = Wishes::default();
        let plain = Duration::from_secs(30);
        wishes.went_down(Moment::from_secs(100), false);
        wishes.went_up(Moment::from_secs(110), plain);
        assert_eq!(wishes.hold(plain), plain);
        for (step, hold) in [(1, 60), (2, 120), (3, 240), (4, 300), (5, 300)] {
            wishes.went_down(Moment::from_secs(step * 200), true);
            wishes.went_up(Moment::from_secs(step * 200 + 10), plain);
            assert_eq!(wishes.hold(plain), Duration::from_secs(hold));
        }
        wishes.went_down(Moment::from_secs(1010 + 901), true);
        assert_eq!(wishes.hold(plain), plain);
    }

    #[test]
    fn too_many_wishes_merge_upwards() {
        let mut wishes = Wishes::default();
        for step in 0..40_u32 {
            let at = Moment::from_secs(u64::from(step));
            wishes.note(at, Replicas::new(100 - step), SPAN);
        }
        assert!(wishes.heap_bytes() <= MOST * size_of::<Wish>());
        // Never lower than what was wanted last.
        let (count, _) = wishes.highest(Moment::from_secs(90), SPAN).expect("a wish of 39 s");
        assert!(count.get() >= 61, "{count}");
    }
}
