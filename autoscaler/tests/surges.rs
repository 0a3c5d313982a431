//! A load that jumps: how soon its full count is asked for, and that calls which wait for it are not taken
//! for more of it.

mod support;

use std::time::Duration;

use support::{Scenario, secs};
use tidegate_core::{Moment, Replicas};

/// Calls of two seconds on replicas that take a hundred at once and start in so many seconds, as a fluid.
struct Plant {
    function: Scenario,
    /// When what was asked for is ready, and how many are then.
    starts: Vec<(Moment, Replicas)>,
    start: Duration,
    ended: f64,
    waited: f64,
    /// The highest count.
    highest: u32,
}

const STEP: Duration = Duration::from_millis(50);

impl Plant {
    fn new(start: Duration) -> Self {
        let labels = [("type", "capacity"), ("target", "100"), ("max", "200")];
        let mut function = Scenario::with(&labels);
        function.instant_starts = false;
        function.replica_limit = Some(100);
        Self { function, starts: Vec::new(), start, ended: 0.0, waited: 0.0, highest: 0 }
    }

    /// So many calls a second arrive for so long; a look where one is due or a call finds all full.
    fn gets(&mut self, rate: f64, span: Duration) -> &mut Self {
        let (until, step) = (self.function.now + span, STEP.as_secs_f64());
        let mut arrived = self.function.load.started as f64;
        while self.function.now < until {
            let ready = f64::from(self.function.ready.get()) * 100.0;
            let inside = (arrived - self.ended).max(0.0);
            self.ended += inside.min(ready) / 2.0 * step;
            arrived += rate * step;
            let inside = (arrived - self.ended).max(0.0);
            let waits = (inside - ready).max(0.0);
            let load = &mut self.function.load;
            load.started = arrived as u64;
            load.in_flight = (inside - waits) as u64;
            load.waiting = load.started - (self.ended as u64).min(load.started);
            load.waiting = load.waiting.saturating_sub(load.in_flight);
            load.completed = load.started - load.demand();
            self.function.passes(STEP);
            let first_waits = self.waited <= 0.0 && waits > 0.0;
            self.waited = waits;
            self.start();
            let due = self.function.look_again().is_none_or(|at| at <= self.function.now);
            if first_waits || due {
                self.look();
            }
        }
        self
    }

    fn look(&mut self) {
        let before = self.function.desired;
        self.function.look();
        let desired = self.function.desired;
        self.highest = self.highest.max(desired.get());
        if desired > before {
            self.starts.push((self.function.now + self.start, desired));
        }
        self.function.ready = self.function.ready.min(desired);
    }

    fn start(&mut self) {
        let now = self.function.now;
        for (at, count) in &self.starts {
            if *at <= now {
                self.function.ready = self.function.ready.max(*count).min(self.function.desired);
            }
        }
        self.starts.retain(|(at, _)| *at > now);
    }
}

#[test]
fn a_jump_gets_nearly_its_full_count_within_two_seconds_in_few_steps() {
    let mut plant = Plant::new(Duration::from_millis(800));
    // 100 a second are 200 in service: three replicas at ninety each.
    plant.gets(100.0, secs(120)).function.wants(3);
    plant.function.changes.clear();
    // 500 a second are 1000 in service: twelve.
    plant.gets(500.0, secs(2));
    assert!(plant.function.desired.get() >= 10, "{:?}", plant.function.changes);
    plant.gets(500.0, secs(58)).function.wants(12);
    assert!(plant.function.changes.len() <= 4, "{:?}", plant.function.changes);
    assert_eq!(plant.highest, 12, "{:?}", plant.function.changes);
}

#[test]
fn calls_that_wait_for_slow_starts_do_not_pile_up_replicas() {
    let mut plant = Plant::new(secs(30));
    plant.gets(100.0, secs(120)).function.wants(3);
    // In 30 s ten thousand calls come to wait: by their number they would ask for a hundred replicas.
    plant.gets(500.0, secs(300));
    assert!(plant.highest <= 19, "{:?}", plant.function.changes);
    assert!(plant.function.load.waiting <= 1);
    plant.gets(500.0, secs(900)).function.wants(12);
}
