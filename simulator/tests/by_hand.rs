//! Small runs whose every figure can be worked out by hand.

mod support;

use support::{calls, close, policy, simulate};

const SECOND: u64 = 1000;

#[test]
fn a_function_that_stays_at_its_minimum_has_no_cold_start() {
    let trace = calls(&[(1000, 100), (2000, 100)], 10 * SECOND);
    let report = simulate(&trace, &policy("tidegate", &[], None), "cold=5s");
    assert_eq!((report.calls, report.cold_starts, report.errors.all), (2, 0, 0));
    assert!(close(report.replica_seconds, 10.0, 1e-6));
    assert!(close(report.busy_call_seconds, 0.2, 1e-6));
    assert!(close(report.idle_replica_seconds, 9.8, 1e-6));
    assert_eq!(report.wait.max, 0.0);
}

#[test]
fn a_call_after_the_idle_time_is_cold_and_one_before_it_is_not() {
    let labels = [("zero", "true"), ("zero-duration", "60s")];
    // Idle from 1.1 s on: zero at 61.1 s. The second call is warm, the third at 200 s is cold.
    let trace = calls(&[(1000, 100), (50_000, 100), (200_000, 100)], 230 * SECOND);
    let report = simulate(&trace, &policy("tidegate", &labels, None), "cold=800ms,call=0s");
    assert_eq!((report.calls, report.cold_starts), (3, 1));
    assert_eq!((report.zeros, report.ups, report.downs, report.starts), (1, 1, 1, 1));
    assert!(close(report.cold_wait.max, 0.8, 1e-6), "{}", report.cold_wait.max);
    // From 0 to 50.1 + 60, and from 200 to the end at 230 s.
    assert!(close(report.replica_seconds, 110.1 + 30.0, 1e-3), "{}", report.replica_seconds);
    assert!(close(report.starting_replica_seconds, 0.8, 1e-6));
}

#[test]
fn a_frozen_replica_thaws_and_one_past_the_warm_time_starts_anew() {
    let labels = [("zero", "true"), ("zero-duration", "60s")];
    // Frozen at 61.1 s, thawed at 100 s; frozen at 160.11 s, removed ten minutes later, cold at 900 s.
    let trace = calls(&[(1000, 100), (100_000, 100), (900_000, 100)], 910 * SECOND);
    let report =
        simulate(&trace, &policy("tidegate", &labels, None), "cold=800ms,warm=10ms,call=0s");
    assert_eq!((report.cold_starts, report.thaws, report.starts), (2, 1, 1));
    assert!(close(report.cold_wait.max, 0.8, 1e-3));
    let frozen = (100.0 - 61.1) + 600.0;
    assert!(close(report.frozen_replica_seconds, frozen, 0.2), "{}", report.frozen_replica_seconds);
}

#[test]
fn calls_over_the_limit_wait_in_order_for_a_slot() {
    // One replica, one at a time, each 1 s: they wait 0, 1 and 2 s.
    let trace = calls(&[(1000, 1000), (1000, 1000), (1000, 1000)], 10 * SECOND);
    let report = simulate(&trace, &policy("tidegate", &[("max", "1")], Some(1)), "cold=1s");
    assert_eq!((report.cold_starts, report.errors.all, report.wait.count), (0, 0, 3));
    assert!(close(report.wait.mean, 1.0, 1e-6));
    assert!(close(report.wait.max, 2.0, 1e-6));
}

#[test]
fn a_burst_is_answered_by_as_many_replicas_as_it_fills() {
    let burst: Vec<(u64, u64)> = (0..10).map(|_| (5000, 20_000)).collect();
    let trace = calls(&burst, 60 * SECOND);
    let report = simulate(&trace, &policy("tidegate", &[], Some(1)), "cold=500ms,call=1ms");
    assert_eq!(report.peak, 10);
    assert!(close(report.wait.max, 0.502, 0.01), "{}", report.wait.max);
}

#[test]
fn a_full_room_and_a_passed_deadline_are_errors() {
    let burst: Vec<(u64, u64)> = (0..30_000).map(|_| (1000, 3_600_000)).collect();
    let trace = calls(&burst, 120 * SECOND);
    let report = simulate(&trace, &policy("tidegate", &[("max", "1")], Some(1)), "");
    assert_eq!(report.errors.room_full, 30_000 - 20_000 - 1);
    assert_eq!(report.errors.timed_out, 20_000);
    assert_eq!(report.unfinished, 1);
}

#[test]
fn a_function_that_never_starts_answers_those_who_wait_and_is_not_scaled_further() {
    let labels = [("zero", "true"), ("zero-duration", "10s")];
    let late: Vec<(u64, u64)> = (0..50).map(|nth| (60_000 + nth * 1000, 100)).collect();
    let trace = calls(&late, 300 * SECOND);
    let report = simulate(&trace, &policy("tidegate", &labels, Some(1)), "cold=100ms,fail=1");
    assert_eq!(report.errors.start_failed + report.errors.timed_out + report.unfinished, 50);
    assert!(report.errors.start_failed > 0);
    assert!(report.failed_starts >= 3);
}

#[test]
fn a_replica_on_its_way_out_finishes_its_calls() {
    let mut both: Vec<(u64, u64)> = (0..5).map(|_| (1000, 1000)).collect();
    // This one runs on long after the others made five replicas.
    both.push((1001, 200_000));
    let trace = calls(&both, 400 * SECOND);
    let report = simulate(&trace, &policy("tidegate", &[], Some(1)), "cold=100ms");
    assert_eq!((report.errors.cut, report.errors.all, report.unfinished), (0, 0, 0));
    assert!(report.downs > 0);
}
