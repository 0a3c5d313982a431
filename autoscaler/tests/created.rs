//! The depths of zero: frozen, created, removed; and what a shortage of memory does to each.

mod support;

use std::time::Duration;

use support::{Scenario, secs};
use tidegate_autoscaler::{Action, Ask, Config, Decision, Depth};
use tidegate_core::{Moment, Replicas};
use tidegate_idler::Shortage;

const IDLES: [(&str, &str); 2] = [("zero", "true"), ("zero-duration", "60s")];

fn config(warm: u64, created: u64) -> Config {
    let (warm, created) = (secs(warm), secs(created));
    Config { can_freeze: true, can_create: true, warm, created, ..Config::default() }
}

fn depth(decision: &Decision) -> Option<Depth> {
    match decision.action {
        Action::Scale { to: Replicas::ZERO, depth, .. } => Some(depth),
        _ => None,
    }
}

fn label(decision: &Decision) -> &'static str {
    match &decision.action {
        Action::Scale { reason, .. } => reason.label(),
        Action::Stay(hold) => hold.label(),
    }
}

fn asleep(labels: &[(&str, &str)], config: Config) -> (Scenario, Decision) {
    let mut function = Scenario::with_config(labels, config);
    function.serves(0.0, secs(60)).wants(0);
    let last = function.last.clone().expect("it was looked at");
    (function, last)
}

fn rests(function: &mut Scenario, frozen: u32, created: u32) {
    function.frozen = Replicas::new(frozen);
    function.created = Replicas::new(created);
}

#[test]
fn frozen_then_created_then_removed_each_at_its_time() {
    let (mut function, last) = asleep(&IDLES, config(600, 1800));
    assert_eq!(depth(&last), Some(Depth::Frozen));
    rests(&mut function, 1, 0);
    let zeroed = function.now;
    function.passes(secs(599));
    assert_eq!(depth(&function.look()), None);
    assert!(function.explain().idle.ends_with("frozen, only created in 1s"));
    function.passes(secs(1));
    let decision = function.look();
    assert_eq!((depth(&decision), label(&decision)), (Some(Depth::Created), "warm_over"));
    rests(&mut function, 0, 1);
    let decision = function.look();
    assert_eq!((depth(&decision), decision.look_again), (None, Some(zeroed + secs(2400))));
    assert!(function.explain().idle.ends_with("created and not started, removed in 30m"));
    function.passes(secs(1800));
    let decision = function.look();
    assert_eq!((depth(&decision), label(&decision)), (Some(Depth::Removed), "created_over"));
    rests(&mut function, 0, 0);
    assert_eq!(function.look().look_again, None);
    let told = function.explain();
    assert_eq!(told.decisions.last().map(|past| past.by.as_ref()), Some("idler"));
    assert_eq!(told.policy.created_seconds, Some(1800.0));
}

#[test]
fn each_depth_may_be_left_out_and_labels_go_before_settings() {
    let by_label = |warm, created| {
        let more = [("tidegate:warm-duration", warm), ("tidegate:created-duration", created)];
        depth(&asleep(&[IDLES.as_slice(), &more].concat(), config(1, 1)).1)
    };
    assert_eq!(by_label("0s", "10m"), Some(Depth::Created));
    assert_eq!(by_label("0s", "0s"), Some(Depth::Removed));
    assert_eq!(by_label("10m", "0s"), Some(Depth::Frozen));
    let cannot = Config { can_create: false, ..config(0, 600) };
    assert_eq!(depth(&asleep(&IDLES, cannot).1), Some(Depth::Removed));
    let (mut function, _) = asleep(&IDLES, config(600, 0));
    rests(&mut function, 1, 0);
    function.passes(secs(600));
    assert_eq!(depth(&function.look()), Some(Depth::Removed), "nothing was said of created");
}

#[test]
fn a_call_wakes_from_every_depth() {
    for (frozen, created) in [(1, 0), (0, 1), (0, 0)] {
        let (mut function, _) = asleep(&IDLES, config(600, 600));
        rests(&mut function, frozen, created);
        function.load.waiting = 1;
        assert_eq!(label(&function.look()), "woken");
    }
}

#[test]
fn short_of_memory_what_is_frozen_is_only_created_and_what_is_created_goes() {
    let ask = |function: &mut Scenario, short| {
        let seen = function.observation();
        function.autoscaler.ask(function.now, &seen, Ask::Evict(short))
    };
    let (mut function, _) = asleep(&IDLES, config(600, 600));
    rests(&mut function, 1, 0);
    let decision = ask(&mut function, Shortage::Stalled);
    assert_eq!((depth(&decision), label(&decision)), (Some(Depth::Created), "evicted"));
    let told = function.explain();
    let last = told.decisions.last().expect("it was noted");
    assert_eq!((last.by.as_ref(), last.from, last.to), ("memory", Replicas::ZERO, Replicas::ZERO));
    assert_eq!(last.why, "the machine waits for memory more than TIDEGATE_MEMORY_PRESSURE");
    rests(&mut function, 0, 1);
    assert_eq!(depth(&ask(&mut function, Shortage::Available)), Some(Depth::Removed));
    // Nothing rests, or a call waits, or it runs: nothing is taken from it.
    rests(&mut function, 0, 0);
    assert_eq!(label(&ask(&mut function, Shortage::Available)), "at_zero");
    rests(&mut function, 1, 0);
    function.load.waiting = 1;
    assert_eq!(label(&ask(&mut function, Shortage::Available)), "woken");
    let mut runs = Scenario::with_config(&IDLES, config(600, 600));
    runs.holds(1, secs(5));
    assert_eq!(depth(&ask(&mut runs, Shortage::Budget)), None);
    let (mut plain, _) = asleep(&IDLES, config(600, 0));
    rests(&mut plain, 1, 0);
    assert_eq!(depth(&ask(&mut plain, Shortage::Budget)), Some(Depth::Removed));
}

#[test]
fn what_was_evicted_early_is_created_no_longer_than_it_would_have_been() {
    let (mut function, _) = asleep(&IDLES, config(600, 600));
    let zeroed = function.now;
    function.passes(secs(60));
    rests(&mut function, 0, 1);
    assert_eq!(function.look().look_again, Some(zeroed + secs(1200)));
}

#[test]
fn the_time_created_goes_on_over_a_restart() {
    let (mut function, _) = asleep(&IDLES, config(100, 500));
    rests(&mut function, 0, 1);
    function.passes(secs(400));
    function.restart_with(config(100, 500)).look();
    assert_eq!(function.look_again(), Some(Moment::from_secs(200)));
}

#[test]
fn spans_without_end_do_no_harm() {
    let forever = Duration::from_secs(u64::MAX);
    let (mut function, _) = asleep(&IDLES, Config { created: forever, ..config(600, 0) });
    rests(&mut function, 0, 1);
    assert_eq!(depth(&function.look()), None);
}
