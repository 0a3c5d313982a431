//! How fast the count follows: rates, first counts, starts that fail.

mod support;

use support::{Scenario, secs};
use tidegate_autoscaler::{Ask, Hold};
use tidegate_core::Replicas;

fn with(ours: &[(&'static str, &'static str)]) -> Scenario {
    let mut labels =
        vec![("type", "capacity"), ("target", "5"), ("target-proportion", "1"), ("max", "40")];
    labels.extend_from_slice(ours);
    Scenario::with(&labels)
}

fn counts(function: &Scenario) -> Vec<u32> {
    function.changes.iter().map(|change| change.1).collect()
}

#[test]
fn an_up_rate_multiplies_what_is_ready_and_no_more() {
    let mut function = with(&[("tidegate:up-rate", "2")]);
    function.holds(100, secs(6)).wants(20);
    assert_eq!(counts(&function), [2, 4, 8, 16, 20]);
    // What is on its way is not multiplied.
    let mut function = with(&[("tidegate:up-rate", "2")]);
    function.instant_starts = false;
    function.holds(100, secs(30)).wants(2);
    assert!(matches!(function.hold(), Some(Hold::UpRate { .. })), "{:?}", function.hold());
    function.ready = Replicas::new(2);
    function.holds(100, secs(1)).wants(4);
}

#[test]
fn a_down_rate_divides_what_is_ready_step_by_step() {
    let mut function = with(&[("tidegate:down-rate", "2")]);
    function.holds(200, secs(40)).wants(40);
    function.changes.clear();
    function.holds(0, secs(90)).wants(1);
    assert_eq!(counts(&function), [20, 10, 5, 2, 1]);
}

#[test]
fn rates_bind_neither_a_wake_nor_an_operator() {
    let mut function = with(&[("tidegate:up-rate", "1.5"), ("min", "4")]);
    function.ask(Ask::Operator(Replicas::ZERO));
    function.load.waiting = 100;
    function.look();
    function.wants(20);
    let mut function = with(&[("tidegate:up-rate", "1.5")]);
    function.ask(Ask::Operator(Replicas::new(30)));
    function.wants(30);
}

#[test]
fn a_new_function_begins_with_its_first_count_once() {
    let mut function = with(&[("tidegate:initial", "6")]);
    function.look();
    function.wants(6);
    assert_eq!(function.changes[0].2, "initial");
    function.holds(1, secs(20)).wants(6).holds(1, secs(60)).wants(1);
    function.restart().holds(1, secs(60)).wants(1);
}

#[test]
fn with_load_there_are_at_least_so_many() {
    let mut function = with(&[("tidegate:activation", "3")]);
    function.holds(0, secs(40)).wants(1);
    function.holds(1, secs(10)).wants(3);
    function.holds(0, secs(60)).wants(1);
    function.ask(Ask::Operator(Replicas::ZERO));
    function.load.waiting = 1;
    function.look();
    function.wants(3);
}

#[test]
fn a_bad_pace_is_refused_with_what_is_allowed() {
    for (name, value, allowed) in [
        ("up-rate", "1", "a number above 1, such as 2 or 1.5"),
        ("down-rate", "x", "a number above 1, such as 2 or 1.5"),
        ("initial", "0", "a whole number from 1 to 10000"),
        ("tolerance", "101", "a whole percentage from 0 to 100"),
    ] {
        let label = format!("com.tidegate.scale.{name}");
        let labels = [(label.clone(), value.to_owned())].into();
        let bad = tidegate_core::Policy::from_labels(&labels).expect_err("bad");
        let told = format!("label {label}: {value:?} is not allowed; use {allowed}");
        assert_eq!(bad[0].to_string(), told);
    }
}
