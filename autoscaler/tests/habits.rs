//! The idle policies that learn, as timelines of the whole autoscaler.

mod support;

use std::time::Duration;

use support::{Scenario, secs};
use tidegate_autoscaler::{Ask, Config, Memory};
use tidegate_core::{Moment, Replicas};

const ADAPTIVE: [(&str, &str); 4] = [
    ("zero", "true"),
    ("zero-duration", "2m"),
    ("tidegate:zero-policy", "adaptive"),
    ("tidegate:prewarm", "true"),
];

/// Time passes with nothing but the looks that were asked for.
fn rests(function: &mut Scenario, span: Duration) {
    let end = function.now + span;
    while let Some(at) = function.look_again().filter(|at| *at <= end) {
        // A deadline that has passed would be looked at forever.
        assert!(at > function.now, "asked for {at} at {}", function.now);
        function.passes(at.since(function.now));
        function.look();
    }
    function.passes(end.since(function.now));
}

/// A call comes and lasts a second; gives whether it found a replica.
fn called(function: &mut Scenario) -> bool {
    let warm = !function.ready.is_zero();
    function.load.started += 1;
    function.load.waiting = u64::from(!warm);
    function.load.in_flight = u64::from(warm);
    function.look();
    function.passes(secs(1));
    (function.load.waiting, function.load.in_flight) = (0, 0);
    function.load.completed += 1;
    function.load.last_end = Some(function.now);
    function.look();
    warm
}

/// Calls every `period` until `times` have come; gives whether each found a replica.
fn cron(function: &mut Scenario, period: Duration, times: u32) -> Vec<bool> {
    (0..times)
        .map(|_| {
            rests(function, period - secs(1));
            called(function)
        })
        .collect()
}

#[test]
fn a_function_called_by_the_hour_is_away_between_the_calls_and_there_at_each() {
    let mut function = Scenario::with(&ADAPTIVE);
    called(&mut function);
    let warm = cron(&mut function, secs(3600), 12);
    assert!(warm[3..].iter().all(|warm| *warm), "{warm:?}");
    rests(&mut function, secs(1800));
    function.wants(0);
    let last = function.changes.last().map(|(_, _, reason)| *reason);
    assert_eq!(last, Some("idle"));
    assert!(function.changes.iter().any(|(_, to, reason)| *to == 1 && *reason == "expected"));
}

#[test]
fn the_promised_time_is_kept_whatever_was_learnt() {
    let mut function = Scenario::with(&ADAPTIVE);
    called(&mut function);
    cron(&mut function, secs(3600), 12);
    let end = function.load.last_end.expect("called");
    rests(&mut function, secs(119));
    function.wants(1);
    rests(&mut function, secs(600));
    function.wants(0);
    let (gone, _, _) = *function.changes.last().expect("gone");
    assert!(gone >= end + secs(120), "{gone}");
}

#[test]
fn a_call_that_is_expected_and_does_not_come_lets_it_go_again() {
    let mut function = Scenario::with(&ADAPTIVE);
    called(&mut function);
    cron(&mut function, secs(3600), 8);
    rests(&mut function, secs(100_000));
    function.wants(0);
    let starts = function
        .changes
        .iter()
        .rev()
        .take_while(|(at, _, _)| *at > Moment::from_secs(8 * 3600 + 200));
    assert!(starts.count() <= 4, "{:?}", function.changes);
}

#[test]
fn short_memory_keeps_it_at_zero() {
    let mut function = Scenario::with(&ADAPTIVE);
    called(&mut function);
    cron(&mut function, secs(3600), 8);
    function.autoscaler.memory_is_short(true);
    rests(&mut function, secs(3599));
    function.wants(0);
}

#[test]
fn a_zero_made_by_hand_stays_until_a_call_comes() {
    let mut function = Scenario::with(&ADAPTIVE);
    called(&mut function);
    cron(&mut function, secs(3600), 8);
    function.ask(Ask::Operator(Replicas::ZERO));
    rests(&mut function, secs(3599));
    function.wants(0);
    assert!(!called(&mut function));
    function.wants(1);
}

#[test]
fn a_restart_loses_nothing_that_was_learnt() {
    let mut function = Scenario::with(&ADAPTIVE);
    called(&mut function);
    cron(&mut function, secs(3600), 8);
    rests(&mut function, secs(1000));
    let before = function.autoscaler.memory(function.now, &function.function);
    let common = function.autoscaler.common();
    function.restart();
    function.autoscaler.restore_common(&common);
    assert_eq!(function.autoscaler.common(), common);
    let after = function.autoscaler.memory(function.now, &function.function);
    let habits = |memory: Option<Memory>| memory.and_then(|memory| memory.habits);
    assert_eq!(habits(before), habits(after));
    function.look();
    rests(&mut function, secs(2599));
    assert!(called(&mut function), "{:?}", function.changes);
}

#[test]
fn what_was_learnt_is_explained_with_its_numbers() {
    let mut function = Scenario::with(&ADAPTIVE);
    assert_eq!(Scenario::with(&[("zero", "true")]).explain().habit, None);
    called(&mut function);
    cron(&mut function, secs(3600), 8);
    rests(&mut function, secs(30));
    let habit = function.explain().habit.expect("it learns");
    assert_eq!((habit.policy, habit.least_seconds, habit.silences), ("adaptive", 120.0, Some(8)));
    assert!(habit.basis.contains("beat"), "{}", habit.basis);
    assert_eq!(habit.warm[0], (0.0, 120.0));
    assert!(habit.warm[1].0 < 3599.0 && habit.warm[1].1 > 3599.0, "{:?}", habit.warm);
    assert!(habit.price_an_hour.is_some_and(|price| price > 0.0));
    let (from, to) = habit.bin.expect("30 s lie in a bin");
    assert!(from <= 30.0 && 30.0 < to);
}

#[test]
fn the_hybrid_policy_keeps_what_it_does_not_know_for_four_hours() {
    let labels = [("zero", "true"), ("tidegate:zero-policy", "hybrid")];
    let mut function = Scenario::with(&labels);
    called(&mut function);
    rests(&mut function, secs(4 * 3600 - 10));
    function.wants(1);
    rests(&mut function, secs(20));
    function.wants(0);
}

#[test]
fn a_budget_that_is_overspent_makes_idle_time_dear() {
    let idle_budget = Some("0.1".parse().expect("a decimal"));
    let config = Config { idle_budget, ..Config::default() };
    let mut function = Scenario::with_config(&ADAPTIVE[..3], config);
    let price = |function: &Scenario| {
        serde_json::to_value(function.autoscaler.common()).expect("plain")["price"].as_f64()
    };
    let before = price(&function);
    for _ in 0..200 {
        rests(&mut function, secs(600));
        called(&mut function);
    }
    assert!(price(&function) > before);
}

#[test]
fn what_adaptive_functions_take_stays_small() {
    let plain = Scenario::with(&[("zero", "true")]);
    let mut learns = Scenario::with(&ADAPTIVE);
    let mut rests_plain = plain;
    called(&mut rests_plain);
    called(&mut learns);
    let more = learns.autoscaler.bytes() - rests_plain.autoscaler.bytes();
    assert!(more <= 256, "{more}");
}

#[test]
fn a_schedule_raises_the_minimum_and_keeps_it_from_zero_while_it_lasts() {
    let mut function = Scenario::with(&[("zero", "true"), ("max", "4")]);
    let id = function.function.clone();
    called(&mut function);
    rests(&mut function, secs(400));
    function.wants(0);
    function.autoscaler.floor(&id, Replicas::new(9));
    function.look();
    function.wants(4); // the maximum
    assert_eq!(function.changes.last().map(|(_, _, reason)| *reason), Some("scheduled"));
    rests(&mut function, secs(4000));
    function.wants(4);
    function.autoscaler.floor(&id, Replicas::new(2));
    function.serves(0.2, secs(60)).wants(2);
    function.autoscaler.floor(&id, Replicas::ZERO);
    function.serves(0.2, secs(60)).wants(1);
    rests(&mut function, secs(400));
    function.wants(0);
}
