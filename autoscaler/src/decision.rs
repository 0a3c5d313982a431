//! What the autoscaler answers, and why.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Moment, Replicas, format_duration};
use tidegate_idler::Shortage;

use crate::measured::{Source, Trouble};

/// What to do now, and when to ask again.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// When to look again if nothing arrives; `None` when nothing can change without an arrival.
    pub look_again: Option<Moment>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Nothing.
    Stay(Hold),
    /// Make the count what it should be.
    Scale {
        /// The count.
        to: Replicas,
        /// At zero: how deep.
        depth: Depth,
        /// Why.
        reason: Reason,
    },
}

/// How deep zero is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Replicas are ended.
    #[default]
    Removed,
    /// Replicas are kept created, their programs not started.
    Created,
    /// Replicas are kept frozen.
    Frozen,
}

/// What somebody asks for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// An operator wants this count.
    Operator(Replicas),
    /// An alert for the function fires.
    AlertFiring,
    /// An alert for the function is over.
    AlertResolved,
    /// A call waits.
    Wake,
    /// Memory is short: what rests at zero should have less.
    Evict(Shortage),
}

/// Why the count stays.
#[derive(Clone, Debug, PartialEq)]
pub enum Hold {
    /// The load asks for what there is.
    AtTarget,
    /// At the minimum, and nobody calls.
    AtMin,
    /// A little more is wanted, which is given at the next step.
    NextStep {
        /// What the load asks for.
        wanted: Replicas,
    },
    /// The load is missing; it never scales down.
    NoSamples,
    /// What a rule needs could not be measured; that never scales down.
    Unmeasured(Arc<Unmeasured>),
    /// Minimum and maximum are the same.
    Static,
    /// At zero, and nobody calls.
    AtZero,
    /// Less is wanted, but load has not been seen for a whole window yet.
    Learning {
        /// What the load asks for as far as it is known.
        wanted: Replicas,
        /// For how long it has been seen.
        watched: Duration,
        /// For how long it must be seen.
        window: Duration,
    },
    /// More is wanted than the maximum.
    AtMax {
        /// What the load asks for.
        wanted: Replicas,
    },
    /// The rule without a target has just taken a step, and waits before the next.
    Stepping,
    /// An alert changes nothing: the factor is zero.
    NoStep,
    /// Less is wanted, but a higher wish still holds.
    Settling {
        /// What the load asks for now.
        wanted: Replicas,
        /// What holds the count up.
        held: Replicas,
    },
    /// Less is wanted, but the load would barely fit, and more was wanted within a quarter of an hour.
    Hovering {
        /// What the load asks for now.
        wanted: Replicas,
        /// What is kept.
        held: Replicas,
        /// How much room is spare room, in percent.
        tolerance: u16,
    },
    /// More is wanted, but what was started does not become ready.
    StartsStuck {
        /// What the load asks for.
        wanted: Replicas,
        /// For how long nothing became ready.
        since: Duration,
    },
    /// More is wanted, but the labels allow no more before those on their way are ready.
    UpRate {
        /// What is wanted.
        wanted: Replicas,
        /// What is ready.
        ready: Replicas,
    },
    /// The first count of a new function is on its way.
    Initial {
        /// How many.
        first: Replicas,
    },
    /// Idle, but idleness is only reported.
    DryRun {
        /// For how long.
        since: Duration,
    },
    /// What was asked for is there already.
    AsAsked,
}

/// A value that is measured elsewhere is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmeasured {
    /// Which.
    pub source: Source,
    /// Why not.
    pub trouble: Trouble,
}

/// Why the count changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The load asks for more.
    LoadAboveTarget {
        /// What the formula says, before the bounds.
        wanted: Replicas,
    },
    /// An arrival found all replicas full.
    Burst {
        /// Calls there are.
        demand: u64,
        /// What they ask for, before the bounds.
        wanted: Replicas,
    },
    /// The load asks for less.
    LoadBelowTarget {
        /// What the formula says, before the bounds.
        wanted: Replicas,
    },
    /// What is measured elsewhere asks for more.
    Above {
        /// Who asks for the most.
        source: Source,
        /// For so many, before the bounds.
        wanted: Replicas,
    },
    /// What is measured elsewhere asks for less.
    Below {
        /// Who asks for the most.
        source: Source,
        /// For so many, before the bounds.
        wanted: Replicas,
    },
    /// More than five calls a second, and no target.
    Busy {
        /// Calls a second, in thousandths.
        rate_millis: u64,
    },
    /// No longer more than five calls a second.
    Calm,
    /// Calls wait, and there is no replica.
    Woken {
        /// How many.
        waiting: u64,
    },
    /// Nobody called for long enough.
    Idle {
        /// For how long.
        since: Duration,
    },
    /// Frozen for long enough.
    WarmOver {
        /// For how long.
        since: Duration,
    },
    /// At zero for the time warm and the time created.
    CreatedOver {
        /// For how long.
        since: Duration,
    },
    /// Memory is short.
    Evicted {
        /// In which way.
        short: Shortage,
    },
    /// A call is expected.
    Expected {
        /// How long nobody has called.
        since: Duration,
        /// Until which age of the silence it is expected.
        until: Duration,
    },
    /// A schedule asks for more.
    Scheduled {
        /// For so many at least.
        least: Replicas,
    },
    /// Below the minimum.
    BelowMin,
    /// Above the maximum.
    AboveMax,
    /// The first count of a new function.
    Initial,
    /// An operator asked.
    Operator {
        /// For this many, before the bounds.
        asked: Replicas,
        /// What the bounds made of it.
        given: Replicas,
    },
    /// An alert fires.
    AlertFiring,
    /// An alert is over.
    AlertResolved,
}

impl Hold {
    /// The value of the `reason` label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::AtTarget => "at_target",
            Self::AtMin => "at_min",
            Self::NextStep { .. } => "next_step",
            Self::NoSamples => "no_samples",
            Self::Unmeasured(_) => "not_measured",
            Self::Static => "static",
            Self::AtZero => "at_zero",
            Self::Learning { .. } => "learning",
            Self::AtMax { .. } => "at_max",
            Self::Stepping => "stepping",
            Self::NoStep => "no_step",
            Self::Settling { .. } => "settling",
            Self::Hovering { .. } => "hovering",
            Self::StartsStuck { .. } => "starts_stuck",
            Self::UpRate { .. } => "up_rate",
            Self::Initial { .. } => "initial",
            Self::DryRun { .. } => "dry_run",
            Self::AsAsked => "as_asked",
        }
    }
}

impl Reason {
    /// The value of the `reason` label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::LoadAboveTarget { .. } => "load_above_target",
            Self::Burst { .. } => "burst",
            Self::LoadBelowTarget { .. } => "load_below_target",
            Self::Above { source, .. } => source.above(),
            Self::Below { source, .. } => source.below(),
            Self::Busy { .. } => "busy",
            Self::Calm => "calm",
            Self::Woken { .. } => "woken",
            Self::Idle { .. } => "idle",
            Self::WarmOver { .. } => "warm_over",
            Self::CreatedOver { .. } => "created_over",
            Self::Evicted { .. } => "evicted",
            Self::Expected { .. } => "expected",
            Self::Scheduled { .. } => "scheduled",
            Self::BelowMin => "below_min",
            Self::AboveMax => "above_max",
            Self::Initial => "initial",
            Self::Operator { .. } => "operator",
            Self::AlertFiring => "alert_firing",
            Self::AlertResolved => "alert_resolved",
        }
    }

    /// Whether an operator asked.
    pub const fn is_operator(&self) -> bool {
        matches!(self, Self::Operator { .. })
    }

    /// Who asked.
    pub const fn who(&self) -> &'static str {
        match self {
            Self::Operator { .. } => "operator",
            Self::AlertFiring | Self::AlertResolved => "alert",
            Self::Woken { .. } => "call",
            Self::Evicted { .. } => "memory",
            Self::Idle { .. }
            | Self::WarmOver { .. }
            | Self::CreatedOver { .. }
            | Self::Expected { .. } => "idler",
            _ => "autoscaler",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtTarget => f.write_str("the load asks for what there is"),
            Self::AtMin => f.write_str("at the minimum, and nobody calls"),
            Self::NextStep { wanted } => {
                write!(f, "{wanted} wanted, which the next step of every 10s gives")
            }
            Self::NoSamples => f.write_str("the load is not known; that never scales down"),
            Self::Unmeasured(missing) => {
                let Unmeasured { source, trouble } = &**missing;
                write!(f, "{source} {trouble}; that never scales down")
            }
            Self::Static => f.write_str("minimum and maximum are the same"),
            Self::AtZero => f.write_str("at zero, and nobody calls"),
            Self::Learning { wanted, watched, window } => {
                let (watched, window) = (seconds(*watched), seconds(*window));
                write!(f, "{wanted} would do, but the load was seen for {watched} of {window} only")
            }
            Self::AtMax { wanted } => write!(f, "the load asks for {wanted}, this is the maximum"),
            Self::Stepping => {
                f.write_str("more than 5 calls a second; the last step was just taken")
            }
            Self::NoStep => {
                f.write_str("com.openfaas.scale.factor is 0, so an alert changes nothing")
            }
            Self::Settling { wanted, held } => {
                write!(f, "{wanted} would do, {held} was wanted within the window")
            }
            Self::Hovering { wanted, held, tolerance } => write!(
                f,
                "{wanted} would do, but not with {tolerance} % more load, and {held} was wanted within 15m"
            ),
            Self::StartsStuck { wanted, since } => {
                let since = seconds(*since);
                write!(f, "{wanted} wanted, but what was started is not ready for {since}")
            }
            Self::UpRate { wanted, ready } => {
                write!(
                    f,
                    "{wanted} wanted, but com.tidegate.scale.up-rate allows no more while {ready} are ready"
                )
            }
            Self::Initial { first } => write!(f, "the first {first} are on their way"),
            Self::DryRun { since } => write!(f, "idle for {}, only reported", seconds(*since)),
            Self::AsAsked => f.write_str("what was asked for is there"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadAboveTarget { wanted } => write!(f, "the load asks for {wanted}"),
            Self::Burst { demand, wanted } => {
                write!(f, "{demand} calls found all replicas full and ask for {wanted}")
            }
            Self::LoadBelowTarget { wanted } => write!(f, "the load asks for only {wanted}"),
            Self::Above { source, wanted } => write!(f, "{source} asks for {wanted}"),
            Self::Below { source, wanted } => write!(f, "{source} asks for only {wanted}"),
            Self::Busy { rate_millis } => {
                let rate = *rate_millis as f64 / 1000.0;
                write!(f, "{rate:.1} calls a second are more than 5")
            }
            Self::Calm => f.write_str("no more than 5 calls a second any longer"),
            Self::Woken { waiting: 0 } => f.write_str("a call wants a replica"),
            Self::Woken { waiting: 1 } => f.write_str("a call waits for a replica"),
            Self::Woken { waiting } => write!(f, "{waiting} calls wait for a replica"),
            Self::Idle { since } => write!(f, "idle for {}", seconds(*since)),
            Self::WarmOver { since } => write!(f, "frozen for {}", seconds(*since)),
            Self::CreatedOver { since } => write!(f, "at zero for {}", seconds(*since)),
            Self::Evicted { short } => short.fmt(f),
            Self::Scheduled { least } => write!(f, "the schedule asks for {least} at least"),
            Self::Expected { since, until } => {
                let left = seconds(until.saturating_sub(*since));
                write!(f, "quiet for {}, and a call is expected within {left}", seconds(*since))
            }
            Self::BelowMin => f.write_str("below the minimum"),
            Self::AboveMax => f.write_str("above the maximum"),
            Self::Initial => f.write_str("a new function begins with so many"),
            Self::Operator { asked, given } if asked > given => {
                write!(f, "an operator asked for {asked}, the maximum is {given}")
            }
            Self::Operator { asked, given } if asked < given => {
                write!(f, "an operator asked for {asked}, the minimum is {given}")
            }
            Self::Operator { asked, .. } => write!(f, "an operator asked for {asked}"),
            Self::AlertFiring => f.write_str("an alert fires"),
            Self::AlertResolved => f.write_str("an alert is over"),
        }
    }
}

/// A duration to the second, shorter ones to the millisecond.
pub(crate) fn seconds(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        return format_duration(Duration::from_millis(span.as_millis() as u64));
    }
    format_duration(Duration::from_secs(span.as_secs()))
}
