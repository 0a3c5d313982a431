//! Criteria read and measured.

use super::*;
use crate::results::{Overlay, Sample, Schedule, Tally};

fn results() -> Results {
    let latency = |scale: f64| Latency {
        count: 1000,
        min: 0.01 * scale,
        mean: 0.05 * scale,
        max: 2.0 * scale,
        percentiles: vec![(50.0, 0.04 * scale), (99.0, 0.15 * scale), (99.9, 1.0 * scale)],
        histogram: Vec::new(),
    };
    Results {
        elapsed: 10.0,
        total: Tally {
            calls: 2000,
            answered: 1998,
            errors: 2,
            corrected: latency(1.0),
            uncorrected: latency(0.5),
            statuses: [(200, 1990), (404, 1), (500, 3), (503, 4)].into(),
            ..Tally::default()
        },
        schedule: Some(Schedule { due: 2000, sent: 2000, late: 3, ..Schedule::default() }),
        overlays: vec![Overlay {
            samples: vec![
                Sample { ready: 1, ..Sample::default() },
                Sample { ready: 6, ..Sample::default() },
                Sample { ready: 2, ..Sample::default() },
            ],
            ..Overlay::default()
        }],
        ..Results::default()
    }
}

fn check(text: &str) -> (bool, String) {
    let criterion: Criterion = text.parse().expect(text);
    let found = criterion.evaluate(&results());
    (found.met, found.measured)
}

#[test]
fn each_measure_is_compared_with_its_limit() {
    let cases = [
        ("p99<200ms", true, "150ms"),
        ("p99 < 150ms", false, "150ms"),
        ("p99<=150ms", true, "150ms"),
        ("p99.9<1s", false, "1.00s"),
        ("uncorrected.p99<80ms", true, "75.0ms"),
        ("corrected.p50>=40ms", true, "40.0ms"),
        ("mean<50ms", false, "50.0ms"),
        ("max<3s", true, "2.00s"),
        ("min>5ms", true, "10.0ms"),
        ("errors<0.1%", false, "0.1% (2 of 2000)"),
        ("errors<=0.1%", true, "0.1% (2 of 2000)"),
        ("errors=2", true, "2"),
        ("errors!=2", false, "2"),
        ("rate>190/s", true, "199.8/s"),
        ("rate>=200", false, "199.8/s"),
        ("replicas>=4", true, "6"),
        ("replicas≥7", false, "6"),
        ("status.5xx<1%", true, "0.35% (7 of 2000)"),
        ("status.404=0", false, "1"),
        ("status.302=0", true, "0"),
        ("calls=2000", true, "2000"),
        ("answered>1998", false, "1998"),
        ("late<1%", true, "0.15% (3 of 2000)"),
    ];
    for (text, met, measured) in cases {
        assert_eq!(check(text), (met, measured.to_owned()), "{text}");
    }
}

#[test]
fn what_was_not_measured_is_not_met() {
    let nothing = Results::default();
    for text in ["p99<1h", "replicas>=0", "late<100%", "errors<100%"] {
        let criterion: Criterion = text.parse().expect(text);
        let found = criterion.evaluate(&nothing);
        assert!(!found.met && found.measured.starts_with("nothing: "), "{text}: {found:?}");
    }
}

#[test]
fn several_stand_in_one_text() {
    let texts: Vec<String> = parse(" p99 < 200ms , errors<0.1%,replicas>=4,")
        .expect("three")
        .iter()
        .map(Criterion::to_string)
        .collect();
    assert_eq!(texts, ["p99<200ms", "errors<0.1%", "replicas>=4"]);
    for nothing in ["", " ", ","] {
        assert!(matches!(parse(nothing), Err(BadCriterion::Compare(_))), "{nothing:?}");
    }
}

#[test]
fn what_is_no_criterion_says_what_would_be() {
    let cases = [
        ("p99", "compares nothing"),
        ("p99!200ms", "compares nothing"),
        ("p98<200ms", "is not measured: use p10"),
        ("latency<200ms", "unknown measure \"latency\""),
        ("status.9xx=0", "unknown measure"),
        ("status.abc=0", "unknown measure"),
        ("p99<200", "\"200\" is no value for p99: use a duration such as 200ms"),
        ("errors<x", "use a share such as 0.1%"),
        ("errors<-1", "use a share"),
        ("errors<nan%", "use a share"),
        ("replicas>=4x", "use a count such as 4"),
        ("rate>fast", "use a rate such as 200/s"),
        ("<5", "unknown measure \"\""),
    ];
    for (text, part) in cases {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        if let Ok(criteria) = parse(&text) {
            let _ = evaluate(&criteria, &results());
        }
    }
}

#[test]
fn seconds_are_written_in_the_unit_that_suits() {
    let cases = [
        (0.0, "0"),
        (0.000_085, "85µs"),
        (0.001_234, "1.23ms"),
        (0.0312, "31.2ms"),
        (0.231, "231ms"),
        (1.25, "1.25s"),
        (61.04, "61.0s"),
    ];
    for (seconds, text) in cases {
        assert_eq!(seconds_text(seconds), text);
    }
}
