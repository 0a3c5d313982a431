//! What happens on a random walk, and the dice that choose it.
#![allow(dead_code, reason = "each user takes its part")]

use super::Scenario;

/// So many calls come: they wait where nothing runs.
pub fn begin(function: &mut Scenario, calls: u64) {
    let load = &mut function.load;
    load.started += calls;
    let queue = if function.desired.is_zero() { &mut load.waiting } else { &mut load.in_flight };
    *queue += calls;
}

/// So many calls end, as far as there are some.
pub fn end(function: &mut Scenario, calls: u64) {
    let load = &mut function.load;
    let calls = calls.min(load.in_flight);
    load.in_flight -= calls;
    load.completed += calls;
    if calls > 0 {
        load.last_end = Some(function.now);
    }
}

/// A linear congruential generator: enough to wander.
pub struct Dice(pub u64);

impl Dice {
    pub fn throw(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
