//! What a replica should carry: the labels `type`, `target` and those that multiply or replace it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::{LabelReader, Policy, labels};
use crate::{Decimal, Quantity, parse_duration};

/// What a replica should carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// No target label: more than five calls a second step the count up, less bring it back to the
    /// minimum, as the alert rule shipped with the OpenFaaS community edition does.
    Community {
        /// Step in percent of the maximum, 0 to 100; 0 never scales.
        factor: u32,
    },
    /// A target for a measured load.
    Load {
        /// What is measured.
        load: LoadType,
        /// Load one replica should carry, in the unit of `load`; for latency what all keep together.
        target: Decimal,
        /// Multiplies the target.
        proportion: Decimal,
    },
}

/// What is measured.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum LoadType {
    /// Completed calls a second.
    Rps,
    /// Calls in flight.
    Capacity,
    /// Calls that wait for a replica.
    Queue,
    /// Milli-CPU: 1000 is one core.
    Cpu,
    /// Bytes.
    Memory,
    /// Seconds, at this percentile of the calls.
    Latency(Percentile),
}

/// A percentile above 0 and below 100, exact to a hundredth; `p95` and `p99.9` in text.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percentile {
    hundredths: u16,
}

/// A text that is not a percentile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a percentile such as p50, p95 or p99.9")]
pub struct BadPercentile {
    text: String,
}

impl LoadType {
    /// The word of the label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Rps => "rps",
            Self::Capacity => "capacity",
            Self::Queue => "queue",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Latency(_) => "latency",
        }
    }
}

impl LoadType {
    /// The words of the label that are no names of rules.
    pub const WORDS: [&str; 6] = ["rps", "capacity", "queue", "cpu", "memory", "latency"];

    /// Whether a named rule may have this name: a letter or digit, then up to 62 of those, `-`, `_` and `.`.
    pub fn may_be_rule(name: &str) -> bool {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        first && name.len() <= 63 && name.bytes().all(inner) && !Self::WORDS.contains(&name)
    }
}

impl Percentile {
    /// From 0 to 100.
    pub fn as_f64(self) -> f64 {
        f64::from(self.hundredths) / 100.0
    }
}

impl FromStr for Percentile {
    type Err = BadPercentile;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HUNDREDTH: u64 = 10_000;
        let bad = || BadPercentile { text: text.chars().take(64).collect() };
        let number = text.strip_prefix('p').ok_or_else(bad)?;
        let millionths = number.parse::<Decimal>().map_err(|_| bad())?.millionths();
        let hundredths = u16::try_from(millionths / HUNDREDTH).map_err(|_| bad())?;
        let exact = millionths % HUNDREDTH == 0;
        if exact && (1..10_000).contains(&hundredths) {
            Ok(Self { hundredths })
        } else {
            Err(bad())
        }
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", Decimal::from_millionths(u64::from(self.hundredths) * 10_000))
    }
}

impl Policy {
    /// The percentile that a function scaled by latency keeps, and below which duration; `None` for others.
    pub fn latency_target(&self) -> Option<(Percentile, Duration)> {
        match self.target {
            Target::Load { load: LoadType::Latency(percentile), target, .. } => {
                Some((percentile, Duration::from_micros(target.millionths())))
            }
            _ => None,
        }
    }
}

const TYPES: &str = "rps, capacity, queue, cpu, memory, latency, or the name of a rule";

/// What the label `type` says.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Kind {
    Plain(LoadType),
    Memory,
    Latency,
    /// A named rule: whoever has the configuration knows it, and refuses what is none.
    Rule,
}

impl LabelReader<'_> {
    pub(super) fn target(&mut self) -> Target {
        let kind = self.value(labels::TYPE, TYPES, |text| match text {
            "rps" => Some(Kind::Plain(LoadType::Rps)),
            "capacity" => Some(Kind::Plain(LoadType::Capacity)),
            "queue" => Some(Kind::Plain(LoadType::Queue)),
            "cpu" => Some(Kind::Plain(LoadType::Cpu)),
            "memory" => Some(Kind::Memory),
            "latency" => Some(Kind::Latency),
            _ => LoadType::may_be_rule(text).then_some(Kind::Rule),
        });
        let proportion =
            self.value(labels::TARGET_PROPORTION, "a number above 0, such as 0.9", positive);
        let factor = self.value(labels::FACTOR, "a whole number from 0 to 100", |text| {
            text.parse().ok().filter(|n| (0..=100).contains(n))
        });
        if kind != Some(Kind::Latency) && self.labels.contains_key(labels::LATENCY_TARGET) {
            self.refuse(labels::LATENCY_TARGET, "it with com.openfaas.scale.type latency only");
        }
        let measured = match kind {
            Some(Kind::Latency) => self.latency(),
            Some(Kind::Memory) => self.memory(),
            Some(Kind::Plain(load)) => Some((load, self.number())),
            Some(Kind::Rule) => {
                // The target is the rule's; without it there is nothing to scale by.
                self.number();
                return Target::Community { factor: 0 };
            }
            None => {
                self.labels.contains_key(labels::TARGET).then(|| (LoadType::Rps, self.number()))
            }
        };
        match measured {
            Some((load, target)) => {
                let proportion = proportion.unwrap_or(Policy::DEFAULT_PROPORTION);
                Target::Load { load, target, proportion }
            }
            None => Target::Community { factor: factor.unwrap_or(Policy::DEFAULT_FACTOR) },
        }
    }

    fn number(&mut self) -> Decimal {
        let target = self.value(labels::TARGET, "a number above 0, such as 5 or 0.5", positive);
        target.unwrap_or(Policy::DEFAULT_TARGET)
    }

    /// A plain number is bytes, as in a memory limit. Who writes 200 means megabytes, hence the least.
    fn memory(&mut self) -> Option<(LoadType, Decimal)> {
        const ALLOWED: &str = "memory from 1Mi to 16Ti for each replica, such as 256Mi or 1G";
        const LEAST: u64 = 1 << 20;
        const MOST: u64 = 1 << 44;
        let bytes = self.needed(labels::TARGET, ALLOWED, |text| {
            let bytes = text.parse::<Quantity>().ok()?.units();
            (LEAST..=MOST).contains(&bytes).then_some(bytes)
        })?;
        Some((LoadType::Memory, Decimal::from_millionths(bytes * 1_000_000)))
    }

    fn latency(&mut self) -> Option<(LoadType, Decimal)> {
        if self.labels.contains_key(labels::TARGET) {
            self.refuse(labels::TARGET, "com.tidegate.scale.target instead, such as p95:200ms");
        }
        let allowed = "a percentile and a duration up to 1h, such as p95:200ms";
        let (percentile, within) = self.needed(labels::LATENCY_TARGET, allowed, |text| {
            let (percentile, within) = text.split_once(':')?;
            let within = parse_duration(within).ok()?;
            let micros = u64::try_from(within.as_micros()).ok()?;
            let fits = micros > 0 && within <= Policy::LONGEST_LATENCY;
            fits.then_some((percentile.parse::<Percentile>().ok()?, micros))
        })?;
        Some((LoadType::Latency(percentile), Decimal::from_millionths(within)))
    }

    /// The value of a label that must be there.
    fn needed<T>(
        &mut self,
        label: &'static str,
        allowed: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        if !self.labels.contains_key(label) {
            self.refuse(label, allowed);
        }
        self.value(label, allowed, read)
    }
}

fn positive(text: &str) -> Option<Decimal> {
    text.parse::<Decimal>().ok().filter(|number| !number.is_zero())
}
