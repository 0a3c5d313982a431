//! When a function is idle, as timelines.

use std::time::Duration;

use tidegate_core::{Load, Moment};
use tidegate_idler::{IdleInput, Idleness, judge};

const FIVE_MINUTES: Duration = Duration::from_secs(300);

fn ended_at(secs: u64) -> Load {
    Load { started: 1, completed: 1, last_end: Some(Moment::from_secs(secs)), ..Load::default() }
}

fn input(load: &Load) -> IdleInput<'_> {
    IdleInput {
        opted_in: true,
        after: FIVE_MINUTES,
        load: Some(load),
        touched: Moment::ZERO,
        quiet_before: Duration::ZERO,
    }
}

#[test]
fn idle_time_starts_at_the_end_of_the_last_call() {
    let load = ended_at(1000);
    let quiet = judge(Moment::from_secs(1299), &input(&load));
    assert_eq!(
        quiet,
        Idleness::Quiet { until: Moment::from_secs(1300), left: Duration::from_secs(1) }
    );
    let idle = judge(Moment::from_secs(1300), &input(&load));
    assert_eq!(idle, Idleness::Idle { since: FIVE_MINUTES });
}

#[test]
fn an_open_call_is_never_idle_however_long_it_lasts() {
    let load = Load { in_flight: 1, ..ended_at(0) };
    assert_eq!(judge(Moment::from_secs(100_000), &input(&load)), Idleness::Busy { open: 1 });
    let load = Load { waiting: 1, ..ended_at(0) };
    assert_eq!(judge(Moment::from_secs(100_000), &input(&load)), Idleness::Busy { open: 1 });
}

#[test]
fn missing_data_is_not_idleness() {
    let load = ended_at(0);
    let input = IdleInput { load: None, ..input(&load) };
    assert_eq!(judge(Moment::from_secs(100_000), &input), Idleness::Unknown);
}

#[test]
fn a_function_that_never_was_called_gets_its_whole_grace() {
    let load = Load::default();
    let input = IdleInput { touched: Moment::from_secs(1000), ..input(&load) };
    let until = Moment::from_secs(1300);
    assert_eq!(judge(Moment::from_secs(1001), &input).deadline(), Some(until));
    assert!(matches!(judge(until, &input), Idleness::Idle { .. }));
}

#[test]
fn what_an_earlier_run_saw_counts_until_the_first_call() {
    let load = Load::default();
    let restored = IdleInput { quiet_before: Duration::from_secs(200), ..input(&load) };
    let until = Moment::from_secs(100);
    assert_eq!(judge(Moment::from_secs(1), &restored).deadline(), Some(until));
    let called = ended_at(50);
    let restored = IdleInput { quiet_before: Duration::from_secs(200), ..input(&called) };
    let until = Moment::from_secs(350);
    assert_eq!(judge(Moment::from_secs(60), &restored).deadline(), Some(until));
}

#[test]
fn a_function_that_has_not_opted_in_stays() {
    let load = ended_at(0);
    let input = IdleInput { opted_in: false, ..input(&load) };
    assert_eq!(judge(Moment::from_secs(100_000), &input), Idleness::NotOptedIn);
}

#[test]
fn each_judgement_reads_as_a_sentence_and_has_its_word() {
    let (load, busy) = (ended_at(0), Load { in_flight: 2, ..ended_at(0) });
    let told = |secs, input: &IdleInput<'_>| {
        let judged = judge(Moment::from_secs(secs), input);
        (judged.to_string(), judged.label())
    };
    let quiet = input(&load);
    assert_eq!(told(258, &quiet).0, "quiet; goes to zero in 42s if nothing comes");
    assert_eq!(told(300, &quiet), ("idle for 5m".to_owned(), "idle"));
    assert_eq!(told(9, &input(&busy)), ("not idle: 2 calls are open".to_owned(), "busy"));
    let strange = IdleInput { opted_in: false, ..quiet.clone() };
    assert_eq!(told(9, &strange).1, "not_opted_in");
    let unknown = IdleInput { load: None, ..quiet };
    assert_eq!(told(9, &unknown), ("not judged: the load is not known".to_owned(), "unknown"));
}
