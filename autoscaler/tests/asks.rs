//! What operators, alerts and waiting calls ask for, as timelines.

mod support;

use support::{Scenario, secs};
use tidegate_autoscaler::{Action, Ask, Hold, Reason};
use tidegate_core::Replicas;

const CAPACITY_5: [(&str, &str); 4] =
    [("type", "capacity"), ("target", "5"), ("target-proportion", "1"), ("max", "8")];

#[test]
fn what_an_operator_asked_for_stays_without_a_target() {
    let mut function = Scenario::with(&[("max", "8")]);
    function.ask(Ask::Operator(Replicas::new(5)));
    function.serves(1.0, secs(600)).wants(5);
}

#[test]
fn with_a_target_the_load_goes_on_deciding_after_the_hold() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(4, secs(40)).wants(1);
    function.ask(Ask::Operator(Replicas::new(6)));
    function.holds(4, secs(31)).wants(6); // a stable window
    function.holds(4, secs(5)).wants(1);
}

#[test]
fn an_operators_count_is_brought_within_the_bounds_and_the_reason_says_so() {
    let mut function = Scenario::with(&[("min", "2"), ("max", "6")]);
    function.ask(Ask::Operator(Replicas::new(50)));
    function.wants(6);
    function.ask(Ask::Operator(Replicas::ONE));
    function.wants(2);
    function.ask(Ask::Operator(Replicas::new(2)));
    function.ask(Ask::Operator(Replicas::ZERO));
    function.wants(0);
    let told: Vec<String> = function.explain().decisions.into_iter().map(|past| past.why).collect();
    // Also the ask for what was there is on record.
    let expected = [
        "an operator asked for 50, the maximum is 6",
        "an operator asked for 1, the minimum is 2",
        "an operator asked for 2",
        "an operator asked for 0",
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_operators_ask_gives_a_fresh_grace() {
    let mut function = Scenario::with(&[("zero", "true"), ("zero-duration", "1m")]);
    function.serves(0.0, secs(59)).wants(1);
    function.ask(Ask::Operator(Replicas::new(3)));
    function.serves(0.0, secs(59)).wants(3);
    function.serves(0.0, secs(1)).wants(0);
}

#[test]
fn alerts_step_as_the_community_edition_does_without_its_cap_of_five() {
    type Labels = &'static [(&'static str, &'static str)];
    // labels, count, firing or resolved, then
    let examples: [(Labels, u32, Ask, u32); 8] = [
        (&[("max", "5")], 1, Ask::AlertFiring, 2),
        (&[("max", "5"), ("factor", "100")], 1, Ask::AlertFiring, 5),
        (&[("max", "3"), ("factor", "50")], 1, Ask::AlertFiring, 3),
        (&[("max", "20"), ("factor", "50")], 1, Ask::AlertFiring, 11), // 4 with the cap
        (&[("max", "5")], 9, Ask::AlertFiring, 5),
        (&[("min", "2"), ("max", "5")], 4, Ask::AlertResolved, 2),
        (&[("max", "5"), ("factor", "0")], 1, Ask::AlertFiring, 1),
        (&[("max", "5"), ("factor", "0")], 3, Ask::AlertResolved, 3),
    ];
    for (labels, from, ask, to) in examples {
        let mut function = Scenario::with(labels);
        (function.desired, function.ready) = (Replicas::new(from), Replicas::new(from));
        function.ask(ask);
        assert_eq!(function.desired.get(), to, "{labels:?} {ask:?} from {from}");
    }
}

#[test]
fn at_zero_an_alert_raises_nothing() {
    for alert in [Ask::AlertFiring, Ask::AlertResolved] {
        let mut function = Scenario::with(&[("max", "5")]);
        function.ask(Ask::Operator(Replicas::ZERO));
        let decision = function.ask(alert);
        assert_eq!(decision.action, Action::Stay(Hold::AtZero));
    }
}

#[test]
fn with_a_target_an_alert_that_is_over_takes_no_replica_that_the_load_asks_for() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(20, secs(60)).wants(4);
    function.ask(Ask::AlertFiring);
    function.wants(5); // 10 % of 8, rounded up
    function.ask(Ask::AlertResolved);
    function.wants(4); // 20 / 5
}

#[test]
fn what_an_alert_raised_the_rule_without_a_target_leaves_alone() {
    let mut function = Scenario::with(&[("max", "5")]);
    function.ask(Ask::AlertFiring);
    function.serves(1.0, secs(300)).wants(2);
    function.ask(Ask::AlertResolved);
    function.wants(1);
}

#[test]
fn an_ask_to_wake_wakes_even_when_no_waiting_call_was_seen() {
    let mut function = Scenario::with(&[("min", "2")]);
    function.ask(Ask::Operator(Replicas::ZERO));
    let decision = function.ask(Ask::Wake);
    function.wants(2);
    let woken = Reason::Woken { waiting: 0 };
    assert!(matches!(decision.action, Action::Scale { reason, .. } if reason == woken));
}

#[test]
fn a_zero_is_woken_by_many_waiting_calls_once() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.ask(Ask::Operator(Replicas::ZERO));
    function.instant_starts = false;
    function.load.waiting = 10_000;
    for _ in 0..50 {
        function.look();
    }
    function.wants(8);
    assert_eq!(function.changes.len(), 2, "{:?}", function.changes); // to zero, and back
}
