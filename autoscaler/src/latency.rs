//! Latency: how many it takes is not in its value, so the count feels its way.
//!
//! Above the target the count grows in proportion, at most twofold, and then waits until the value tells of
//! the new count alone. Well below it goes down by one, but not to what was too few for such a load before.

use std::time::Duration;

use tidegate_core::Replicas;

use crate::experience::Experience;
use crate::rules::{Answer, Sight};

/// The most that a count is multiplied by at once.
const MOST: f64 = 2.0;
/// A value below this share of the one before it falls.
const FALLS: f64 = 0.9;
/// This share of the target is well below it.
const WELL_BELOW: f64 = 0.7;
/// A replica with this share of what was too much has room, however near the target is.
const FAR_BELOW: f64 = 0.5;

/// What is measured, beside the value itself.
#[derive(Copy, Clone, Debug)]
pub struct Measured {
    /// Seconds.
    pub value: f64,
    /// How long ago that was.
    pub age: Duration,
    /// Seconds of the value before it.
    pub before: Option<f64>,
    /// Seconds that should not be passed.
    pub goal: f64,
    /// Calls a second over the stable window.
    pub rate: f64,
    /// Calls open or waiting.
    pub demand: u64,
}

/// What the value asks for.
pub fn answer(sight: &Sight<'_>, measured: &Measured, experience: &Experience) -> Answer {
    let count = sight.desired;
    let Measured { value, goal, rate, demand, .. } = *measured;
    if value == 0.0 && rate == 0.0 && demand == 0 {
        return Answer::all(Replicas::ZERO);
    }
    let less = count.minus(Replicas::ONE);
    if count.is_zero() || !experience.settled(sight, measured.age) {
        return Answer { up: count, floor: less, hover: less };
    }
    if value > goal {
        // What waited is still being served: more replicas come too late for that.
        if measured.before.is_some_and(|before| value < before * FALLS) {
            return Answer::all(count);
        }
        let times = (value / goal).min(MOST);
        let grown = (f64::from(count.get()) * times).ceil() as u32;
        return Answer::all(Replicas::new(grown).max(count.plus(Replicas::ONE)));
    }
    let well_below = value <= goal * WELL_BELOW && experience.keeps(sight.now, rate) <= less;
    let each = rate / f64::from(less.get().max(1));
    let known = experience.too_much(sight.now);
    let far_below = known.is_some_and(|(much, _)| each < much * FAR_BELOW);
    Answer::all(if well_below || far_below { less } else { count })
}
