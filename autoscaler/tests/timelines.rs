//! Policies over time.

mod support;

use std::time::Duration;

use support::{Scenario, policy, secs};
use tidegate_autoscaler::{Action, Ask, Config, Depth, Hold, Memory, Reason};
use tidegate_core::{Load, Moment, Replicas};

const CAPACITY_5: [(&str, &str); 4] =
    [("type", "capacity"), ("target", "5"), ("target-proportion", "1"), ("max", "8")];

#[test]
fn capacity_follows_the_open_calls_up_and_down() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(15, secs(10)).wants(3); // 15 / 5
    function.holds(60, secs(10)).wants(8); // 12, bounded by 8
    // The last wish for 8 holds for a stable window (30 s) after the fast average (6 s) has fallen.
    function.holds(5, secs(29)).wants(8);
    function.holds(5, secs(12)).wants(1);
}

#[test]
fn a_burst_gets_the_full_count_at_the_arrival_that_finds_all_full() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(4, secs(60)).wants(1);
    function.load.in_flight = 33;
    function.passes(Duration::from_millis(2));
    let decision = function.look();
    // 33 / 5 rounded up, although the averages have seen nothing of it.
    function.wants(7);
    assert!(matches!(
        decision.action,
        Action::Scale { reason: Reason::Burst { demand: 33, .. }, .. }
    ));
}

#[test]
fn replicas_on_their_way_are_not_asked_for_twice() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.instant_starts = false;
    function.holds(20, secs(20)).wants(4);
    assert_eq!(function.changes.len(), 1, "{:?}", function.changes);
}

#[test]
fn rps_counts_completed_calls() {
    let mut function =
        Scenario::with(&[("type", "rps"), ("target", "50"), ("target-proportion", "0.9")]);
    function.serves(200.0, secs(30)).wants(5); // 200 / 45 = 4.44
    function.serves(0.0, secs(60)).wants(1);
}

#[test]
fn a_boundary_load_asks_for_no_replica_too_many() {
    let mut function = Scenario::with(&[("target", "90"), ("target-proportion", "0.7")]);
    function.serves(63.0, secs(120)).wants(1); // 63 / (90 × 0.7) is 1, in floats it is above
}

#[test]
fn steady_load_settles_and_stays() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(22, secs(60)).wants(5);
    let settled = function.changes.len();
    function.holds(22, secs(600)).wants(5);
    assert_eq!(function.changes.len(), settled, "{:?}", function.changes);
}

#[test]
fn the_down_window_keeps_the_highest_wish() {
    let labels =
        [("type", "capacity"), ("target", "1"), ("target-proportion", "1"), ("down.window", "2m")];
    let mut function = Scenario::with(&labels);
    function.holds(10, secs(20)).wants(10);
    function.holds(1, secs(119)).wants(10);
    function.holds(1, secs(12)).wants(1);
}

#[test]
fn a_static_function_ignores_load() {
    let mut function =
        Scenario::with(&[("min", "3"), ("max", "3"), ("type", "capacity"), ("target", "1")]);
    function.holds(50, secs(60)).wants(3);
    assert_eq!(function.hold(), Some(Hold::Static));
}

#[test]
fn without_a_target_more_than_five_calls_a_second_step_up_and_less_bring_it_back() {
    let mut function = Scenario::with(&[("max", "2")]);
    function.serves(10.0, secs(60)).wants(2);
    function.serves(0.0, secs(60)).wants(1);
    let mut function = Scenario::with(&[]);
    function.serves(5.0, secs(300)).wants(1); // five are not more than five
    // 20 × 10 % = 2 every 5 s: 1, 3, 5, 7, 9 within 30 s at the latest
    function.serves(6.0, secs(30));
    assert!(function.desired.get() >= 7, "{:?}", function.changes);
    let mut function = Scenario::with(&[("factor", "0")]);
    function.serves(100.0, secs(60)).wants(1);
}

#[test]
fn what_an_operator_asked_for_stays_without_a_target() {
    let mut function = Scenario::with(&[("max", "8")]);
    function.ask(Ask::Operator(Replicas::new(5)));
    function.serves(1.0, secs(600)).wants(5);
}

#[test]
fn an_operators_count_is_brought_within_the_bounds() {
    let mut function = Scenario::with(&[("min", "2"), ("max", "6")]);
    function.ask(Ask::Operator(Replicas::new(50)));
    function.wants(6);
    function.ask(Ask::Operator(Replicas::ONE));
    function.wants(2);
    function.ask(Ask::Operator(Replicas::ZERO));
    function.wants(0);
}

#[test]
fn a_zero_made_by_hand_stays_until_a_call_waits() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(20, secs(10));
    function.ask(Ask::Operator(Replicas::ZERO));
    function.load.in_flight = 3; // these finish on replicas that are on their way out
    function.holds(3, secs(60)).wants(0);
    function.load.waiting = 1;
    function.look();
    function.wants(1);
}

#[test]
fn alerts_step_up_and_jump_back() {
    let mut function = Scenario::with(&[("max", "20"), ("factor", "50"), ("min", "2")]);
    function.ask(Ask::AlertFiring);
    function.wants(12); // 2 + 50 % of 20
    function.ask(Ask::AlertFiring);
    function.wants(20);
    function.ask(Ask::AlertResolved);
    function.wants(2);
}

const IDLES: [(&str, &str); 2] = [("zero", "true"), ("zero-duration", "1m")];

#[test]
fn an_idle_function_goes_to_zero_and_a_call_wakes_it() {
    let mut function = Scenario::with(&IDLES);
    function.serves(1.0, secs(10)).serves(0.0, secs(59)).wants(1);
    function.serves(0.0, secs(1)).wants(0);
    assert_eq!(function.changes.last().map(|change| change.2), Some("idle"));
    function.load.waiting = 1;
    let woken = function.look();
    assert!(matches!(woken.action, Action::Scale { reason: Reason::Woken { waiting: 1 }, .. }));
    function.wants(1);
}

#[test]
fn a_waking_function_gets_its_minimum_or_what_the_burst_fills() {
    let mut function = Scenario::with(&[
        ("min", "2"),
        ("max", "8"),
        ("type", "capacity"),
        ("target", "5"),
        ("target-proportion", "1"),
    ]);
    function.ask(Ask::Operator(Replicas::ZERO));
    function.load.waiting = 1;
    function.look();
    function.wants(2);
    function.load.waiting = 0;
    function.ask(Ask::Operator(Replicas::ZERO));
    function.load.waiting = 31;
    function.look();
    function.wants(7);
}

#[test]
fn a_long_call_keeps_its_function_awake_and_idleness_begins_at_its_end() {
    let mut function = Scenario::with(&IDLES);
    function.holds(1, secs(3600)).wants(1);
    function.load.completed += 1;
    function.load.last_end = Some(function.now);
    function.holds(0, secs(59)).wants(1);
    function.holds(0, secs(1)).wants(0);
}

#[test]
fn the_next_look_of_a_quiet_function_is_its_idle_deadline() {
    let mut function = Scenario::with(&IDLES);
    function.serves(1.0, secs(5));
    function.serves(0.0, secs(15));
    let ended = function.load.last_end.expect("calls ended");
    let look_again = function.last.as_ref().and_then(|decision| decision.look_again);
    assert_eq!(look_again, Some(ended + secs(60)));
}

#[test]
fn a_function_that_nothing_can_change_has_no_next_look() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(0, secs(5));
    assert_eq!(function.last.as_ref().and_then(|decision| decision.look_again), None);
}

#[test]
fn at_zero_replicas_are_frozen_first_and_removed_when_the_warm_time_is_over() {
    let config = Config { can_freeze: true, warm: secs(600), ..Config::default() };
    let mut function = Scenario::with_config(&IDLES, config);
    function.serves(0.0, secs(60)).wants(0);
    let depth = |decision: &tidegate_autoscaler::Decision| match decision.action {
        Action::Scale { depth, .. } => Some(depth),
        Action::Stay(_) => None,
    };
    assert_eq!(function.last.as_ref().and_then(depth), Some(Depth::Frozen));
    function.frozen = Replicas::ONE;
    let zeroed = function.now;
    function.passes(secs(1));
    let decision = function.look();
    assert_eq!(decision.look_again, Some(zeroed + secs(600)));
    function.passes(secs(599));
    assert_eq!(depth(&function.look()), Some(Depth::Removed));
}

#[test]
fn a_dry_run_only_reports() {
    let config = Config { dry_run_idle: true, ..Config::default() };
    let mut function = Scenario::with_config(&IDLES, config);
    function.serves(0.0, secs(120)).wants(1);
    assert!(matches!(function.hold(), Some(Hold::DryRun { .. })));
}

#[test]
fn missing_load_changes_nothing_downwards() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(40, secs(20)).wants(8);
    for _ in 0..600 {
        function.passes(secs(1));
        let seen = tidegate_core::Observation { load: None, ..function.observation() };
        let decision = function.autoscaler.decide(function.now, &seen);
        assert_eq!(decision.action, Action::Stay(Hold::NoSamples));
    }
}

#[test]
fn a_gap_without_looks_is_not_taken_for_silence() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(40, secs(40)).wants(8);
    function.load.in_flight = 0;
    function.passes(secs(3600));
    function.look();
    function.wants(8);
}

#[test]
fn a_counter_that_goes_back_is_a_new_meter() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(40, secs(40)).wants(8);
    function.load = Load { in_flight: 40, ..Load::default() };
    function.holds(40, secs(40)).wants(8);
}

#[test]
fn a_restart_at_constant_load_changes_nothing() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(22, secs(60)).wants(5);
    let memory = function.autoscaler.memory(function.now, &function.function);
    let mut restarted = Scenario::with(&CAPACITY_5);
    restarted.autoscaler.remove(&restarted.function.clone());
    restarted.autoscaler.insert(
        Moment::ZERO,
        restarted.function.clone(),
        policy(&CAPACITY_5),
        memory,
    );
    (restarted.desired, restarted.ready) = (function.desired, function.ready);
    restarted.holds(22, secs(300)).wants(5);
    assert!(restarted.changes.is_empty(), "{:?}", restarted.changes);
}

#[test]
fn idle_time_survives_a_restart() {
    let mut function = Scenario::with(&IDLES);
    function.serves(1.0, secs(1)).serves(0.0, secs(40)).wants(1);
    let memory = function.autoscaler.memory(function.now, &function.function).expect("known");
    assert_eq!(memory, Memory { quiet_millis: 40_000, ..Memory::default() });
    let mut restarted = Scenario::with(&IDLES);
    restarted.autoscaler.remove(&restarted.function.clone());
    restarted.autoscaler.insert(
        Moment::ZERO,
        restarted.function.clone(),
        policy(&IDLES),
        Some(memory),
    );
    restarted.serves(0.0, secs(19)).wants(1);
    restarted.serves(0.0, secs(1)).wants(0);
}

#[test]
fn starts_that_never_become_ready_are_not_piled_up() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.instant_starts = false;
    function.holds(9, secs(120)).wants(2);
    function.holds(40, secs(5)).wants(2);
    assert!(matches!(function.hold(), Some(Hold::StartsStuck { .. })), "{:?}", function.hold());
}

#[test]
fn a_count_outside_its_bounds_is_corrected() {
    let mut function = Scenario::with(&[("min", "2"), ("max", "4")]);
    (function.desired, function.ready) = (Replicas::new(9), Replicas::new(9));
    function.serves(0.0, secs(1)).wants(4);
    (function.desired, function.ready) = (Replicas::ONE, Replicas::ONE);
    function.serves(0.0, secs(1)).wants(2);
}

#[test]
fn a_hard_limit_counts_as_full_for_every_rule() {
    let mut function = Scenario::with(&[("max", "10")]);
    function.replica_limit = Some(1);
    function.load.in_flight = 1;
    function.load.waiting = 5;
    function.look();
    function.wants(6);
}

#[test]
fn the_explanation_has_the_formula_with_its_numbers() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(15, secs(40));
    let explained = function.autoscaler.explain(function.now, &function.function).expect("known");
    assert_eq!(
        explained.formula[0],
        "stable average over 30s: ceil(15.000 in flight / (5 × 1)) = 3"
    );
    assert_eq!(explained.decisions.len(), 1);
    assert_eq!(explained.decisions[0].reason, "burst");
}
