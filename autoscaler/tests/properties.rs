//! What no example can cover.

mod support;

use std::time::Duration;

use proptest::prelude::*;
use support::walk::{Dice, begin, end};
use support::{Scenario, secs};
use tidegate_autoscaler::Ask;
use tidegate_core::{Observation, Replicas};

fn capacity(target: u32, max: u32) -> Scenario {
    let (target, max) = (target.to_string(), max.to_string());
    Scenario::with(&[
        ("type", "capacity"),
        ("target", &target),
        ("target-proportion", "1"),
        ("max", &max),
    ])
}

/// Cases of each property, most of them of a hundred steps and more; fewer where nothing is optimized.
const CASES: u32 = if cfg!(debug_assertions) { 128 } else { 10_000 };
/// Steps of the walk.
const STEPS: u32 = 1_000_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn replicas_never_leave_their_bounds(loads in prop::collection::vec(0_u64..5000, 1..100), target in 1_u32..100, max in 1_u32..50) {
        let mut function = capacity(target, max);
        for load in loads {
            function.holds(load, secs(2));
            prop_assert!((1..=max).contains(&function.desired.get()));
        }
    }

    #[test]
    fn more_load_never_means_fewer_replicas(
        loads in prop::collection::vec((0_u64..300, 0_u64..60, 1_u64..12), 1..60),
        target in 1_u32..40,
        proportion in 5_u32..=10,
        start in 0_u64..8,
    ) {
        let pair = || {
            let (target, share) = (target.to_string(), format!("{}", f64::from(proportion) / 10.0));
            Scenario::with(&[("type", "capacity"), ("target", &target), ("target-proportion", &share), ("max", "400")])
        };
        let (mut less, mut greater) = (pair(), pair());
        (less.instant_starts, greater.instant_starts) = (start == 0, start == 0);
        for (load, more, seconds) in loads {
            for second in 0..seconds {
                less.holds(load, secs(1));
                greater.holds(load + more, secs(1));
                prop_assert!(greater.desired >= less.desired, "{} < {} at {}: {:?} {:?}", greater.desired, less.desired, less.now, greater.changes, less.changes);
                if second == start {
                    (less.ready, greater.ready) = (less.desired, greater.desired);
                }
            }
        }
    }

    #[test]
    fn more_calls_a_second_never_mean_fewer_replicas(
        rates in prop::collection::vec((0_u32..300, 0_u32..60, 1_u64..12), 1..60),
        target in 1_u32..40,
    ) {
        let target = target.to_string();
        let pair = || Scenario::with(&[("target", &target), ("max", "400")]);
        let (mut less, mut greater) = (pair(), pair());
        for (rate, more, seconds) in rates {
            for _ in 0..seconds {
                less.serves(f64::from(rate), secs(1));
                greater.serves(f64::from(rate + more), secs(1));
                prop_assert!(greater.desired >= less.desired);
            }
        }
    }

    #[test]
    fn the_same_input_gives_the_same_decisions(loads in prop::collection::vec(0_u64..500, 1..60)) {
        let (mut one, mut two) = (capacity(7, 40), capacity(7, 40));
        for load in loads {
            one.holds(load, secs(1));
            two.holds(load, secs(1));
        }
        prop_assert_eq!(one.changes, two.changes);
    }

    #[test]
    fn steady_load_settles_and_stays(open in 0_u64..400, target in 1_u32..60) {
        let mut function = capacity(target, 1000);
        function.holds(open, secs(90));
        let settled = function.changes.len();
        function.holds(open, secs(600));
        prop_assert_eq!(function.changes.len(), settled, "{:?}", function.changes);
        let wanted = open.div_ceil(u64::from(target)).max(1);
        prop_assert_eq!(u64::from(function.desired.get()), wanted);
    }

    #[test]
    fn from_any_state_the_end_of_load_leads_to_the_minimum(loads in prop::collection::vec(0_u64..500, 1..60), asked in 0_u32..60) {
        let mut function = capacity(7, 40);
        for load in loads {
            function.holds(load, secs(1));
        }
        function.ask(Ask::Operator(Replicas::new(asked)));
        function.load.waiting = 0;
        function.holds(0, secs(120));
        prop_assert!(function.desired.get() <= 1, "{:?}", function.changes);
    }

    #[test]
    fn from_any_state_without_a_target_the_end_of_load_leads_to_zero(
        rates in prop::collection::vec(0_u32..40, 1..60),
        limit in prop::option::of(1_u32..5),
        gap in 0_u64..30,
    ) {
        let mut function = Scenario::with(&[("zero", "true"), ("zero-duration", "90s"), ("min", "2")]);
        function.replica_limit = limit;
        for rate in rates {
            function.load.in_flight = u64::from(rate % 7);
            function.serves(f64::from(rate), secs(1));
        }
        function.load.in_flight = 0;
        function.load.last_end = Some(function.now);
        function.passes(secs(gap));
        // The end of the last call is known however long nobody looked.
        function.serves(0.0, secs(60)).wants(2).serves(0.0, secs(30 - gap)).wants(0);
    }

    #[test]
    fn duplicated_and_late_looks_change_nothing(loads in prop::collection::vec(0_u64..300, 4..60), back in 1_usize..4) {
        let (mut plain, mut twice) = (capacity(7, 40), capacity(7, 40));
        let mut seen = Vec::new();
        for load in loads {
            plain.holds(load, secs(1));
            twice.holds(load, secs(1));
            twice.look();
            seen.push((twice.now, twice.observation()));
            // A sample of some seconds ago comes again, with the counters of then.
            if let Some((at, old)) = seen.len().checked_sub(back + 1).and_then(|late| seen.get(late)) {
                twice.autoscaler.decide(*at, old);
            }
            prop_assert_eq!(plain.desired, twice.desired);
        }
    }

    #[test]
    fn reordered_looks_never_lead_beyond_what_the_load_asks(
        looks in prop::collection::vec((140_u64..155, 0_u8..4), 70..140),
    ) {
        let mut function = Scenario::with(&[("target", "7"), ("target-proportion", "1"), ("max", "1000")]);
        let ask = |load: u64| load.div_ceil(7).max(1);
        let (mut loads, mut held_back) = (Vec::new(), None);
        for (load, order) in looks {
            function.load.started += load;
            function.load.completed += load;
            function.passes(secs(1));
            loads.push(load);
            let seen = (function.now, function.observation());
            // This one comes after the next.
            if order == 0 && held_back.is_none() {
                held_back = Some(seen);
                continue;
            }
            function.look();
            if let Some((at, late)) = held_back.take() {
                let late = Observation { desired: function.desired, ready: function.ready, ..late };
                let decision = function.autoscaler.decide(at, &late);
                function.take(decision);
            }
            let most = loads.iter().copied().map(ask).max().unwrap_or(1);
            let least = loads.iter().rev().take(60).copied().map(ask).min().unwrap_or(1);
            let desired = u64::from(function.desired.get());
            prop_assert!(desired <= most, "{desired} > {most}: {:?}", function.changes);
            prop_assert!(desired >= least || loads.len() < 60, "{desired} < {least}: {:?}", function.changes);
        }
    }

    #[test]
    fn missing_samples_never_lead_beyond_what_the_load_asks(
        looks in prop::collection::vec((0_u64..300, 0_u8..4), 40..120),
    ) {
        let mut function = capacity(7, 1000);
        let mut loads: Vec<u64> = Vec::new();
        for (load, missing) in looks {
            function.load.in_flight = load;
            if missing == 0 {
                function.misses(secs(1));
            } else {
                function.holds(load, secs(1));
            }
            loads.push(load);
            let ask = |load: u64| load.div_ceil(7).max(1);
            let most = loads.iter().copied().map(ask).max().unwrap_or(1);
            let least = loads.iter().rev().take(60).copied().map(ask).min().unwrap_or(1);
            let desired = u64::from(function.desired.get());
            prop_assert!(desired <= most, "{desired} > {most}: {:?}", function.changes);
            prop_assert!(desired >= least || loads.len() < 60, "{desired} < {least}: {:?}", function.changes);
        }
    }

    #[test]
    fn a_clock_that_jumps_takes_nothing_down(load in 0_u64..200, jump in 6_u64..100_000, back in any::<bool>()) {
        let mut function = capacity(7, 1000);
        function.holds(load, secs(60));
        let (settled, now) = (function.desired, function.now);
        if back {
            function.now = now.saturating_sub(secs(jump));
        } else {
            function.now = now + secs(jump);
        }
        function.look();
        function.now = now.max(function.now);
        function.holds(load, secs(100));
        prop_assert_eq!(function.desired, settled, "{:?}", function.changes);
    }

    #[test]
    fn calls_a_second_ask_for_what_the_formula_says(rate in 0_u32..500, target in 1_u32..60) {
        let text = target.to_string();
        let mut function = Scenario::with(&[("target", &text), ("target-proportion", "1"), ("max", "1000")]);
        function.serves(f64::from(rate), secs(120));
        prop_assert_eq!(function.desired.get(), rate.div_ceil(target).max(1));
    }

    #[test]
    fn a_restart_at_constant_load_changes_nothing(open in 0_u64..300, target in 1_u32..60, at in 40_u64..100) {
        let mut function = capacity(target, 1000);
        function.holds(open, secs(at));
        function.changes.clear();
        function.restart().holds(open, secs(100));
        prop_assert!(function.changes.is_empty(), "{:?}", function.changes);
    }
}

/// A walk of requests, restarts, lost metrics and asks; the same each time.
#[test]
fn no_walk_stops_a_function_with_an_open_call() {
    let labels =
        [("zero", "true"), ("zero-duration", "10s"), ("type", "capacity"), ("target", "2")];
    let mut function = Scenario::with(&labels);
    let mut zeros = 0;
    let mut dice = Dice(7);
    for step in 0..STEPS {
        match dice.throw(40) {
            0 => _ = function.restart(),
            1..4 => _ = function.misses(secs(dice.throw(20))),
            4 => _ = function.ask([Ask::AlertFiring, Ask::AlertResolved][dice.throw(2) as usize]),
            5 => function.passes(secs(dice.throw(100))),
            6..12 => begin(&mut function, dice.throw(4)),
            12..34 => end(&mut function, dice.throw(6)),
            _ => {}
        }
        function.passes(Duration::from_millis(dice.throw(3000)));
        let open = function.load.demand();
        let before = function.desired;
        function.look();
        assert!(open == 0 || !function.desired.is_zero(), "step {step} at {}", function.now);
        zeros += u32::from(function.desired.is_zero() && !before.is_zero());
        // What waited has a replica now.
        let load = &mut function.load;
        (load.in_flight, load.waiting) = (load.demand(), 0);
    }
    assert!(zeros > 100, "the walk went to zero {zeros} times only");
}
