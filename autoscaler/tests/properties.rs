//! What no example can cover.

mod support;

use proptest::prelude::*;
use support::{Scenario, secs};
use tidegate_autoscaler::{Action, Ask};
use tidegate_core::Replicas;

fn capacity(target: u32, max: u32) -> Scenario {
    let (target, max) = (target.to_string(), max.to_string());
    Scenario::with(&[
        ("type", "capacity"),
        ("target", &target),
        ("target-proportion", "1"),
        ("max", &max),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn replicas_never_leave_their_bounds(loads in prop::collection::vec(0_u64..5000, 1..100), target in 1_u32..100, max in 1_u32..50) {
        let mut function = capacity(target, max);
        for load in loads {
            function.holds(load, secs(2));
            prop_assert!((1..=max).contains(&function.desired.get()));
        }
    }

    #[test]
    fn more_load_never_means_fewer_replicas(loads in prop::collection::vec(0_u64..500, 1..60), more in 0_u64..200) {
        let (mut less, mut greater) = (capacity(7, 40), capacity(7, 40));
        for load in loads {
            less.holds(load, secs(1));
            greater.holds(load + more, secs(1));
            prop_assert!(greater.desired >= less.desired);
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
    fn noise_around_a_constant_load_hardly_moves_the_count(noise in prop::collection::vec(90_u64..=110, 780), target in 5_u32..40) {
        let target = target.to_string();
        let mut function = Scenario::with(&[("type", "capacity"), ("target", &target), ("max", "1000")]);
        for percent in &noise[..180] {
            function.holds(*percent, secs(1));
        }
        let settled = function.changes.len();
        for percent in &noise[180..] {
            function.holds(*percent, secs(1));
        }
        // Ten minutes. Where the boundary lies within the noise, the hold doubles with each step to and fro.
        prop_assert!(function.changes.len() <= settled + 8, "{:?}", function.changes);
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
    fn duplicated_and_late_looks_change_nothing(loads in prop::collection::vec(0_u64..300, 1..60)) {
        let (mut plain, mut twice) = (capacity(7, 40), capacity(7, 40));
        for load in loads {
            plain.holds(load, secs(1));
            twice.holds(load, secs(1));
            twice.look();
            let (now, late) = (twice.now, twice.observation());
            twice.autoscaler.decide(now.saturating_sub(secs(3)), &late);
            prop_assert_eq!(plain.desired, twice.desired);
        }
    }

    #[test]
    fn a_function_with_open_calls_never_goes_to_zero(steps in prop::collection::vec((0_u64..4, 0_u64..90), 1..80)) {
        let mut function = Scenario::with(&[("zero", "true"), ("zero-duration", "10s"), ("type", "capacity"), ("target", "2")]);
        for (open, pause) in steps {
            function.load.in_flight = open;
            function.load.waiting = u64::from(function.desired.is_zero() && open > 0);
            function.passes(secs(pause));
            if open == 0 {
                function.load.last_end = function.load.last_end.or(Some(function.now));
            }
            let decision = function.look();
            if let Action::Scale { to, .. } = decision.action {
                prop_assert!(open == 0 || !to.is_zero(), "at {}: {decision:?}", function.now);
            }
        }
    }
}

#[test]
fn a_square_wave_at_the_threshold_moves_little() {
    let mut function = capacity(5, 20);
    // An hour of 20 s at the boundary of one replica, 20 s just above it.
    for _ in 0..90 {
        function.holds(5, secs(20)).holds(6, secs(20));
    }
    assert!(function.changes.len() <= 4, "{:?}", function.changes);
}
