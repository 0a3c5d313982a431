//! What no example can cover.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_core::{Load, Moment};
use tidegate_idler::{IdleInput, Idleness, judge};

/// A function whose last call ended so many milliseconds after the start, if any did.
fn load(open: u64, ended: Option<u64>) -> Load {
    Load { in_flight: open, last_end: ended.map(Moment::from_millis), ..Load::default() }
}

prop_compose! {
    fn quiet()(after in 0_u64..1_000_000, ended in prop::option::of(0_u64..1_000_000), touched in 0_u64..1_000_000, before in 0_u64..500_000)
        -> (Load, Duration, Moment, Duration) {
        (load(0, ended), Duration::from_millis(after), Moment::from_millis(touched), Duration::from_millis(before))
    }
}

fn input<'a>(case: &'a (Load, Duration, Moment, Duration)) -> IdleInput<'a> {
    let (load, after, touched, quiet_before) = case;
    IdleInput {
        opted_in: true,
        after: *after,
        load: Some(load),
        touched: *touched,
        quiet_before: *quiet_before,
    }
}

proptest! {
    #[test]
    fn at_its_deadline_a_quiet_function_is_idle_and_not_a_nanosecond_before(case in quiet(), now in 0_u64..2_000_000) {
        let input = input(&case);
        if let Idleness::Quiet { until, left } = judge(Moment::from_millis(now), &input) {
            prop_assert_eq!(until, Moment::from_millis(now) + left);
            let idle = matches!(judge(until, &input), Idleness::Idle { .. });
            prop_assert!(idle);
            let just_before = judge(until.saturating_sub(Duration::from_nanos(1)), &input);
            let quiet = matches!(just_before, Idleness::Quiet { .. });
            prop_assert!(quiet, "{just_before:?}");
        }
    }

    #[test]
    fn what_is_idle_stays_idle_until_something_happens(case in quiet(), now in 0_u64..2_000_000, later in 0_u64..1_000_000) {
        let input = input(&case);
        if let Idleness::Idle { since } = judge(Moment::from_millis(now), &input) {
            let later_on = judge(Moment::from_millis(now + later), &input);
            prop_assert_eq!(later_on, Idleness::Idle { since: since + Duration::from_millis(later) });
        }
    }

    #[test]
    fn open_calls_and_missing_data_are_never_idle(case in quiet(), open in 1_u64..9, now in 0_u64..10_000_000_000) {
        let now = Moment::from_millis(now);
        let busy = Load { in_flight: open, ..case.0 };
        prop_assert_eq!(judge(now, &IdleInput { load: Some(&busy), ..input(&case) }), Idleness::Busy { open });
        let waits = Load { waiting: open, ..case.0 };
        prop_assert_eq!(judge(now, &IdleInput { load: Some(&waits), ..input(&case) }), Idleness::Busy { open });
        prop_assert_eq!(judge(now, &IdleInput { load: None, ..input(&case) }), Idleness::Unknown);
    }

    #[test]
    fn nobody_idles_before_the_whole_time_since_the_last_call_or_touch(case in quiet(), now in 0_u64..2_000_000) {
        let now = Moment::from_millis(now);
        let (load, after, touched, before) = &case;
        if let Idleness::Idle { .. } = judge(now, &input(&case)) {
            // What an earlier run saw counts only until the first call of this one.
            let before = if load.last_end.is_some() { Duration::ZERO } else { *before };
            prop_assert!(now.since(*touched) + before >= *after);
            prop_assert!(load.last_end.is_none_or(|end| now.since(end) >= *after));
        }
    }
}
