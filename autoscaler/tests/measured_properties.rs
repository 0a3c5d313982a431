//! What no example can cover, for values that are measured elsewhere.

mod support;

use std::time::Duration;

use proptest::prelude::*;
use support::walk::{Dice, begin, end};
use support::{Scenario, secs};
use tidegate_autoscaler::{Ask, CustomRule, Source};
use tidegate_core::{Decimal, Replicas};

const CASES: u32 = if cfg!(debug_assertions) { 128 } else { 5000 };
/// Steps of the walk.
const STEPS: u32 = 1_000_000;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Value(usize, f64),
    Fails(usize),
    Calls(u64, u64),
    Misses(u64),
    Revision,
    Asked(u32),
}

fn rule(name: &str, target: u32) -> CustomRule {
    CustomRule {
        name: name.into(),
        target: Decimal::whole(target),
        proportion: "0.9".parse().expect("a decimal"),
        min_interval: secs(2),
    }
}

fn rules() -> Vec<CustomRule> {
    vec![rule("lag", 10), rule("heat", 25)]
}

/// What is measured of the function below, in the order of `Event`.
fn sources(kind: &str) -> Vec<Source> {
    let own = match kind {
        "cpu" => Some(Source::Cpu),
        "memory" => Some(Source::Memory),
        "latency" => Some(Source::Latency),
        _ => None,
    };
    let named = ["lag", "heat"].map(|name| Source::Rule(name.into()));
    own.into_iter().chain(named).collect()
}

const KINDS: [&str; 6] = ["cpu", "memory", "latency", "queue", "rps", "community"];

fn function(kind: &str, min: &str, max: &str) -> Scenario {
    let own: &[(&str, &str)] = match kind {
        "cpu" => &[("type", "cpu"), ("target", "100")],
        "memory" => &[("type", "memory"), ("target", "1Mi")],
        "latency" => &[("type", "latency"), ("tidegate:target", "p90:1s")],
        "queue" => &[("type", "queue"), ("target", "5")],
        "rps" => &[("target", "20")],
        _ => &[],
    };
    let mut function = Scenario::with(&[own, &[("min", min), ("max", max)]].concat());
    function.replica_limit = (kind == "queue").then_some(2);
    function.autoscaler.set_rules(&function.function.clone(), rules());
    function
}

/// Values about what some replicas carry, whatever the source.
fn scaled(source: &Source, value: f64) -> f64 {
    value
        * match source {
            Source::Cpu => 100.0,
            Source::Memory => 1_048_576.0,
            Source::Latency => 0.3,
            Source::Rule(_) => 10.0,
        }
}

fn happens(function: &mut Scenario, kind: &str, event: &Event) {
    let sources = sources(kind);
    match *event {
        Event::Value(which, value) => {
            let source = &sources[which % sources.len()];
            function.measures(source, scaled(source, value));
        }
        Event::Fails(which) => _ = function.fails(&sources[which % sources.len()], "no data"),
        Event::Calls(in_flight, waiting) => {
            (function.load.in_flight, function.load.waiting) = (in_flight, waiting);
        }
        Event::Misses(seconds) => _ = function.misses(secs(seconds)),
        Event::Revision => function.revision += 1,
        Event::Asked(count) => _ = function.ask(Ask::Operator(Replicas::new(count.max(1)))),
    }
}

fn events() -> impl Strategy<Value = Vec<(Event, u64)>> {
    let event = prop_oneof![
        12 => (0_usize..3, 0.0_f64..40.0).prop_map(|(which, value)| Event::Value(which, value)),
        3 => (0_usize..3).prop_map(Event::Fails),
        3 => (0_u64..40, 0_u64..60).prop_map(|(open, waiting)| Event::Calls(open, waiting)),
        1 => (1_u64..9).prop_map(Event::Misses),
        1 => Just(Event::Revision),
        1 => (1_u32..40).prop_map(Event::Asked),
        1 => (0_usize..3, prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-3.0), Just(1e300)])
            .prop_map(|(which, value)| Event::Value(which, value)),
    ];
    prop::collection::vec((event, 0_u64..12), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn replicas_never_leave_their_bounds_and_the_same_input_gives_the_same_decisions(
        kind in prop::sample::select(&KINDS[..]), events in events(), min in 1_u32..4, max in 4_u32..30,
    ) {
        let (least, most) = (min.to_string(), max.to_string());
        let (mut one, mut two) = (function(kind, &least, &most), function(kind, &least, &most));
        for (event, seconds) in events {
            for function in [&mut one, &mut two] {
                happens(function, kind, &event);
                function.holds(function.load.in_flight, secs(seconds));
                prop_assert!((min..=max).contains(&function.desired.get()), "{:?}", function.changes);
            }
            let told = |function: &Scenario| {
                let why_not = function.autoscaler.why_not(function.now, &function.function, Replicas::ONE);
                format!("{:?} {why_not:?}", function.explain())
            };
            prop_assert_eq!(told(&one), told(&two));
        }
        prop_assert_eq!(one.changes, two.changes);
    }

    #[test]
    fn a_rule_without_an_answer_never_lowers_the_count(
        kind in prop::sample::select(&KINDS[..]), events in events(), broken in 0_usize..3,
    ) {
        let mut function = function(kind, "1", "30");
        let sources = sources(kind);
        let broken = &sources[broken % sources.len()];
        for (event, seconds) in events {
            // The broken one may answer, but nobody hears it before the error that follows.
            happens(&mut function, kind, &event);
            function.fails(broken, "timed out");
            let (before, open) = (function.desired, function.load.in_flight);
            function.fails(broken, "timed out").holds(open, secs(seconds));
            prop_assert!(function.desired >= before, "{:?}", function.changes);
        }
    }

    #[test]
    fn more_of_what_is_measured_never_means_fewer_replicas(
        source in prop::sample::select(vec![Source::Cpu, Source::Memory, Source::Rule("lag".into())]),
        values in prop::collection::vec((0.0_f64..30.0, 0.0_f64..9.0, 1_u64..9), 1..80),
        start in 0_u64..8,
    ) {
        let kind = match &source { Source::Cpu => "cpu", Source::Memory => "memory", _ => "community" };
        let (mut less, mut greater) = (function(kind, "1", "400"), function(kind, "1", "400"));
        for function in [&mut less, &mut greater] {
            let only_lag: Vec<_> = (kind == "community").then(|| rule("lag", 10)).into_iter().collect();
            function.autoscaler.set_rules(&function.function.clone(), only_lag);
            function.instant_starts = start == 0;
        }
        for (value, more, seconds) in values {
            less.measures(&source, scaled(&source, value));
            greater.measures(&source, scaled(&source, value + more));
            for second in 0..seconds {
                less.holds(0, secs(1));
                greater.holds(0, secs(1));
                prop_assert!(greater.desired >= less.desired, "{:?} {:?}", greater.changes, less.changes);
                if second == start {
                    (less.ready, greater.ready) = (less.desired, greater.desired);
                }
            }
        }
    }

    #[test]
    fn more_calls_that_wait_never_mean_fewer_replicas(
        waits in prop::collection::vec((0_u64..200, 0_u64..50, 0_u64..9, 1_u64..12), 1..80),
    ) {
        let queue = || {
            let mut function = function("queue", "1", "400");
            function.autoscaler.set_rules(&function.function.clone(), Vec::new());
            function
        };
        let (mut less, mut greater) = (queue(), queue());
        for (waiting, more, open, seconds) in waits {
            for _ in 0..seconds {
                (less.load.waiting, greater.load.waiting) = (waiting, waiting + more);
                less.holds(open, secs(1));
                greater.holds(open, secs(1));
                prop_assert!(greater.desired >= less.desired, "{:?} {:?}", greater.changes, less.changes);
            }
        }
    }

    #[test]
    fn of_two_latencies_the_longer_never_gets_fewer_and_no_step_is_wild(
        values in prop::collection::vec(0.0_f64..20.0, 1..40), last in 0.0_f64..20.0, more in 0.0_f64..20.0,
    ) {
        let run = |end: f64| {
            let mut function = function("latency", "1", "400");
            function.autoscaler.set_rules(&function.function.clone(), Vec::new());
            for value in values.iter().chain(std::iter::repeat_n(&end, 8)) {
                let before = function.desired.get();
                function.measures(&Source::Latency, scaled(&Source::Latency, *value));
                function.serves(5.0, secs(5));
                let now = function.desired.get();
                assert!((before - 1..=before * 2).contains(&now), "{:?}", function.changes);
            }
            function
        };
        let (less, greater) = (run(last), run(last + more));
        prop_assert!(greater.desired >= less.desired, "{:?} {:?}", greater.changes, less.changes);
    }

    #[test]
    fn lost_doubled_and_late_values_lead_to_nothing_that_no_value_asks_for(
        values in prop::collection::vec((0.0_f64..30.0, 0_u8..6), 20..80),
    ) {
        let mut function = function("community", "1", "1000");
        let (id, lag) = (function.function.clone(), Source::Rule("lag".into()));
        function.autoscaler.set_rules(&id, vec![rule("lag", 10)]);
        let asks = |value: f64| ((value * 10.0 / 9.0 - 1e-9).ceil() as u64).max(1);
        function.holds(0, secs(10)).measures(&lag, 0.0);
        let mut newest = function.now;
        let mut seen = vec![0.0];
        function.holds(0, secs(5));
        for (value, fate) in values {
            let scaled = value * 10.0;
            // Older than what is known.
            let late = newest.saturating_sub(secs(2));
            match fate {
                0 => {}
                1 => _ = function.measures(&lag, scaled).measures(&lag, scaled),
                2 => function.autoscaler.measured(late, &id, &lag, Ok(9e6)),
                3 => function.autoscaler.measured(late, &id, &lag, Err("late".to_owned())),
                _ => _ = function.measures(&lag, scaled),
            }
            if [1, 4, 5].contains(&fate) {
                seen.push(value);
                newest = function.now;
            }
            function.holds(0, secs(5));
            let most = seen.iter().copied().map(asks).max().unwrap_or(1);
            let desired = u64::from(function.desired.get());
            prop_assert!(desired <= most, "{desired} > {most}: {:?}", function.changes);
            let lately = seen.iter().rev().take(8).copied().map(asks).min().unwrap_or(1);
            let known = seen.len() >= 8;
            prop_assert!(!known || desired >= lately, "{desired} < {lately}: {:?}", function.changes);
        }
    }

    #[test]
    fn a_clock_that_jumps_takes_nothing_down(value in 1.0_f64..30.0, jump in 6_u64..100_000, back in any::<bool>()) {
        let mut function = function("community", "1", "1000");
        let (id, lag) = (function.function.clone(), Source::Rule("lag".into()));
        function.autoscaler.set_rules(&id, vec![rule("lag", 10)]);
        function.reads(&lag, value * 10.0, secs(60));
        let (settled, now) = (function.desired, function.now);
        function.now = if back { now.saturating_sub(secs(jump)) } else { now + secs(jump) };
        function.measures(&lag, 0.0).look();
        prop_assert!(function.desired >= settled);
        function.now = now.max(function.now);
        function.reads(&lag, value * 10.0, secs(100));
        prop_assert_eq!(function.desired, settled, "{:?}", function.changes);
    }

    #[test]
    fn from_any_state_the_end_of_all_load_leads_to_the_minimum(
        kind in prop::sample::select(&KINDS[..]), events in events(), min in 1_u32..4,
    ) {
        let mut function = function(kind, &min.to_string(), "30");
        for (event, seconds) in events {
            happens(&mut function, kind, &event);
            function.holds(function.load.in_flight, secs(seconds));
        }
        (function.load.in_flight, function.load.waiting) = (0, 0);
        let sources = sources(kind);
        for _ in 0..60 {
            for source in &sources {
                function.measures(source, 0.0);
            }
            function.holds(0, secs(5));
        }
        prop_assert_eq!(function.desired.get(), min, "{:?}", function.changes);
    }
}

/// A walk of requests, values, errors, restarts, new rules, lost metrics and clocks that jump; the same each time.
#[test]
fn no_walk_stops_a_function_with_an_open_call() {
    let labels = [
        ("type", "cpu"),
        ("target", "100"),
        ("zero", "true"),
        ("zero-duration", "10s"),
        ("max", "9"),
    ];
    let mut function = Scenario::with(&labels);
    let sources = sources("cpu");
    let (mut zeros, mut dice) = (0, Dice(11));
    for step in 0..STEPS {
        let source = &sources[dice.throw(3) as usize];
        match dice.throw(60) {
            0 => _ = function.restart(),
            1..4 => _ = function.misses(secs(dice.throw(20))),
            4 => _ = function.ask([Ask::AlertFiring, Ask::AlertResolved][dice.throw(2) as usize]),
            5 => function.passes(secs(dice.throw(100))),
            6..14 => _ = function.measures(source, dice.throw(1500) as f64),
            14..17 => _ = function.fails(source, "timed out"),
            17 => function.measures(source, f64::NAN).revision += 1,
            18 => {
                let some = rules().into_iter().take(dice.throw(3) as usize).collect();
                function.autoscaler.set_rules(&function.function.clone(), some);
            }
            19 => jump(&mut function, dice.throw(50)),
            20..28 => begin(&mut function, dice.throw(4)),
            28..54 => end(&mut function, dice.throw(6)),
            _ => {}
        }
        function.passes(Duration::from_millis(dice.throw(3000)));
        let (open, before) = (function.load.demand(), function.desired);
        function.look();
        let desired = function.desired;
        assert!(open == 0 || !desired.is_zero(), "step {step} at {}", function.now);
        assert!(desired.get() <= 9, "step {step}: {:?}", function.changes.last());
        zeros += u32::from(desired.is_zero() && !before.is_zero());
        let load = &mut function.load;
        (load.in_flight, load.waiting) = (load.demand(), 0);
    }
    assert!(zeros > 100, "the walk went to zero {zeros} times only");
}

/// A look with a clock that went back, and is right again after it.
fn jump(function: &mut Scenario, seconds: u64) {
    let now = function.now;
    function.now = now.saturating_sub(secs(seconds));
    function.look();
    function.now = now;
}
