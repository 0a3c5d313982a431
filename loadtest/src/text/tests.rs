//! The summary, letter by letter.

use super::*;
use crate::results::{Event, EventKind, Expectation, Overlay, Phase, Sample, Schedule};

fn tally() -> Tally {
    let phase = |name, mean| Phase { name, mean, min: 0.0, max: mean * 2.0 };
    let latency = Latency {
        count: 100,
        min: 0.0334,
        mean: 0.0712,
        max: 0.1106,
        percentiles: [
            (10.0, 0.036),
            (25.0, 0.072),
            (50.0, 0.0737),
            (75.0, 0.076),
            (90.0, 0.0764),
            (95.0, 0.077),
            (99.0, 0.1106),
            (99.9, 0.1106),
            (99.99, 0.1106),
        ]
        .into(),
        histogram: vec![
            (0.033, 1),
            (0.041, 10),
            (0.049, 0),
            (0.057, 0),
            (0.064, 0),
            (0.072, 18),
            (0.08, 67),
            (0.087, 0),
            (0.095, 0),
            (0.103, 0),
            (0.111, 4),
        ],
    };
    Tally {
        name: "all".to_owned(),
        calls: 103,
        answered: 100,
        errors: 3,
        bytes: 12_000,
        corrected: latency.clone(),
        uncorrected: latency,
        phases: vec![
            phase("DNS+dialup", 0.0001),
            phase("DNS-lookup", 0.0),
            phase("req write", 0.0),
            phase("resp wait", 0.0313),
            phase("resp read", 0.0383),
        ],
        statuses: [(200, 90), (500, 10)].into(),
        failures: [("connection closed\x1b[2J by the server".to_owned(), 3)].into(),
    }
}

/// Written by the real hey for such a run (and shortened to one error).
const HEY: &str = "
Summary:
  Total:\t0.7848 secs
  Slowest:\t0.1106 secs
  Fastest:\t0.0334 secs
  Average:\t0.0712 secs
  Requests/sec:\t131.2436
  
  Total data:\t12000 bytes
  Size/request:\t120 bytes

Response time histogram:
  0.033 [1]\t|■
  0.041 [10]\t|■■■■■■
  0.049 [0]\t|
  0.057 [0]\t|
  0.064 [0]\t|
  0.072 [18]\t|■■■■■■■■■■■
  0.080 [67]\t|■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■
  0.087 [0]\t|
  0.095 [0]\t|
  0.103 [0]\t|
  0.111 [4]\t|■■


Latency distribution:
  10% in 0.0360 secs
  25% in 0.0720 secs
  50% in 0.0737 secs
  75% in 0.0760 secs
  90% in 0.0764 secs
  95% in 0.0770 secs
  99% in 0.1106 secs

Details (average, fastest, slowest):
  DNS+dialup:\t0.0001 secs, 0.0000 secs, 0.0002 secs
  DNS-lookup:\t0.0000 secs, 0.0000 secs, 0.0000 secs
  req write:\t0.0000 secs, 0.0000 secs, 0.0000 secs
  resp wait:\t0.0313 secs, 0.0000 secs, 0.0626 secs
  resp read:\t0.0383 secs, 0.0000 secs, 0.0766 secs

Status code distribution:
  [200]\t90 responses
  [500]\t10 responses

Error distribution:
  [3]\tconnection closed [2J by the server

";

#[test]
fn a_closed_loop_prints_heys_sections_and_nothing_else() {
    let results =
        Results { elapsed: 0.7848, total: tally(), targets: vec![tally()], ..Results::default() };
    assert_eq!(summary(&results), HEY);
}

#[test]
fn a_run_without_answers_has_no_nonsense_in_it() {
    let total = Tally {
        calls: 4,
        errors: 4,
        failures: [("refused".to_owned(), 4)].into(),
        ..Tally::default()
    };
    let text = summary(&Results { elapsed: 0.001, total, ..Results::default() });
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    assert!(text.contains("  Requests/sec:\t4000.0000\n  \n\nResponse time histogram:\n\n\nLatency distribution:\n"), "{text}");
}

/// What only we have, of an open loop with two targets and a watched function.
const OURS: &str = "\
Latency, corrected (from when a call was due; the sections above) and uncorrected (from when it was sent):
            corrected  uncorrected
  mean         71.2ms       71.2ms
  p50          73.7ms       73.7ms
  p75          76.0ms       76.0ms
  p90          76.4ms       76.4ms
  p95          77.0ms       77.0ms
  p99           111ms        111ms
  p99.9         111ms        111ms
  p99.99        111ms        111ms
  max           111ms        111ms

Schedule:
  NOT kept: 103 of 110 calls that were due were sent; 7 (6.36 %) are missing
  5 calls (4.55 %) sent more than 1 ms late because this machine was late
  sent after they were due: p99 2.00ms, at most 31.0ms
  9 calls (8.18 %) waited because all connections were in use (-c); corrected latency counts the wait

Targets:
  target    calls  answered  errors     mean      p50      p99      max
  cat         103       100       3   71.2ms   73.7ms    111ms    111ms
  dog         103       100       3   71.2ms   73.7ms    111ms    111ms

Replicas of cat.openfaas-fn:
  ready: 1 from 0.0s, 4 from 10.6s
        at  after step  event           what
    10.00s              load step       200/s
    10.25s      +0.25s  decision        1 → 4: 20 calls ask for 4

Expectations:
  met     p99<200ms    measured 111ms
  MISSED  replicas>=5  measured 4

Interrupted after 12.3 s: this is the load so far.

";

#[test]
fn what_only_we_have_stands_below() {
    let named = |name: &str| Tally { name: name.to_owned(), ..tally() };
    let event = |at, kind, text: &str| Event {
        at,
        after_step: Some(at - 10.0),
        kind,
        text: text.to_owned(),
    };
    let results = Results {
        open_loop: true,
        elapsed: 12.3,
        interrupted: true,
        total: tally(),
        targets: vec![named("cat"), named("dog")],
        schedule: Some(Schedule {
            due: 110,
            sent: 103,
            late: 5,
            waited: 9,
            error: Latency { max: 0.031, percentiles: vec![(99.0, 0.002)], ..Latency::default() },
        }),
        overlays: vec![Overlay {
            function: "cat.openfaas-fn".to_owned(),
            samples: [(0.0, 1), (0.2, 1), (10.6, 4)]
                .map(|(at, ready)| Sample { at, ready, ..Sample::default() })
                .into(),
            events: vec![
                event(10.0, EventKind::LoadStep, "200/s"),
                event(10.25, EventKind::Decision, "1 → 4: 20 calls ask for 4"),
            ],
            problem: None,
        }],
        expectations: vec![
            Expectation { text: "p99<200ms".to_owned(), measured: "111ms".to_owned(), met: true },
            Expectation { text: "replicas>=5".to_owned(), measured: "4".to_owned(), met: false },
        ],
        ..Results::default()
    };
    let text = summary(&results);
    let ours = text.split_once("by the server\n\n").expect("hey's part first").1;
    assert_eq!(ours, OURS);
}

#[test]
fn a_kept_schedule_says_so_in_a_line() {
    let results = Results {
        open_loop: true,
        schedule: Some(Schedule { due: 10, sent: 10, ..Schedule::default() }),
        ..Results::default()
    };
    assert!(
        summary(&results).contains("Schedule:\n  kept: all 10 calls that were due were sent\n")
    );
}

#[test]
fn one_call_is_not_several() {
    let results = Results {
        open_loop: true,
        schedule: Some(Schedule { due: 1, sent: 1, late: 1, waited: 1, ..Schedule::default() }),
        ..Results::default()
    };
    let text = summary(&results);
    for line in [
        "  the one call that was due was sent\n",
        "  1 call (100.00 %) sent more than 1 ms late",
        "  1 call (100.00 %) waited because",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn a_run_without_errors_ends_as_heys_does() {
    let total = Tally { failures: [].into(), ..tally() };
    let text = summary(&Results { elapsed: 1.0, total, ..Results::default() });
    assert!(text.ends_with("  [500]\t10 responses\n\n\n\n"), "{text:?}");
}
