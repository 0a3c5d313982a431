//! A committed record: its replay decides what was decided when it was made, and the simulator still makes it.
//!
//! When decisions are meant to change, the record is made anew:
//!
//! ```text
//! tidegate simulate --trace 'generate:spikes?low=0.2&high=60&period=2m&width=15s&duration=6m&functions=2' \
//!   -l com.openfaas.scale.type=capacity -l com.openfaas.scale.target=5 -l com.openfaas.scale.zero=true \
//!   -l com.openfaas.scale.zero-duration=20s --provider-model cold=lognormal:1s:5s,warm=10ms,fail=0.05 \
//!   --max-inflight 8 --record simulator/tests/golden/spikes.record
//! ```
//!
//! and the hash below with it.

mod support;

use support::{policy, record};
use tidegate_simulator::trace::{Reading, read};
use tidegate_simulator::{Replayed, replay};

const RECORD: &str = include_str!("golden/spikes.record");
const DECISIONS: &str = "29d101b7e4e63a26";
const CHANGES: u64 = 25;

#[test]
fn its_replay_decides_the_same() {
    let Replayed { recorded, replayed, changes, mismatches, looks } =
        replay("spikes.record", RECORD.as_bytes()).expect("our own record");
    assert_eq!(mismatches, []);
    assert_eq!((recorded.as_str(), replayed.as_str()), (DECISIONS, DECISIONS));
    assert_eq!(changes, CHANGES);
    assert_eq!(looks, RECORD.lines().filter(|line| line.starts_with("look,")).count() as u64);
}

#[test]
fn the_simulator_still_writes_it_to_the_byte() {
    let labels =
        [("type", "capacity"), ("target", "5"), ("zero", "true"), ("zero-duration", "20s")];
    let (report, text) = record(
        "spikes?low=0.2&high=60&period=2m&width=15s&duration=6m&functions=2",
        &policy("tidegate", &labels, Some(8)),
        "cold=lognormal:1s:5s,warm=10ms,fail=0.05",
    );
    let differs = text.lines().zip(RECORD.lines()).enumerate().find(|(_, (new, old))| new != old);
    assert_eq!(differs, None);
    assert_eq!(text.len(), RECORD.len());
    assert_eq!(report.decisions, DECISIONS);
}

#[test]
fn one_decision_that_was_written_otherwise_is_found() {
    let line = RECORD.lines().position(|line| line.ends_with(",burst")).expect("there was a burst");
    let changed: String = RECORD
        .lines()
        .enumerate()
        .map(|(at, text)| if at == line { text.replace(",burst", ",load") } else { text.into() })
        .map(|text| text + "\n")
        .collect();
    let again = replay("spikes.record", changed.as_bytes()).expect("still a record");
    assert_eq!(again.mismatches.len(), 1);
    assert_eq!(again.mismatches[0].line, line as u64 + 1);
    assert_ne!(again.recorded, again.replayed);
}

#[test]
fn it_is_a_trace_too() {
    let file = ("spikes.record".to_owned(), RECORD.as_bytes());
    let trace = read(vec![file], None, &Reading::default()).expect("our own record");
    assert_eq!(trace.functions.len(), 2);
    let calls: usize = trace.functions.iter().map(|one| one.calls.stream().count()).sum();
    assert!(calls > 1000, "{calls}");
}
