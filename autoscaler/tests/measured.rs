//! Values measured elsewhere: what they ask for, and what happens when they are missing.

mod support;

use support::{Scenario, secs};
use tidegate_autoscaler::{CustomRule, Hold, Source, Trouble, Unmeasured};
use tidegate_core::{Decimal, Replicas};

const CPU_500: [(&str, &str); 4] =
    [("type", "cpu"), ("target", "500"), ("target-proportion", "1"), ("max", "10")];

fn rule(name: &str, target: u32, seconds: u64) -> CustomRule {
    CustomRule {
        name: name.into(),
        target: Decimal::whole(target),
        proportion: Decimal::whole(1),
        min_interval: secs(seconds),
    }
}

fn named(name: &str) -> Source {
    Source::Rule(name.into())
}

fn with_rules(pairs: &[(&str, &str)], rules: &[CustomRule]) -> Scenario {
    let mut function = Scenario::with(pairs);
    function.autoscaler.set_rules(&function.function.clone(), rules.to_vec());
    function
}

#[track_caller]
fn held_by(function: &Scenario, source: &Source) -> Trouble {
    match function.hold() {
        Some(Hold::Unmeasured(missing)) if missing.source == *source => missing.trouble.clone(),
        other => panic!("{source} holds nothing, but {other:?}"),
    }
}

#[test]
fn cpu_is_divided_by_the_target_up_at_once_and_down_after_the_window() {
    let mut function = Scenario::with(&CPU_500);
    function.reads(&Source::Cpu, 400.0, secs(40)).wants(1);
    // Seen in two samples; the mean of six is lower.
    function.reads(&Source::Cpu, 2400.0, secs(6)).wants(5);
    assert_eq!(function.changes.last().map(|change| change.2), Some("cpu_above_target"));
    function.reads(&Source::Cpu, 400.0, secs(30)).wants(5);
    function.reads(&Source::Cpu, 400.0, secs(20)).wants(1);
    assert_eq!(function.changes.last().map(|change| change.2), Some("cpu_below_target"));
}

#[test]
fn one_sample_of_cpu_that_a_start_burns_is_not_followed() {
    let mut function = Scenario::with(&CPU_500);
    function.reads(&Source::Cpu, 300.0, secs(60)).measures(&Source::Cpu, 1400.0);
    function.holds(0, secs(5)).wants(1).reads(&Source::Cpu, 300.0, secs(60)).wants(1);
}

#[test]
fn memory_is_divided_by_the_target() {
    let labels = [("type", "memory"), ("target", "256Mi"), ("target-proportion", "1")];
    let mut function = Scenario::with(&labels);
    function.reads(&Source::Memory, f64::from(700 << 20), secs(10)).wants(3);
}

#[test]
fn a_named_rule_scales_a_function_without_a_target_and_the_highest_wins() {
    let mut function = with_rules(&[], &[rule("lag", 10, 0), rule("heat", 7, 0)]);
    function.measures(&named("heat"), 20.0).reads(&named("lag"), 42.0, secs(10)).wants(5);
    assert_eq!(function.changes[0].2, "rule_above_target");
    // More than five calls a second mean nothing where rules scale.
    function.measures(&named("heat"), 20.0).serves(50.0, secs(5)).wants(5);
    assert_eq!(function.explain().decisions[0].why, "rule lag asks for 5");
}

#[test]
fn the_load_and_a_rule_together_give_the_higher() {
    let labels = [("type", "capacity"), ("target", "5"), ("target-proportion", "1")];
    let mut function = with_rules(&labels, &[rule("lag", 10, 0)]);
    function.load.in_flight = 20;
    function.reads(&named("lag"), 25.0, secs(20)).wants(4);
    function.reads(&named("lag"), 68.0, secs(20)).wants(7);
    function.load.in_flight = 0;
    function.reads(&named("lag"), 63.0, secs(60)).wants(7);
    function.reads(&named("lag"), 5.0, secs(60)).wants(1);
}

#[test]
fn an_error_silence_or_nonsense_holds_the_count_and_says_so() {
    let mut function = with_rules(&[("max", "10")], &[rule("lag", 10, 0)]);
    let lag = named("lag");
    function.holds(0, secs(1));
    assert_eq!(held_by(&function, &lag), Trouble::NotYet);
    function.reads(&lag, 50.0, secs(60)).wants(5);
    function.fails(&lag, "timed out").holds(0, secs(600)).wants(5);
    assert_eq!(held_by(&function, &lag), Trouble::Failed { why: "timed out".into() });
    assert_eq!(
        function.explain().decision,
        "stays at 5: rule lag could not be measured: timed out; that never scales down"
    );
    // Known again, it has to be known for a while before it counts for less.
    function.reads(&lag, 8.0, secs(30)).wants(5);
    function.reads(&lag, 8.0, secs(10)).wants(1);
    function.reads(&lag, 50.0, secs(60)).wants(5).holds(0, secs(300)).wants(5);
    assert!(matches!(held_by(&function, &lag), Trouble::Old { age } if age > secs(290)));
    for nonsense in [f64::NAN, f64::INFINITY, -1.0] {
        function.reads(&lag, 50.0, secs(40));
        function.measures(&lag, nonsense).holds(0, secs(100)).wants(5);
        assert!(matches!(held_by(&function, &lag), Trouble::Failed { .. }));
    }
}

#[test]
fn while_one_rule_is_missing_the_others_scale_up_and_none_down() {
    let mut function = with_rules(&[("max", "10")], &[rule("lag", 10, 0), rule("heat", 10, 0)]);
    let (lag, heat) = (named("lag"), named("heat"));
    for _ in 0..12 {
        function.measures(&heat, 30.0).reads(&lag, 20.0, secs(5));
    }
    function.wants(3).fails(&heat, "no data").reads(&lag, 60.0, secs(20)).wants(6);
    function.fails(&heat, "no data").reads(&lag, 10.0, secs(300)).wants(6);
    assert_eq!(held_by(&function, &heat), Trouble::Failed { why: "no data".into() });
}

#[test]
fn a_rule_scales_up_even_while_the_load_is_not_known() {
    let mut function = with_rules(&[("max", "10")], &[rule("lag", 10, 0)]);
    function.measures(&named("lag"), 45.0).misses(secs(1)).wants(5);
    function.measures(&named("lag"), 5.0).misses(secs(10)).wants(5);
    assert_eq!(function.hold(), Some(Hold::NoSamples));
}

#[test]
fn an_answer_is_taken_at_most_once_an_interval() {
    let mut function = with_rules(&[("max", "10")], &[rule("lag", 10, 30)]);
    let lag = named("lag");
    function.measures(&lag, 15.0).holds(0, secs(10)).wants(2);
    function.measures(&lag, 95.0).holds(0, secs(10)).wants(2);
    function.fails(&lag, "too soon to count").holds(0, secs(7)).wants(2);
    // A tenth early is on time.
    function.measures(&lag, 65.0).holds(0, secs(1)).wants(6);
    // Three intervals are fresh.
    function.holds(0, secs(85));
    assert_ne!(function.hold().map(|hold| hold.label()), Some("not_measured"));
    function.holds(0, secs(10)).wants(6);
    assert!(matches!(held_by(&function, &lag), Trouble::Old { .. }));
}

#[test]
fn late_and_unwanted_values_count_for_nothing() {
    let mut function = Scenario::with(&CPU_500);
    function.reads(&Source::Cpu, 400.0, secs(20));
    let id = function.function.clone();
    let before = function.now.saturating_sub(secs(10));
    function.autoscaler.measured(before, &id, &Source::Cpu, Ok(9000.0));
    function.autoscaler.measured(before, &id, &Source::Cpu, Err("late".to_owned()));
    function.measures(&Source::Memory, 1e12).measures(&named("lag"), 1e9);
    function.reads(&Source::Cpu, 400.0, secs(20)).wants(1);
    assert_eq!(function.hold(), Some(Hold::AtTarget));
}

#[test]
fn what_must_be_measured_is_named_while_it_matters() {
    let wanted = |function: &Scenario| function.autoscaler.wanted(&function.function);
    assert_eq!(wanted(&Scenario::with(&[])), []);
    assert_eq!(wanted(&with_rules(&[("min", "2"), ("max", "2")], &[rule("lag", 1, 0)])), []);
    let labels = [&CPU_500[..], &[("zero", "true"), ("zero-duration", "1m")]].concat();
    let mut function = with_rules(&labels, &[rule("lag", 10, 0)]);
    assert_eq!(wanted(&function), [Source::Cpu, named("lag")]);
    // A rule that does not answer keeps no idle function running.
    function.fails(&named("lag"), "gone").reads(&Source::Cpu, 0.0, secs(70)).wants(0);
    assert_eq!(wanted(&function), []);
    // At zero only a call counts; woken, it holds until the value is known again.
    function.measures(&Source::Cpu, 5000.0).holds(0, secs(5)).wants(0);
    function.load.waiting = 1;
    function.look();
    function.wants(1);
    assert_eq!(wanted(&function), [Source::Cpu, named("lag")]);
    let missing = Unmeasured { source: Source::Cpu, trouble: Trouble::NotYet };
    assert!(Hold::Unmeasured(missing.into()).to_string().contains("cpu was not measured yet"));
}

#[test]
fn rules_may_change_and_keep_what_is_known() {
    let mut function = with_rules(&[("max", "10")], &[rule("lag", 10, 0)]);
    let (id, lag) = (function.function.clone(), named("lag"));
    function.reads(&lag, 50.0, secs(60)).wants(5);
    function.autoscaler.set_rules(&id, vec![rule("heat", 1, 0), rule("lag", 8, 0)]);
    function.holds(0, secs(1)).wants(7);
    function.autoscaler.set_rules(&id, Vec::new());
    assert_eq!(function.autoscaler.wanted(&id), []);
    // The record tells of a rule that is gone by its name.
    assert_eq!(function.explain().decisions[1].why, "rule lag asks for 7");
    let bytes = function.autoscaler.bytes();
    function.autoscaler.set_rules(&id, Vec::new());
    assert_eq!(function.autoscaler.bytes(), bytes);
}

#[test]
fn a_new_revision_is_measured_anew() {
    let mut function = Scenario::with(&CPU_500);
    function.reads(&Source::Cpu, 2400.0, secs(60)).wants(5);
    function.revision = 2;
    function.holds(0, secs(1)).wants(5);
    assert_eq!(held_by(&function, &Source::Cpu), Trouble::NotYet);
    function.reads(&Source::Cpu, 100.0, secs(30)).wants(5);
    function.reads(&Source::Cpu, 100.0, secs(10)).wants(1);
}

#[test]
fn a_full_replica_asks_for_another_whatever_is_measured() {
    let mut function = Scenario::with(&CPU_500);
    function.replica_limit = Some(2);
    function.load.in_flight = 7;
    function.look();
    function.wants(4);
    function.ask(tidegate_autoscaler::Ask::Operator(Replicas::new(9)));
    function.reads(&Source::Cpu, 100.0, secs(60)).wants(4);
}
