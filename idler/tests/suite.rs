//! The frozen suite is what it was when the policy was tuned, and has the shape that it claims.

#[path = "../benches/idling/random.rs"]
#[allow(dead_code, reason = "the bench uses all of it")]
mod random;
#[path = "../benches/idling/suite.rs"]
#[allow(dead_code, reason = "the bench uses all of it")]
mod suite;

use suite::{DAY, Kind, Suite};

#[test]
fn the_same_seed_is_the_same_suite() {
    assert_eq!(Suite::new(1, 20, 1).hash(), Suite::new(1, 20, 1).hash());
    assert_ne!(Suite::new(1, 20, 1).hash(), Suite::new(2, 20, 1).hash());
    assert_eq!(Suite::new(1, 20, 1).hash(), 0x46fc_d8b9_3c4b_b20c);
}

#[test]
fn the_suite_is_shaped_like_the_traces_of_2019() {
    let days = 2;
    let suite = Suite::new(7, 400, days);
    let seconds = f64::from(days) * DAY;
    let share = |most: f64| {
        let few = suite.functions.iter().filter(|f| f.calls as f64 <= most * seconds);
        few.count() as f64 / 400.0
    };
    let timers = suite.functions.iter().filter(|f| f.kind == Kind::Timer).count();
    let near = |is: f64, should: f64| (is - should).abs() < 0.05;
    assert!(near(share(1.0 / 3600.0), 0.5), "{}", share(1.0 / 3600.0));
    assert!(near(share(1.0 / 60.0), 0.81), "{}", share(1.0 / 60.0));
    assert!(near(timers as f64 / 400.0, 0.16), "{timers}");
    for function in &suite.functions {
        assert!(function.runs.windows(2).all(|pair| pair[0].end < pair[1].begin));
        assert!(function.runs.iter().all(|run| run.begin <= run.end));
    }
}
