//! The idle rule: opted in, nothing open, quiet for long enough.
//!
//! Only a judgement: whether the count goes to zero is the autoscaler's to say, and the gateway's gate
//! still cancels it when a call arrives meanwhile.

use std::fmt;
use std::time::Duration;

use tidegate_core::{Load, Moment, format_duration};

use crate::plan::Plan;

/// All that the rule looks at.
#[derive(Clone, Debug)]
pub struct IdleInput<'a> {
    /// Whether the function may go to zero at all.
    pub opted_in: bool,
    /// How long it must have been quiet.
    pub after: Duration,
    /// The load; `None` when it is not known.
    pub load: Option<&'a Load>,
    /// When something last gave it a fresh grace: deployed, woken, scaled by hand.
    pub touched: Moment,
    /// Quiet time that an earlier run of the control plane has seen already.
    pub quiet_before: Duration,
}

/// What the rule says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Idleness {
    /// The function has not opted in.
    NotOptedIn,
    /// The load is not known.
    Unknown,
    /// Calls are open.
    Busy {
        /// How many.
        open: u64,
    },
    /// Quiet, but not for long enough.
    Quiet {
        /// When it will be idle if nothing comes.
        until: Moment,
        /// How long that is from now.
        left: Duration,
    },
    /// Idle.
    Idle {
        /// For how long.
        since: Duration,
    },
}

/// Judges one function at `now` by its fixed idle time.
pub fn judge(now: Moment, input: &IdleInput<'_>) -> Idleness {
    judge_until(now, input, |age| Some(input.after).filter(|after| age < *after))
}

/// Judges one function at `now` by a plan. Its idle time is the least under every plan.
pub fn judge_by(now: Moment, input: &IdleInput<'_>, plan: &Plan) -> Idleness {
    judge_until(now, input, |age| {
        let least = Some(input.after).filter(|after| age < *after);
        plan.warm_at(age).map(|span| span.to).max(least)
    })
}

/// How long a quiet function has been so, what an earlier run saw included.
pub fn age(now: Moment, input: &IdleInput<'_>) -> Duration {
    let (begun, before) = silence(input);
    now.since(begun).saturating_add(before)
}

/// Judges by the age at which warm time ends, asked for with the age now; `None` when it is over.
fn judge_until(
    now: Moment,
    input: &IdleInput<'_>,
    warm_until: impl FnOnce(Duration) -> Option<Duration>,
) -> Idleness {
    if !input.opted_in {
        return Idleness::NotOptedIn;
    }
    let Some(load) = input.load else { return Idleness::Unknown };
    if load.demand() > 0 {
        return Idleness::Busy { open: load.demand() };
    }
    let (begun, before) = silence(input);
    let age = age(now, input);
    match warm_until(age) {
        // A call may have ended just after `now` was read: the deadline counts from its end all the same.
        Some(until) => {
            let until = begun + until.saturating_sub(before);
            Idleness::Quiet { until, left: until.since(now) }
        }
        None if now < begun => Idleness::Quiet { until: begun, left: begun.since(now) },
        None => Idleness::Idle { since: age },
    }
}

/// When the silence began, and how much of it lies before that.
fn silence(input: &IdleInput<'_>) -> (Moment, Duration) {
    let last_end = input.load.and_then(|load| load.last_end);
    let begun = last_end.map_or(input.touched, |end| end.max(input.touched));
    // A call since the start has used up what the earlier run saw.
    (begun, if last_end.is_some() { Duration::ZERO } else { input.quiet_before })
}

impl Idleness {
    /// When to judge again if nothing comes; `None` when only a call, or data, can change anything.
    pub const fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Quiet { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// A word for metrics: few, fixed, never built from input.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotOptedIn => "not_opted_in",
            Self::Unknown => "unknown",
            Self::Busy { .. } => "busy",
            Self::Quiet { .. } => "quiet",
            Self::Idle { .. } => "idle",
        }
    }
}

impl fmt::Display for Idleness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOptedIn => f.write_str("never: com.openfaas.scale.zero is not true"),
            Self::Unknown => f.write_str("not judged: the load is not known"),
            Self::Busy { open: 1 } => f.write_str("not idle: a call is open"),
            Self::Busy { open } => write!(f, "not idle: {open} calls are open"),
            Self::Quiet { left, .. } => {
                write!(f, "quiet; goes to zero in {} if nothing comes", whole(*left))
            }
            Self::Idle { since } => write!(f, "idle for {}", whole(*since)),
        }
    }
}

/// A duration to the second, which is what a reader wants; a part of one counts as one.
fn whole(span: Duration) -> String {
    let part = u64::from(span.subsec_nanos() > 0);
    format_duration(Duration::from_secs(span.as_secs() + part))
}
