//! Why not another count: each obstacle is told with its numbers.

mod support;

use support::{Scenario, secs};
use tidegate_autoscaler::{Ask, Source};
use tidegate_core::Replicas;

const CAPACITY_5: [(&str, &str); 4] =
    [("type", "capacity"), ("target", "5"), ("target-proportion", "1"), ("max", "8")];

fn because(function: &Scenario, asked: u32) -> String {
    let asked = Replicas::new(asked);
    let told = function.autoscaler.why_not(function.now, &function.function, asked);
    told.expect("known").because.join("\n")
}

#[track_caller]
fn tells(function: &Scenario, asked: u32, parts: &[&str]) {
    let told = because(function, asked);
    for part in parts {
        assert!(told.contains(part), "{part:?} is not in {told:?}");
    }
}

#[test]
fn more_than_the_load_asks_for() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(15, secs(40)).wants(3);
    tells(&function, 3, &["there are 3: the load asks for what there is"]);
    tells(
        &function,
        5,
        &[
            "the load asks for 3 only",
            "stable average over 30s: ceil(15.000 in flight / (5 × 1)) = 3",
            "5 come with more than 20.0 in flight on average, 4 × 5 × 1, or at once when more than 20 calls are open",
        ],
    );
    tells(&function, 9, &["9 is above the maximum, com.openfaas.scale.max = 8"]);
}

#[test]
fn fewer_than_the_open_calls_fill() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(15, secs(40)).wants(3);
    tells(&function, 2, &["15 calls are open and fill 3", "the load asks for 3"]);
    tells(&function, 0, &["never: com.openfaas.scale.zero is not true"]);
}

#[test]
fn fewer_than_was_wanted_a_moment_ago() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(38, secs(40)).wants(8).holds(4, secs(20)).wants(8);
    tells(&function, 2, &["8 were wanted 20s ago, and the highest wish of the last 32s holds"]);
    function.restart().holds(4, secs(5)).wants(8);
    tells(&function, 2, &["the load was seen for 4s of the 30s that a step down needs"]);
    function.misses(secs(3));
    tells(&function, 2, &["the load was last known 3s ago"]);
}

#[test]
fn fewer_than_a_load_about_a_boundary_needs() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(12, secs(40)).wants(3).holds(9, secs(120)).wants(3);
    tells(&function, 2, &["9.000 in flight and 15 % more are 10.350", "above the 10.000 of 2"]);
}

#[test]
fn at_zero_only_a_call_counts() {
    let mut function = Scenario::with(&[("zero", "true"), ("zero-duration", "1m")]);
    tells(&function, 1, &["not been looked at"]);
    function.serves(0.0, secs(90)).wants(0);
    tells(&function, 2, &["at zero for 30s", "only a call that waits"]);
}

#[test]
fn without_a_target_the_rate_and_who_asked_are_told() {
    let mut function = Scenario::with(&[("max", "8")]);
    function.serves(2.0, secs(20)).wants(1);
    tells(&function, 2, &["2.0 calls a second; more than 5 step up by 10 %"]);
    function.ask(Ask::Operator(Replicas::new(4)));
    function.serves(2.0, secs(90)).wants(4);
    tells(&function, 3, &["asked for by an operator or an alert"]);
}

#[test]
fn starts_that_do_not_succeed_and_rates_are_told() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.instant_starts = false;
    function.holds(9, secs(120)).wants(2);
    tells(&function, 4, &["1 that were started are not ready for", "no more are started"]);
    let mut labels = CAPACITY_5.to_vec();
    labels.push(("tidegate:up-rate", "2"));
    let mut function = Scenario::with(&labels);
    function.instant_starts = false;
    function.holds(40, secs(10)).wants(2);
    tells(&function, 8, &["1 are ready, and up-rate 2 allows 2 at once"]);
    assert_eq!(
        function.explain().decision,
        "stays at 2: 8 wanted, but com.tidegate.scale.up-rate allows no more while 1 are ready"
    );
}

#[test]
fn what_is_measured_elsewhere_stands_against_more_and_fewer() {
    let labels = [("type", "cpu"), ("target", "500"), ("target-proportion", "1"), ("max", "10")];
    let mut function = Scenario::with(&labels);
    tells(&function, 2, &["not been looked at"]);
    function.reads(&Source::Cpu, 1400.0, secs(40)).wants(3);
    tells(
        &function,
        5,
        &[
            "cpu asks for 3 only",
            "cpu, mean of 30s: ceil(1400 milli-CPU / (500 × 1)) = 3",
            "5 come with more than 2000 milli-CPU by cpu, 4 × 500 × 1",
        ],
    );
    tells(&function, 2, &["cpu asks for 3"]);
    function.reads(&Source::Cpu, 940.0, secs(40)).wants(3);
    tells(&function, 2, &["15 % more than there is asks for 3, not 2", "within 15m of that"]);
    function.fails(&Source::Cpu, "no cgroup").holds(0, secs(2));
    let why = "cpu could not be measured: no cgroup; that never scales down";
    tells(&function, 1, &[why, "the load was seen for 0s of the 30s"]);
    tells(&function, 3, &["there are 3: cpu could not be measured"]);
    tells(&function, 4, &[why]);
}
