//! Every generator makes as many calls as it says, in order, and the same ones for the same seed.

use tidegate_simulator::generate::{KINDS, generate};
use tidegate_simulator::trace::Trace;

fn count(text: &str) -> f64 {
    let trace = generate(text).expect(text);
    trace.functions.iter().map(|one| one.calls.stream().count()).sum::<usize>() as f64
}

fn all(trace: &Trace) -> Vec<(u64, u64)> {
    let calls = trace.functions.iter().flat_map(|one| one.calls.stream());
    calls.map(|call| (call.at, call.takes)).collect()
}

#[test]
fn the_number_of_calls_is_what_the_rate_says() {
    let hour = 3600.0;
    let day = 24.0 * hour;
    for (text, wanted) in [
        ("poisson?rate=20", 20.0 * hour),
        ("even?rate=20", 20.0 * hour),
        ("even?rate=20&noise=0.1", 20.0 * hour),
        ("even?rate=0.5&duration=10h", 5.0 * hour),
        ("step?from=2&to=30", 16.0 * hour),
        ("step?from=2&to=30&at=45m", 9.0 * hour),
        ("ramp?from=0&to=20", 10.0 * hour),
        ("square?low=2&high=20", 11.0 * hour),
        ("square?low=2&high=20&noise=0.1", 11.0 * hour),
        ("sine?low=0&high=20", 10.0 * hour),
        ("spikes?low=1&high=100&period=10m&width=60s", 10.9 * hour),
        ("diurnal?rate=0.5&shift=1&weekend=1", 7.0 * day),
        ("diurnal?rate=0.5&shift=3&weekend=1", 14.0 * day),
        ("diurnal?rate=0.5&shift=1&weekend=0", 5.0 * day),
        ("bursts?every=1m&size=100&duration=24h", 144_000.0),
        ("rare?every=1m&duration=240h", 14_400.0),
        ("cron?every=1m&duration=1h", 60.0),
        ("cron?every=1m&drift=6s&duration=11h", 600.0),
        ("long-calls?rate=2", 2.0 * hour),
        ("slow-starter?rate=5", 5.0 * hour),
        ("crash-loop?rate=5", 5.0 * hour),
        ("zipf?functions=100&rate=50", 50.0 * hour),
        ("azure?functions=100&duration=7d&calls=500000", 5e5),
    ] {
        let found = count(text);
        // Three deviations of Poisson, more where calls come together.
        let together = if text.contains("bursts") || text.contains("azure") { 0.1 } else { 0.005 };
        let tolerance = 3.0 * f64::sqrt(wanted) + together * wanted;
        assert!((found - wanted).abs() <= tolerance, "{text}: {found} for {wanted}");
    }
}

#[test]
fn the_same_seed_makes_the_same_calls_in_order_of_time_within_the_trace() {
    for (kind, ..) in KINDS {
        let text = |seed: u32| match kind {
            "azure" | "zipf" => format!("{kind}?functions=20&duration=1h&seed={seed}"),
            _ => format!("{kind}?duration=3h&seed={seed}"),
        };
        let (first, again) = (generate(&text(1)).expect(kind), generate(&text(1)).expect(kind));
        assert!(all(&first) == all(&again), "{kind}");
        let other = generate(&text(2)).expect(kind);
        assert_eq!(all(&first) == all(&other), kind == "even", "{kind}");
        for function in &first.functions {
            let calls: Vec<_> = function.calls.stream().collect();
            assert!(calls.is_sorted_by_key(|call| call.at), "{kind}");
            let late = 1_000_000_000 * 30;
            let end = first.end.as_nanos() + late;
            assert!(calls.iter().all(|call| call.at < end), "{kind}");
        }
    }
}

#[test]
fn azures_shape_is_as_published() {
    let trace = generate("azure?functions=500&duration=24h&calls=850000").expect("good");
    let counts: Vec<usize> = trace.functions.iter().map(|one| one.calls.stream().count()).collect();
    let at_most = |a_day: f64| {
        let most = (a_day * 1.2) as usize;
        counts.iter().filter(|count| **count <= most).count() as f64 / 500.0
    };
    let (hourly, minutely) = (at_most(24.0), at_most(1440.0));
    assert!((0.46..=0.56).contains(&hourly), "{hourly}");
    assert!((0.78..=0.90).contains(&minutely), "{minutely}");
}

#[test]
fn what_is_wrong_with_a_generator_is_said() {
    for (text, says) in [
        ("poison?rate=5", "\"poison\" is not known"),
        ("poisson?rat=5", "poisson does not know \"rat\""),
        ("poisson?rate=-5", "rate: \"-5\" is not a rate"),
        ("poisson?rate=NaN", "is not a rate"),
        ("poisson?duration=5", "duration: \"5\" is not a duration"),
        ("poisson?takes=5", "takes: \"5\" is not a span"),
        ("poisson?functions=0", "functions must be"),
        ("poisson?rate", "is not KEY=VALUE"),
        ("poisson?name=A", "function name"),
    ] {
        let error = generate(text).expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}
