//! Policies over time.

mod support;

use std::time::Duration;

use support::{Scenario, secs};
use tidegate_autoscaler::{Action, Ask, Config, Depth, Hold, Reason, Source};
use tidegate_core::Replicas;

const CAPACITY_5: [(&str, &str); 4] =
    [("type", "capacity"), ("target", "5"), ("target-proportion", "1"), ("max", "8")];

#[test]
fn capacity_follows_the_open_calls_up_and_down() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(15, secs(10)).wants(3); // 15 / 5
    function.holds(60, secs(10)).wants(8); // 12, bounded by 8
    // The last wish for 8 holds for a stable window (30 s) and a little; steps down are at whole 5 s.
    function.holds(4, secs(30)).wants(8);
    function.holds(4, secs(8)).wants(1);
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
    // One call at a target of one leaves no room: two are kept for a while.
    function.holds(1, secs(12)).wants(2);
    function.holds(1, secs(900)).wants(1);
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
    assert_eq!(function.hold(), Some(Hold::AtTarget));
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
fn starts_that_are_stuck_hold_nothing_up_where_most_replicas_are_ready() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(24, secs(60)).wants(5);
    function.instant_starts = false;
    function.ready = Replicas::new(4);
    function.holds(24, secs(120)).wants(5);
    function.holds(35, secs(1)).wants(7);
}

#[test]
fn steps_without_a_target_are_five_seconds_apart_and_the_way_back_waits_for_calm() {
    let mut function = Scenario::with(&[("max", "20")]);
    // The first two looks are at 1 and 2 s, and two readings make a rate.
    function.serves(100.0, secs(2)).wants(3);
    function.serves(100.0, secs(4)).wants(3);
    function.serves(100.0, secs(1)).wants(5);
    let mut function = Scenario::with(&[("max", "2")]);
    function.serves(10.0, secs(30)).wants(2);
    // More than fifty calls within ten seconds until 34 s, then calm for a stable window of 30 s.
    function.serves(0.0, secs(33)).wants(2);
    function.serves(0.0, secs(1)).wants(1);
}

#[test]
fn a_step_in_calls_a_second_is_followed_within_the_fast_window() {
    let mut function = Scenario::with(&[("target", "10"), ("target-proportion", "1")]);
    function.serves(10.0, secs(60)).wants(1);
    function.serves(100.0, secs(7));
    // The fast average is 100, of which 90 % scale up at once; the stable one tells the rest.
    assert!((9..=11).contains(&function.desired.get()), "{:?}", function.changes);
    function.serves(100.0, secs(25)).wants(10);
}

#[test]
fn clumps_of_calls_with_pauses_between_count_together() {
    let mut function = Scenario::with(&[("target", "12"), ("target-proportion", "1")]);
    for _ in 0..20 {
        function.serves(60.0, secs(1)).serves(0.0, secs(2));
    }
    function.wants(2); // 60 in 3 s are 20 a second
}

#[test]
fn deep_waves_come_down_after_the_same_time_each() {
    let mut function = Scenario::with(&CAPACITY_5);
    for _ in 0..6 {
        function.holds(40, secs(40)).wants(8);
        function.holds(1, secs(40)).wants(1);
    }
}

#[test]
fn without_tolerance_the_count_follows_a_load_that_hovers_about_a_boundary() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(6, secs(40)).wants(2).holds(5, secs(600)).wants(2);
    assert!(matches!(function.hold(), Some(Hold::Hovering { .. })), "{:?}", function.hold());
    let mut function = Scenario::with(&[
        ("type", "capacity"),
        ("target", "5"),
        ("target-proportion", "1"),
        ("tidegate:tolerance", "0"),
    ]);
    function.holds(6, secs(40)).wants(2).holds(5, secs(40)).wants(1);
}

#[test]
fn a_woken_function_gets_its_minimum_and_a_fresh_grace() {
    let labels = [("min", "3"), ("zero", "true"), ("zero-duration", "1m")];
    let mut function = Scenario::with(&labels);
    function.serves(0.0, secs(60)).wants(0);
    function.load.waiting = 1;
    function.look();
    function.wants(3);
    function.load.waiting = 0;
    function.serves(0.0, secs(59)).wants(3).serves(0.0, secs(1)).wants(0);
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
fn what_a_hard_limit_raised_comes_back_without_a_target() {
    let mut function = Scenario::with(&[("max", "10")]);
    function.replica_limit = Some(1);
    function.holds(6, secs(20)).wants(6);
    // The last wish for six holds for a stable window (30 s) and a part of it.
    function.holds(0, secs(31)).wants(6);
    function.holds(0, secs(3)).wants(1);
}

#[test]
fn a_long_call_is_traffic_when_it_begins() {
    let mut function = Scenario::with(&[("max", "20")]);
    // Sixty calls of ten minutes begin within ten seconds, six a second; none ends.
    for _ in 0..10 {
        function.load.started += 6;
        function.load.in_flight += 6;
        function.passes(secs(1));
        function.look();
    }
    function.wants(3); // 1 + 10 % of 20
    assert_eq!(function.changes[0].2, "busy");
}

#[test]
fn the_maximum_is_named_when_it_is_what_holds() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(60, secs(60)).wants(8);
    assert_eq!(function.hold(), Some(Hold::AtMax { wanted: Replicas::new(12) })); // 60 / 5
}

#[test]
fn a_static_function_that_lost_its_count_is_left_alone_and_still_idles_and_wakes() {
    let labels =
        [("min", "3"), ("max", "3"), ("zero", "true"), ("zero-duration", "1m"), ("target", "1")];
    let mut function = Scenario::with(&labels);
    (function.desired, function.ready) = (Replicas::new(2), Replicas::new(2));
    function.serves(50.0, secs(30)).wants(2);
    function.serves(0.0, secs(60)).wants(0);
    function.load.waiting = 1;
    function.look();
    function.wants(3);
}

#[test]
fn an_idle_deadline_between_two_ticks_is_kept_exactly() {
    let mut function = Scenario::with(&[("zero", "true"), ("zero-duration", "2500ms")]);
    function.serves(3.0, secs(2));
    let ended = function.load.last_end.expect("calls ended");
    function.serves(0.0, secs(2)).wants(1);
    assert_eq!(function.look_again(), Some(ended + Duration::from_millis(2500)));
    function.passes(Duration::from_millis(500));
    function.look();
    function.wants(0);
}

#[test]
fn a_function_with_full_windows_takes_little() {
    let mut function = Scenario::with(&CAPACITY_5);
    for round in 0..40 {
        function.holds(2 + round % 3, secs(3));
    }
    assert!(function.autoscaler.bytes() <= 1200, "{}", function.autoscaler.bytes());
    // With a value that is measured elsewhere as well.
    let mut busy = Scenario::with(&[("type", "cpu"), ("target", "1000")]);
    for _ in 0..40 {
        busy.measures(&Source::Cpu, 700.0).serves(3.0, secs(5));
    }
    assert!(busy.autoscaler.bytes() <= 1024, "{}", busy.autoscaler.bytes());
    let mut quiet = Scenario::with(&IDLES);
    quiet.serves(0.0, secs(5));
    assert!(quiet.autoscaler.bytes() <= 700, "{}", quiet.autoscaler.bytes());
}
