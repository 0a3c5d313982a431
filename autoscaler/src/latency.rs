//! Latency: what it asks for is not in its value, so the count feels its way.
//!
//! Above the target the count grows in proportion, at most twofold, and then waits until the value tells of
//! the new count alone. Well below it goes down by one. Which rate a replica was too slow at is remembered,
//! so that the same mistake is not made again soon.

use std::time::Duration;

use tidegate_core::{Moment, Replicas};

use crate::rules::{Answer, Sight};

/// Calls of so long make a value.
pub const SPAN: Duration = Duration::from_secs(30);
/// The most that a count is multiplied by at once.
const MOST: f64 = 2.0;
/// This share of the target is well below it.
const WELL_BELOW: f64 = 0.7;
/// How long a rate that was too much is remembered the first time; each time after it twice as long.
const REMEMBERED: Duration = Duration::from_secs(900);
/// It is doubled so often at most: to four hours.
const DOUBLED: u8 = 4;

/// What is kept of a function that is scaled by latency.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// How many were ready at the last look.
    ready: Replicas,
    /// When that last changed.
    changed: Option<Moment>,
    too_much: Option<TooMuch>,
}

/// Calls a second that one replica was too slow at.
#[derive(Copy, Clone, Debug)]
struct TooMuch {
    rate: f64,
    until: Moment,
    times: u8,
}

/// What is measured, beside the value itself.
#[derive(Copy, Clone, Debug)]
pub struct Measured {
    /// Seconds.
    pub value: f64,
    /// Seconds that should not be passed.
    pub goal: f64,
    /// Calls a second over the stable window.
    pub rate: f64,
    /// Calls open or waiting.
    pub demand: u64,
}

impl Latency {
    /// Takes in how many are ready.
    pub fn see(&mut self, now: Moment, ready: Replicas) {
        if self.changed.is_none() || self.ready != ready {
            (self.ready, self.changed) = (ready, Some(now));
        }
    }

    /// Whether a value tells of the count that there is.
    pub fn settled(&self, sight: &Sight<'_>) -> bool {
        let since = self.changed.map_or(Duration::ZERO, |at| sight.now.since(at));
        sight.pending.is_zero() && since >= SPAN
    }

    /// What the value asks for.
    pub fn answer(&self, sight: &Sight<'_>, measured: &Measured) -> Answer {
        let count = sight.desired;
        let less = count.minus(Replicas::ONE);
        let Measured { value, goal, rate, demand } = *measured;
        if value == 0.0 && rate == 0.0 && demand == 0 {
            return Answer::all(Replicas::ZERO);
        }
        if !self.settled(sight) || count.is_zero() {
            return Answer::all(count);
        }
        if value > goal {
            let times = (value / goal).min(MOST);
            let grown = (f64::from(count.get()) * times).ceil() as u32;
            return Answer::all(Replicas::new(grown).max(count.plus(Replicas::ONE)));
        }
        let each = rate / f64::from(less.get().max(1));
        let known = self.too_much.filter(|much| sight.now < much.until).map(|much| much.rate);
        let well_below = value <= goal * WELL_BELOW && known.is_none_or(|much| each < much * 0.9);
        let far_below = known.is_some_and(|much| each < much * 0.5);
        Answer::all(if well_below || far_below { less } else { count })
    }

    /// The count went up for it: so much is too much for as many as there were.
    pub fn stepped(&mut self, sight: &Sight<'_>, rate: f64) {
        let each = rate / f64::from(sight.ready.get().max(1));
        let times = self.too_much.map_or(0, |much| (much.times + 1).min(DOUBLED));
        let known = self.too_much.filter(|much| sight.now < much.until).map(|much| much.rate);
        let rate = known.map_or(each, |known| known.min(each));
        let until = sight.now + REMEMBERED * (1 << times);
        self.too_much = Some(TooMuch { rate, until, times });
    }

    /// The rate of one replica that was too much, as long as it is remembered.
    pub fn too_much(&self, now: Moment) -> Option<(f64, Duration)> {
        let much = self.too_much.filter(|much| now < much.until)?;
        Some((much.rate, much.until.since(now)))
    }
}
