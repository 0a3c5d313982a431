//! Missing, late and reset samples, restarts and new revisions, as timelines.

mod support;

use support::{Scenario, secs};
use tidegate_autoscaler::{Action, Config, Hold, Memory};
use tidegate_core::{Load, Moment, Observation, Replicas};

const CAPACITY_5: [(&str, &str); 4] =
    [("type", "capacity"), ("target", "5"), ("target-proportion", "1"), ("max", "8")];
const IDLES: [(&str, &str); 2] = [("zero", "true"), ("zero-duration", "1m")];

#[test]
fn missing_load_takes_nothing_down() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(40, secs(20)).wants(8);
    function.misses(secs(600)).wants(8);
    assert_eq!(function.hold(), Some(Hold::NoSamples));
    // Not even what is above the maximum; what is below the minimum comes up.
    let mut function = Scenario::with(&[("min", "2"), ("max", "4"), ("zero", "true")]);
    function.desired = Replicas::new(9);
    function.misses(secs(600)).wants(9);
    function.desired = Replicas::ONE;
    function.misses(secs(1)).wants(2);
}

#[test]
fn a_gap_without_looks_is_not_taken_for_silence() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(40, secs(40)).wants(8);
    function.load.in_flight = 0;
    function.passes(secs(3600));
    function.look();
    function.holds(0, secs(29)).wants(8);
    assert!(matches!(function.hold(), Some(Hold::Learning { .. })), "{:?}", function.hold());
    function.holds(0, secs(2)).wants(1);
}

#[test]
fn a_gap_is_no_calm_for_the_rule_without_a_target() {
    let mut function = Scenario::with(&[("max", "2")]);
    function.serves(10.0, secs(30)).wants(2);
    function.passes(secs(3600));
    function.look();
    function.serves(10.0, secs(60)).wants(2);
    assert_eq!(function.changes.len(), 1, "{:?}", function.changes);
}

#[test]
fn a_counter_that_goes_back_is_a_new_meter() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(40, secs(40)).wants(8);
    function.load = Load { in_flight: 40, ..Load::default() };
    function.holds(40, secs(40)).wants(8);
    // With calls that ended before, nothing is subtracted from what is not there any more.
    let mut function = Scenario::with(&[("target", "10"), ("target-proportion", "1")]);
    function.serves(20.0, secs(60)).wants(2);
    function.load = Load::default();
    function.serves(20.0, secs(60)).wants(2);
    assert_eq!(function.changes.len(), 1, "{:?}", function.changes);
}

#[test]
fn a_late_sample_with_old_counters_counts_for_nothing() {
    let mut function = Scenario::with(&[("target", "10"), ("target-proportion", "1")]);
    function.serves(20.0, secs(57)).wants(2);
    let (late, at) = (function.observation(), function.now);
    function.serves(20.0, secs(3));
    let decision = function.autoscaler.decide(at, &late);
    assert_eq!(decision.action, Action::Stay(Hold::NoSamples));
    assert_eq!(decision.look_again, Some(function.now + secs(1)));
    function.serves(20.0, secs(1));
    // Were the window begun anew at the late sample, the load would have to be learnt again.
    assert_eq!(function.hold(), Some(Hold::AtTarget));
}

#[test]
fn a_restart_at_constant_load_changes_nothing() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(22, secs(60)).wants(5);
    function.changes.clear();
    function.restart().holds(22, secs(300)).wants(5);
    assert!(function.changes.is_empty(), "{:?}", function.changes);
}

#[test]
fn a_restart_does_not_judge_by_the_first_second() {
    // Calls come in clumps: twenty in every other second, ten a second on average.
    let clumps = |function: &mut Scenario, seconds: u64| {
        for second in 0..seconds {
            function.serves(if second % 2 == 0 { 20.0 } else { 0.0 }, secs(1));
        }
    };
    let mut function = Scenario::with(&[("target", "12"), ("target-proportion", "1")]);
    clumps(&mut function, 60);
    function.wants(1);
    function.restart();
    clumps(&mut function, 60);
    assert!(function.changes.is_empty(), "{:?}", function.changes);
}

#[test]
fn a_restart_without_load_holds_for_a_stable_window() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(22, secs(60)).wants(5);
    function.load.in_flight = 0;
    function.restart().holds(0, secs(30)).wants(5);
    function.holds(0, secs(5)).wants(1);
}

#[test]
fn what_the_rule_without_a_target_raised_comes_back_after_a_restart() {
    let mut function = Scenario::with(&[("max", "2")]);
    function.serves(10.0, secs(30)).wants(2);
    function.restart().serves(0.0, secs(30)).wants(2);
    function.serves(0.0, secs(2)).wants(1);
}

#[test]
fn idle_time_survives_a_restart() {
    let mut function = Scenario::with(&IDLES);
    function.serves(1.0, secs(1)).serves(0.0, secs(40)).wants(1);
    let memory = function.autoscaler.memory(function.now, &function.function);
    assert_eq!(memory, Some(Memory { quiet_millis: 40_000, ..Memory::default() }));
    function.restart().serves(0.0, secs(19)).wants(1);
    function.serves(0.0, secs(1)).wants(0);
}

#[test]
fn a_function_that_nothing_is_known_of_gets_its_whole_grace_after_a_restart() {
    let mut function = Scenario::with(&IDLES);
    function.serves(1.0, secs(1)).serves(0.0, secs(40));
    function.autoscaler.remove(&function.function.clone());
    function.restart().serves(0.0, secs(59)).wants(1);
    function.serves(0.0, secs(1)).wants(0);
}

#[test]
fn a_busy_function_whose_last_sample_was_missing_is_not_remembered_as_quiet() {
    let mut function = Scenario::with(&IDLES);
    function.serves(5.0, secs(600)).misses(secs(2));
    let memory = function.autoscaler.memory(function.now, &function.function).expect("known");
    assert_eq!(memory.quiet_millis, 2000);
}

#[test]
fn time_at_zero_and_the_last_decision_survive_a_restart() {
    let mut function = Scenario::with(&IDLES);
    function.serves(0.0, secs(60)).wants(0);
    function.passes(secs(100));
    let memory = function.autoscaler.memory(function.now, &function.function).expect("known");
    assert_eq!(memory.zero_millis, Some(100_000));
    function.restart().passes(secs(10));
    let told = function.explain();
    assert_eq!(told.decisions.len(), 1);
    assert_eq!(told.decisions[0].why, "idle for 1m");
    assert_eq!(told.decisions[0].seconds_ago, 110.0);
}

#[test]
fn the_warm_time_goes_on_over_a_restart() {
    let config = Config { can_freeze: true, warm: secs(600), ..Config::default() };
    let mut function = Scenario::with_config(&IDLES, config.clone());
    function.serves(0.0, secs(60)).wants(0);
    function.frozen = Replicas::ONE;
    function.passes(secs(400));
    function.restart_with(config).look();
    assert_eq!(function.look_again(), Some(Moment::from_secs(200)));
}

#[test]
fn a_new_revision_forgets_the_load_keeps_the_count_and_gives_a_fresh_grace() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(22, secs(60)).wants(5);
    function.revision = 2;
    function.holds(1, secs(1)).wants(5);
    assert!(matches!(function.hold(), Some(Hold::Learning { .. })), "{:?}", function.hold());
    function.holds(1, secs(29)).wants(5);
    let mut function = Scenario::with(&IDLES);
    function.serves(0.0, secs(59)).wants(1);
    function.revision = 2;
    // The first look at it is a second later.
    function.serves(0.0, secs(60)).wants(1);
    function.serves(0.0, secs(1)).wants(0);
}

#[test]
fn a_function_that_is_not_known_stays() {
    let mut function = Scenario::with(&IDLES);
    function.autoscaler.remove(&function.function.clone());
    let seen = Observation { load: None, ..function.observation() };
    let decision = function.autoscaler.decide(Moment::from_secs(1), &seen);
    assert_eq!(decision.action, Action::Stay(Hold::NoSamples));
    assert_eq!(decision.look_again, None);
}
