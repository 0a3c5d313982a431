//! How one function wants to be scaled: its labels, read once at deploy time.
//!
//! A bad label is refused with its name, its value and what is allowed; a label of our family that
//! nothing here honours becomes a warning. After this nobody looks at label texts again.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use thiserror::Error;

use crate::{Bounds, Decimal, Replicas, format_duration, parse_duration};

mod pace;
mod target;
mod zero;

pub use pace::{Pace, Rate};
pub use target::{BadPercentile, LoadType, Percentile, Target};
pub use zero::{Seconds, ZeroPolicy, ZeroRule};

/// Names of the labels that scaling honours.
pub mod labels {
    /// Least count under load.
    pub const MIN: &str = "com.openfaas.scale.min";
    /// Highest count.
    pub const MAX: &str = "com.openfaas.scale.max";
    /// Load one replica should carry.
    pub const TARGET: &str = "com.openfaas.scale.target";
    /// Percentile and duration that a function scaled by latency keeps, such as `p95:200ms`.
    pub const LATENCY_TARGET: &str = "com.tidegate.scale.target";
    /// Which load is measured.
    pub const TYPE: &str = "com.openfaas.scale.type";
    /// Multiplies the target; below one scales earlier.
    pub const TARGET_PROPORTION: &str = "com.openfaas.scale.target-proportion";
    /// Opts in to zero.
    pub const ZERO: &str = "com.openfaas.scale.zero";
    /// Idle time before zero.
    pub const ZERO_DURATION: &str = "com.openfaas.scale.zero-duration";
    /// Span over which the highest wish holds the count up.
    pub const DOWN_WINDOW: &str = "com.openfaas.scale.down.window";
    /// Step of the community rule, in percent of the maximum.
    pub const FACTOR: &str = "com.openfaas.scale.factor";
    /// How long a replica stays frozen at zero.
    pub const WARM_DURATION: &str = "com.tidegate.scale.warm-duration";
    /// How long one is kept created after that, its program not started, before it is removed.
    pub const CREATED_DURATION: &str = "com.tidegate.scale.created-duration";

    /// What decides when idle time is over.
    pub const ZERO_POLICY: &str = "com.tidegate.scale.zero-policy";
    /// Lets a function be started before a call that is expected.
    pub const PREWARM: &str = "com.tidegate.scale.prewarm";
    /// Least counts by time of day; read by whoever has a clock.
    pub const SCHEDULE: &str = "com.tidegate.scale.schedule";
    /// Spare room in percent below which a count is gone down to late.
    pub const TOLERANCE: &str = "com.tidegate.scale.tolerance";
    /// How many times the ready replicas may become at once.
    pub const UP_RATE: &str = "com.tidegate.scale.up-rate";
    /// By how much the ready replicas may be divided at once.
    pub const DOWN_RATE: &str = "com.tidegate.scale.down-rate";
    /// The count of a new function.
    pub const INITIAL: &str = "com.tidegate.scale.initial";
    /// The least count of a function with load.
    pub const ACTIVATION: &str = "com.tidegate.scale.activation";

    pub(super) const ALL: [&str; 20] = [
        MIN,
        MAX,
        TARGET,
        LATENCY_TARGET,
        TYPE,
        TARGET_PROPORTION,
        ZERO,
        ZERO_DURATION,
        DOWN_WINDOW,
        FACTOR,
        WARM_DURATION,
        CREATED_DURATION,
        ZERO_POLICY,
        PREWARM,
        SCHEDULE,
        TOLERANCE,
        UP_RATE,
        DOWN_RATE,
        INITIAL,
        ACTIVATION,
    ];
}

/// How one function wants to be scaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Least and highest count; the least is also what a waking function gets.
    pub bounds: Bounds,
    /// What a replica should carry.
    pub target: Target,
    /// When to go to zero; `None` when the function has not opted in.
    pub zero: Option<ZeroPolicy>,
    /// Span over which the highest recommendation holds the count up; at most [`Policy::LONGEST_DOWN_WINDOW`].
    pub down_window: Option<Duration>,
    /// How fast and how readily the count follows the load.
    pub pace: Pace,
}

/// A label with a value that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("label {label}: {value:?} is not allowed; use {allowed}")]
pub struct BadLabel {
    /// The label's name.
    pub label: String,
    /// Its value, cut at 80 characters.
    pub value: String,
    /// What would be allowed.
    pub allowed: &'static str,
}

/// A label that was accepted but does not do what its author may expect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyWarning {
    /// Nothing here honours the label.
    #[error("label {0} has no effect here")]
    NotHonoured(String),
    /// The down window was cut to its maximum.
    #[error("label {label}: {value} is longer than the maximum, 5m is used", label = labels::DOWN_WINDOW, value = format_duration(*.0))]
    DownWindowCut(Duration),
}

impl Default for Policy {
    fn default() -> Self {
        Self::from_labels(&BTreeMap::new()).expect("no label is no bad label").0
    }
}

impl Policy {
    /// Longest down window.
    pub const LONGEST_DOWN_WINDOW: Duration = Duration::from_secs(300);
    /// Highest count a label may ask for.
    pub const MOST_REPLICAS: u32 = 10_000;
    /// The target where only a type is given.
    pub const DEFAULT_TARGET: Decimal = Decimal::whole(50);
    /// The target-proportion where none is given: 0.90.
    pub const DEFAULT_PROPORTION: Decimal = Decimal::from_millionths(900_000);
    /// Longest latency that a label may name.
    pub const LONGEST_LATENCY: Duration = Duration::from_secs(3600);
    const DEFAULT_MAX: u32 = 20;
    const DEFAULT_FACTOR: u32 = 10;

    /// Reads the labels of a function.
    ///
    /// # Errors
    /// With every bad label, when there is one.
    pub fn from_labels(
        labels: &BTreeMap<String, String>,
    ) -> Result<(Self, Vec<PolicyWarning>), Vec<BadLabel>> {
        let mut read = LabelReader { labels, bad: Vec::new(), warnings: Vec::new() };
        let policy = Self {
            bounds: read.bounds(),
            target: read.target(),
            zero: read.zero(),
            down_window: read.down_window(),
            pace: read.pace(),
        };
        read.warn_of_strangers();
        if read.bad.is_empty() { Ok((policy, read.warnings)) } else { Err(read.bad) }
    }
}

struct LabelReader<'a> {
    labels: &'a BTreeMap<String, String>,
    bad: Vec<BadLabel>,
    warnings: Vec<PolicyWarning>,
}

impl LabelReader<'_> {
    fn bounds(&mut self) -> Bounds {
        const ALLOWED: &str = "a whole number from 1 to 10000";
        let count =
            |text: &str| text.parse().ok().filter(|n| (1..=Policy::MOST_REPLICAS).contains(n));
        let min = self.value(labels::MIN, ALLOWED, count);
        let max = self.value(labels::MAX, ALLOWED, count);
        // A lone minimum above the default maximum lifts it: the user asked for that many.
        let least = min.unwrap_or(1);
        let most = max.unwrap_or_else(|| Policy::DEFAULT_MAX.max(least));
        Bounds::new(Replicas::new(least), Replicas::new(most)).unwrap_or_else(|_| {
            self.refuse(
                labels::MIN,
                "a number no higher than com.openfaas.scale.max (20 when not given)",
            );
            Bounds::new(Replicas::ONE, Replicas::ONE).expect("one is at most one")
        })
    }

    fn zero(&mut self) -> Option<ZeroPolicy> {
        const ALLOWED: &str = "a duration such as 5m or 90s";
        let opted_in = self.flag(labels::ZERO);
        let after =
            self.value(labels::ZERO_DURATION, "a duration above zero, such as 5m or 90s", |text| {
                parse_duration(text).ok().filter(|span| !span.is_zero())
            });
        let span = |text: &str| parse_duration(text).ok();
        let warm = self.value(labels::WARM_DURATION, ALLOWED, span);
        let created = self.value(labels::CREATED_DURATION, ALLOWED, span).map(Seconds::from);
        let rule = self
            .value(labels::ZERO_POLICY, "fixed, adaptive or hybrid", ZeroRule::from_label)
            .unwrap_or_default();
        let prewarm = self.flag(labels::PREWARM).unwrap_or(false);
        if prewarm && rule == ZeroRule::Fixed {
            self.refuse(
                labels::PREWARM,
                "it with com.tidegate.scale.zero-policy adaptive or hybrid",
            );
        }
        opted_in.unwrap_or(false).then_some(ZeroPolicy { after, warm, created, rule, prewarm })
    }

    fn flag(&mut self, label: &'static str) -> Option<bool> {
        self.value(label, "true or false", |text| match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    fn down_window(&mut self) -> Option<Duration> {
        let window =
            self.value(labels::DOWN_WINDOW, "a duration up to 5m, such as 90s", |text| {
                parse_duration(text).ok()
            })?;
        if window > Policy::LONGEST_DOWN_WINDOW {
            self.warnings.push(PolicyWarning::DownWindowCut(window));
        }
        Some(window.min(Policy::LONGEST_DOWN_WINDOW)).filter(|window| !window.is_zero())
    }

    fn pace(&mut self) -> Pace {
        const RATE: &str = "a number above 1, such as 2 or 1.5";
        const COUNT: &str = "a whole number from 1 to 10000";
        let count = |text: &str| {
            let count = text.parse::<NonZeroU16>().ok();
            count.filter(|count| u32::from(count.get()) <= Policy::MOST_REPLICAS)
        };
        let percent = |text: &str| text.parse().ok().filter(|percent| *percent <= 100);
        let tolerance = self.value(labels::TOLERANCE, "a whole percentage from 0 to 100", percent);
        Pace {
            tolerance: tolerance.unwrap_or(Pace::DEFAULT_TOLERANCE),
            up_rate: self.value(labels::UP_RATE, RATE, |text| text.parse().ok()),
            down_rate: self.value(labels::DOWN_RATE, RATE, |text| text.parse().ok()),
            initial: self.value(labels::INITIAL, COUNT, count),
            activation: self.value(labels::ACTIVATION, COUNT, count),
        }
    }

    fn warn_of_strangers(&mut self) {
        let ours = |label: &&String| {
            label.starts_with("com.openfaas.") || label.starts_with("com.tidegate.")
        };
        for label in self.labels.keys().filter(ours) {
            if !labels::ALL.contains(&label.as_str()) {
                self.warnings.push(PolicyWarning::NotHonoured(label.clone()));
            }
        }
    }

    fn value<T>(
        &mut self,
        label: &'static str,
        allowed: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.labels.get(label)?.trim());
        if value.is_none() {
            self.refuse(label, allowed);
        }
        value
    }

    fn refuse(&mut self, label: &'static str, allowed: &'static str) {
        let value = self.labels.get(label).map(String::as_str).unwrap_or_default();
        let value = value.chars().take(80).collect();
        self.bad.push(BadLabel { label: label.to_owned(), value, allowed });
    }
}

#[cfg(test)]
mod tests;
