//! When a function at its minimum is looked at, and what it knows when it is called again.

mod support;

use support::{Scenario, secs};
use tidegate_autoscaler::Hold;
use tidegate_core::Moment;

const RPS_12: [(&str, &str); 2] = [("target", "12"), ("target-proportion", "1")];

/// Calls come and go at once; a look as the scale loop makes it, when the function rests until then.
fn clump(function: &mut Scenario, calls: u64) {
    function.load.started += calls;
    function.load.completed += calls;
    function.load.last_end = Some(function.now);
    function.look();
}

/// Time passes with the looks that were planned alone; how many there were.
fn waits(function: &mut Scenario, until: Moment) -> u32 {
    let mut looks = 0;
    while let Some(at) = function.look_again().filter(|at| *at <= until) {
        function.now = at;
        function.look();
        looks += 1;
    }
    function.now = until;
    looks
}

#[test]
fn a_call_now_and_then_costs_two_looks_beside_its_own() {
    let mut function = Scenario::with(&RPS_12);
    for minute in 1..10 {
        function.now = Moment::from_secs(minute * 60);
        clump(&mut function, 1);
        // One call rests at once; the look that ends its rest forgets what the windows hold.
        assert_eq!(function.look_again(), Some(function.now + secs(6)));
        let end = function.now + secs(59);
        assert_eq!(waits(&mut function, end), 1);
        assert_eq!(function.look_again(), None);
        assert_eq!(function.hold(), Some(Hold::AtMin));
    }
}

#[test]
fn an_idle_deadline_is_kept_through_a_short_rest() {
    let labels = [("zero", "true"), ("zero-duration", "3s"), ("target", "12")];
    let mut function = Scenario::with(&labels);
    clump(&mut function, 1);
    assert_eq!(function.look_again(), Some(Moment::from_secs(3)));
    assert_eq!(waits(&mut function, Moment::from_secs(3)), 1);
    function.wants(0);
}

#[test]
fn what_the_windows_hold_outlives_a_short_rest() {
    // Sixty calls in one second of three are twenty a second: two replicas at twelve each.
    let mut function = Scenario::with(&RPS_12);
    let mut at = Moment::from_secs(0);
    for _ in 0..20 {
        for part in 0..10 {
            function.now = at + secs(1) * part / 10;
            clump(&mut function, 6);
        }
        at = at + secs(3);
        waits(&mut function, at);
    }
    function.wants(2);
}

#[test]
fn a_load_that_waits_for_its_step_is_looked_at_until_then() {
    // Calls that are over at each look, on average two and a half replicas' worth.
    let labels = [("type", "capacity"), ("target", "2"), ("target-proportion", "1")];
    let (mut function, mut waited) = (Scenario::with(&labels), 0);
    for second in 1..=12 {
        function.now = Moment::from_secs(second);
        function.load.concurrency_nanos += 5_000_000_000;
        clump(&mut function, 1);
        if let Some(Hold::NextStep { wanted }) = function.hold() {
            assert!(wanted.get() > function.desired.get());
            assert_eq!(function.look_again(), Some(function.now + secs(1)));
            waited += 1;
        }
    }
    assert!(waited > 0);
    function.wants(3);
}
