//! Profiles: reading and writing them, and that what is due is what the rate says.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_loadtest::profile::{BadProfile, Profile};

fn profile(text: &str) -> Profile {
    Profile::parse(text).expect("a good profile")
}

fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value)
}

#[test]
fn every_form_is_read_and_written() {
    for text in [
        "200/s",
        "0.5/s",
        "90/m",
        "1000/h@1h",
        "steps:0/s@10s,200/s@30s,0/s@1m",
        "ramp:0/s..500/s@1m",
        "ramp:500/s..0/s@1m30s",
        "spike:50/s,500/s@10s+5s",
        "spike:50/s,500/s@0s+5s,1m",
        "poisson:200/s@1m",
        "poisson:200/s",
        "sine:100/s±50/s@30s",
        "sine:100/s±50/s@30s,5m",
    ] {
        assert_eq!(profile(text).to_string(), text);
    }
    assert_eq!(profile(" sine:100/s+-50/s@30s ").to_string(), "sine:100/s±50/s@30s");
    assert_eq!(profile("constant:5/s@60s").to_string(), "5/s@1m");
    // A bare number is a second's.
    assert_eq!(profile("200@1m").to_string(), "200/s@1m");
    assert_eq!(profile("ramp:0..500@1m").to_string(), "ramp:0/s..500/s@1m");
}

#[test]
fn errors_name_the_part_and_what_is_allowed() {
    let error = |text: &str| Profile::parse(text).unwrap_err().to_string();
    assert!(error("waves:1/s").contains("unknown profile \"waves\": use a rate"));
    assert!(error("fast").contains("unknown profile \"fast\""));
    assert!(error("200/x").contains("\"200/x\" is not a rate such as 200/s"));
    assert!(error("1e9/s").contains("is not a rate"));
    assert!(error("99999999/s").contains("at most 10 million"));
    assert!(error("steps:5/s").contains("does not read as steps:RATE@HOLD"));
    assert!(error("steps:5/s@10s,x/s@1s").contains("\"x/s\" is not a rate"));
    assert!(error("steps:5/s@10").contains("\"10\" is not a duration"));
    assert!(error("steps:5/s@0s").contains("longer than 0"));
    assert!(error("ramp:1/s@1s").contains("does not read as ramp:FROM..TO@LENGTH"));
    assert!(error("spike:1/s,5/s@10s+5s,12s").contains("ends after the whole profile of 12s"));
    assert!(error("sine:10/s±20/s@1m").contains("would go below 0"));
    assert_eq!(Profile::parse("steps:0/s@10s,0/s@5s"), Err(BadProfile::Nothing));
    assert_eq!(Profile::parse("0/s"), Err(BadProfile::Nothing));
}

#[test]
fn files_say_the_same_as_lines() {
    for (file, line) in [
        ("ramp:0/s..500/s@60s\n", "ramp:0/s..500/s@1m"),
        ("# a line\n'steps:0/s@10s,200/s@30s'\n", "steps:0/s@10s,200/s@30s"),
        ("shape: constant\nrate: 5/s\n", "5/s"),
        ("shape: constant\nrate: 200\n", "200/s"),
        (
            "shape: steps\nsteps:\n- {rate: 0/s, hold: 10s}\n- {rate: 200/s, hold: 30s}\n",
            "steps:0/s@10s,200/s@30s",
        ),
        ("shape: ramp\nfrom: 0/s\nto: 500/s\nlength: 1m\n", "ramp:0/s..500/s@1m"),
        (
            "shape: spike\nbase: 5/s\npeak: 50/s\nat: 10s\nlasts: 5s\nlength: 1m\n",
            "spike:5/s,50/s@10s+5s,1m",
        ),
        ("shape: poisson\nrate: 5/s\nlength: 1m\n", "poisson:5/s@1m"),
        ("shape: sine\nmean: 5/s\nswing: 2/s\nperiod: 10s\n", "sine:5/s±2/s@10s"),
    ] {
        assert_eq!(Profile::from_yaml(file).unwrap(), profile(line), "{file}");
    }
    let error = |text: &str| Profile::from_yaml(text).unwrap_err().to_string();
    assert!(error("shape: ramp\nfrom: 0/s\nto: 5/s\nlength: 1m\nlenght: 1m\n").contains("lenght"));
    assert!(error("shape: waves\n").contains("waves"));
    for broken in ["shape: [\n", "", "shape: spike\nbase: 3/s\n"] {
        let error = error(broken);
        assert!(!error.contains("error: ") && !error.contains('\n'), "{broken:?}: {error}");
    }
    assert!(error("shape: ramp\nfrom: x\nto: 5/s\nlength: 1m\n").contains("\"x\" is not a rate"));
}

#[test]
fn a_constant_rate_does_not_drift() {
    let mut dues = profile("3/s").dues(0);
    // Half a gap after the start, then one every third of a second, also a million calls later.
    assert_eq!(dues.next(), Some(seconds(0.5 / 3.0)));
    let late = dues.nth(999_999).unwrap().as_secs_f64();
    assert!((late - 1_000_000.5 / 3.0).abs() < 1e-8, "{late}");
}

#[test]
fn nothing_is_due_while_the_rate_is_zero() {
    let dues: Vec<_> = profile("steps:0/s@10s,200/s@30s,0/s@60s").dues(0).collect();
    assert_eq!(dues.len(), 6000);
    assert_eq!(dues[0], seconds(10.0025));
    assert!(dues[5999] < seconds(40.0));
}

#[test]
fn jumps_of_the_rate() {
    let steps = |text: &str| -> Vec<(f64, f64)> {
        profile(text).steps().iter().map(|(at, rate)| (at.as_secs_f64(), *rate)).collect()
    };
    assert_eq!(steps("200/s"), [(0.0, 200.0)]);
    assert_eq!(steps("200/s@1m"), [(0.0, 200.0), (60.0, 0.0)]);
    assert_eq!(
        steps("steps:0/s@10s,200/s@30s,200/s@5s,0/s@60s"),
        [(0.0, 0.0), (10.0, 200.0), (45.0, 0.0)]
    );
    assert_eq!(
        steps("spike:50/s,500/s@10s+5s,60s"),
        [(0.0, 50.0), (10.0, 500.0), (15.0, 50.0), (60.0, 0.0)]
    );
    assert_eq!(steps("ramp:0/s..500/s@60s"), [(0.0, 0.0), (60.0, 0.0)]);
}

#[test]
fn idle_time_before_and_behind_is_not_busy() {
    let busy = |text: &str| {
        let (from, to) = profile(text).busy();
        (from.as_secs(), to.map(|to| to.as_secs()))
    };
    assert_eq!(busy("200/s"), (0, None));
    assert_eq!(busy("poisson:200/s@1m"), (0, Some(60)));
    assert_eq!(busy("steps:0/s@5s,0/s@5s,200/s@30s,0/s@1s,5/s@9s,0/s@60s"), (10, Some(50)));
    assert_eq!(busy("ramp:0/s..500/s@60s"), (0, Some(60)));
    assert_eq!(busy("spike:50/s,500/s@10s+5s,60s"), (0, Some(60)));
    assert_eq!(busy("spike:0/s,500/s@10s+5s,60s"), (10, Some(15)));
}

#[test]
fn poisson_is_the_same_for_a_seed_and_right_on_average() {
    let arrivals = profile("poisson:1000/s@100s");
    let one: Vec<_> = arrivals.dues(7).collect();
    assert_eq!(one, arrivals.dues(7).collect::<Vec<_>>());
    assert_ne!(one, arrivals.dues(8).collect::<Vec<_>>());
    // 100,000 on average with a deviation of 316: six of them.
    assert!((98_100..101_900).contains(&one.len()), "{}", one.len());
    let gaps: Vec<f64> = one.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    // Exponential gaps deviate as much as they last on average.
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let deviation =
        (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
    assert!((deviation / mean - 1.0).abs() < 0.05, "{deviation} {mean}");
}

/// Texts of profiles that end, with whole numbers so that they read back the same.
fn profiles() -> impl Strategy<Value = String> {
    let rate = || {
        (1_u32..500, prop_oneof![Just("/s"), Just("/m"), Just("/h")])
            .prop_map(|(n, per)| format!("{n}{per}"))
    };
    let span = || (1_u32..120).prop_map(|n| format!("{n}s"));
    prop_oneof![
        (rate(), span()).prop_map(|(rate, span)| format!("{rate}@{span}")),
        proptest::collection::vec((rate(), span()), 1..6).prop_map(|steps| {
            let steps: Vec<_> = steps.iter().map(|(rate, span)| format!("{rate}@{span}")).collect();
            format!("steps:{}", steps.join(","))
        }),
        (rate(), rate(), span()).prop_map(|(from, to, span)| format!("ramp:{from}..{to}@{span}")),
        (rate(), rate(), span(), span())
            .prop_map(|(base, peak, at, lasts)| format!("spike:{base},{peak}@{at}+{lasts},10m")),
        (1_u32..500, 0_u32..=100, span()).prop_map(|(mean, part, period)| {
            format!("sine:{mean}/s±{}/s@{period},3m", f64::from(mean) * f64::from(part) / 100.0)
        }),
    ]
}

const PARTS: u32 = 20_000;

/// The integral of the rate, summed up in small steps.
fn area(profile: &Profile, until: Duration) -> f64 {
    let part = until / PARTS;
    (0..PARTS).map(|index| profile.rate_at(part * index + part / 2) * part.as_secs_f64()).sum()
}

proptest! {
    #[test]
    fn reads_back_as_written(text in profiles()) {
        let one = profile(&text);
        prop_assert_eq!(&Profile::parse(&one.to_string()).unwrap(), &one);
    }

    #[test]
    fn calls_are_due_as_the_rate_says(text in profiles()) {
        let profile = profile(&text);
        let length = profile.length().unwrap();
        let dues: Vec<_> = profile.dues(0).collect();
        prop_assert!(dues.is_sorted());
        prop_assert!(dues.last().is_none_or(|last| *last < length));
        let whole = area(&profile, length);
        // The sum's own error: a jump may fall anywhere within a part.
        let grain = 0.55 + whole * 1e-3 + 3.0 * profile.highest() * length.as_secs_f64() / f64::from(PARTS);
        prop_assert!((dues.len() as f64 - whole).abs() <= grain, "{} due, {} asked for", dues.len(), whole);
        for index in [dues.len() / 3, dues.len() / 2].into_iter().filter(|index| *index < dues.len()) {
            let reached = area(&profile, dues[index]);
            prop_assert!((reached - index as f64 - 0.5).abs() <= grain, "call {} at {}", index, reached);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a-z:,@./0-9±+-]{0,40}") {
        let _ = Profile::parse(&text);
    }
}
