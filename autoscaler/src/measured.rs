//! Values that somebody else measures for a function: CPU, memory, latency, and named rules.
//!
//! ```text
//! measured() ──► samples of the last stable window ──► mean and newest ──► rules.rs: what they ask for
//!            └─► trouble: an error, too old, or nothing yet ──► no answer, which holds the count
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Decimal, LoadType, Moment, Policy, Target};

use crate::decision::seconds;
use crate::experience::Experience;
use crate::history::Names;
use crate::stamp::Stamp;
use crate::window::Fraction;

/// Where a value beside the gateway's own load comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Milli-CPU of all replicas together.
    Cpu,
    /// Bytes of all replicas together.
    Memory,
    /// Seconds that calls took, at the percentile of the labels.
    Latency,
    /// A named rule from configuration: its value for the function, over all replicas.
    Rule(Arc<str>),
}

/// A named rule from configuration, for one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomRule {
    /// What decisions call it by.
    pub name: Arc<str>,
    /// What one replica should carry, in the rule's own unit; above zero.
    pub target: Decimal,
    /// Multiplies the target; above zero.
    pub proportion: Decimal,
    /// An answer is taken at most this often. A tenth early is on time, since timers jitter.
    pub min_interval: Duration,
}

/// Why a value is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It never was.
    NotYet,
    /// The last one is too old.
    Old {
        /// How old.
        age: Duration,
    },
    /// It could not be measured.
    Failed {
        /// What went wrong.
        why: Arc<str>,
    },
}

/// All that is measured elsewhere for one function.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// By the label `type`, then the rules in the order of the configuration.
    all: Vec<Measure>,
    /// Names of rules that the history tells of.
    pub names: Names,
    pub experience: Experience,
}

/// One value over time.
#[derive(Clone, Debug)]
pub struct Measure {
    pub source: Source,
    pub target: Decimal,
    pub proportion: Decimal,
    /// Nanoseconds, of which 584 years are as good as never.
    min_interval: u64,
    /// The good ones of the last while, the newest last.
    samples: Vec<Sample>,
    /// Since when there was a good one without a gap.
    since: Stamp,
    /// What went wrong after the last good one.
    failed: Option<Arc<str>>,
}

#[derive(Copy, Clone, Debug)]
struct Sample {
    at: Stamp,
    value: f64,
}

/// Good samples that are kept; closer ones than a part of the window make one.
const MOST_SAMPLES: u32 = 16;
/// An interval of which three make a value old, where none is given.
const INTERVAL: Duration = Duration::from_secs(5);
/// Values above this are as good as infinite.
const LARGEST: f64 = 1e18;
/// Letters kept of what went wrong.
const LONGEST_WHY: usize = 200;

impl Source {
    /// The reason that a count went up for it.
    pub(crate) const fn above(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu_above_target",
            Self::Memory => "memory_above_target",
            Self::Latency => "latency_above_target",
            Self::Rule(_) => "rule_above_target",
        }
    }

    /// The reason that a count went down for it.
    pub(crate) const fn below(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu_below_target",
            Self::Memory => "memory_below_target",
            Self::Latency => "latency_below_target",
            Self::Rule(_) => "rule_below_target",
        }
    }

    /// What a policy needs measured elsewhere.
    pub(crate) fn of(load: LoadType) -> Option<Self> {
        match load {
            LoadType::Rps | LoadType::Capacity | LoadType::Queue => None,
            LoadType::Cpu => Some(Self::Cpu),
            LoadType::Memory => Some(Self::Memory),
            LoadType::Latency(_) => Some(Self::Latency),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Memory => f.write_str("memory"),
            Self::Latency => f.write_str("latency"),
            Self::Rule(name) => write!(f, "rule {name}"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet => f.write_str("was not measured yet"),
            Self::Old { age } => write!(f, "was last measured {} ago", seconds(*age)),
            Self::Failed { why } => write!(f, "could not be measured: {why}"),
        }
    }
}

impl Sample {
    fn at(&self) -> Moment {
        self.at.get().unwrap_or_default()
    }

    fn since(&self, earlier: &Self) -> Duration {
        self.at().since(earlier.at())
    }
}

impl Measures {
    /// What the labels alone need; nothing for most. Of a queue the experience alone.
    pub fn of(policy: &Policy) -> Option<Box<Self>> {
        let own = Measure::of(policy);
        let queue = matches!(policy.target, Target::Load { load: LoadType::Queue, .. });
        let needed = own.is_some() || queue;
        needed.then(|| Box::new(Self { all: own.into_iter().collect(), ..Self::default() }))
    }

    /// Whether nothing is measured elsewhere.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// New labels: what is measured for the same source goes on, by their target.
    pub fn adopt(mut found: Option<Box<Self>>, policy: &Policy) -> Option<Box<Self>> {
        let Some(measures) = found.as_mut() else { return Self::of(policy) };
        measures.experience = Experience::default();
        measures.all.retain(|measure| matches!(measure.source, Source::Rule(_)));
        measures.all.splice(0..0, Measure::of(policy));
        found
    }

    /// Replaces the rules, and keeps what is known of those that stay.
    pub fn set_rules(&mut self, rules: Vec<CustomRule>) {
        let mut known = std::mem::take(&mut self.all);
        let own = known.iter().position(|measure| !matches!(measure.source, Source::Rule(_)));
        self.all.extend(own.map(|at| known.remove(at)));
        for CustomRule { name, target, proportion, min_interval } in rules {
            let fresh = Measure::new(Source::Rule(name), target, proportion, min_interval);
            let place = known.iter().position(|measure| measure.source == fresh.source);
            self.all.push(match place {
                Some(at) => fresh.with_past_of(known.remove(at)),
                None => fresh,
            });
        }
    }

    /// Whether these are its rules already.
    pub fn has_rules(&self, rules: &[CustomRule]) -> bool {
        let known = self.all.iter().filter(|measure| matches!(measure.source, Source::Rule(_)));
        known.clone().count() == rules.len()
            && known.zip(rules).all(|(measure, rule)| measure.is(rule))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Measure> {
        self.all.iter()
    }

    pub fn get_mut(&mut self, source: &Source) -> Option<&mut Measure> {
        self.all.iter_mut().find(|measure| measure.source == *source)
    }

    /// Another revision: its values are not the old one's.
    pub fn forget(&mut self) {
        self.experience = Experience::default();
        for measure in &mut self.all {
            measure.forget();
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        let samples: usize = self.all.iter().map(|measure| measure.samples.capacity()).sum();
        size_of::<Self>()
            + self.all.capacity() * size_of::<Measure>()
            + samples * size_of::<Sample>()
    }
}

impl Measure {
    fn of(policy: &Policy) -> Option<Self> {
        let Target::Load { load, target, proportion } = policy.target else { return None };
        Some(Self::new(Source::of(load)?, target, proportion, Duration::ZERO))
    }

    fn new(source: Source, target: Decimal, proportion: Decimal, min_interval: Duration) -> Self {
        let (samples, since, failed) = (Vec::new(), Stamp::NONE, None);
        let min_interval = u64::try_from(min_interval.as_nanos()).unwrap_or(u64::MAX);
        Self { source, target, proportion, min_interval, samples, since, failed }
    }

    fn with_past_of(self, past: Self) -> Self {
        let Self { source, target, proportion, min_interval, .. } = self;
        Self { source, target, proportion, min_interval, ..past }
    }

    fn min_interval(&self) -> Duration {
        Duration::from_nanos(self.min_interval)
    }

    fn is(&self, rule: &CustomRule) -> bool {
        matches!(&self.source, Source::Rule(name) if *name == rule.name)
            && (self.target, self.proportion) == (rule.target, rule.proportion)
            && u128::from(self.min_interval) == rule.min_interval.as_nanos()
    }

    fn forget(&mut self) {
        (self.since, self.failed) = (Stamp::NONE, None);
        self.samples.clear();
    }

    /// Takes in a value, or why there is none. What comes too early or late counts for nothing.
    pub fn take(&mut self, now: Moment, window: Duration, value: Result<f64, String>) {
        let newest = self.samples.last().map(Sample::at);
        let due = |at: Moment| now >= at && now.since(at) >= self.min_interval() * 9 / 10;
        if newest.is_some_and(|at| !due(at)) {
            return;
        }
        match value {
            Ok(value) if value.is_finite() && value >= 0.0 => {
                if self.trouble(now).is_some() {
                    self.forget();
                }
                self.since.get_or_insert(now);
                self.keep(Sample { at: Stamp::at(now), value: value.min(LARGEST) }, window);
            }
            Ok(value) => self.fail(&format!("{value} is no amount")),
            Err(why) => self.fail(&why),
        }
    }

    fn fail(&mut self, why: &str) {
        self.since = Stamp::NONE;
        let why: String = why.chars().take(LONGEST_WHY).collect();
        self.failed = Some(why.into());
    }

    fn keep(&mut self, sample: Sample, window: Duration) {
        let part = window / MOST_SAMPLES;
        let len = self.samples.len();
        let moves = len >= 2 && self.samples[len - 1].since(&self.samples[len - 2]) < part;
        if moves {
            self.samples[len - 1] = sample;
        } else {
            self.samples.push(sample);
        }
        while self.samples.first().is_some_and(|old| sample.since(old) >= window)
            && self.samples.len() > 2
        {
            self.samples.remove(0);
        }
    }

    /// Why the value is not known now.
    pub fn trouble(&self, now: Moment) -> Option<Trouble> {
        if let Some(why) = &self.failed {
            return Some(Trouble::Failed { why: Arc::clone(why) });
        }
        let Some(newest) = self.samples.last() else { return Some(Trouble::NotYet) };
        let age = now.since(newest.at());
        let old = age > 3 * self.min_interval().max(INTERVAL);
        old.then_some(Trouble::Old { age })
    }

    /// For how long it was known without a gap.
    pub fn known_for(&self, now: Moment) -> Duration {
        self.since.get().map_or(Duration::ZERO, |since| now.since(since))
    }

    /// The newest value and its age.
    pub fn newest(&self, now: Moment) -> Option<(f64, Duration)> {
        self.samples.last().map(|sample| (sample.value, now.since(sample.at())))
    }

    /// The value before the newest.
    pub fn before(&self) -> Option<f64> {
        self.samples.iter().rev().nth(1).map(|sample| sample.value)
    }

    /// The mean of the samples of the last `window` before the newest.
    pub fn mean(&self, window: Duration) -> Option<Fraction> {
        let newest = self.samples.last()?;
        let lately = self.samples.iter().filter(|sample| newest.since(sample) < window);
        let (of, number) = lately
            .fold((0, 0), |(sum, number), sample| (sum + millionths(sample.value), number + 1));
        Some(Fraction { of, over: 1_000_000 * number })
    }

    /// What may scale up at once: the newest; of CPU the lower of the last two, since a replica that starts
    /// burns some that no call asks for.
    pub fn lately(&self) -> Option<Fraction> {
        let mut last = self.samples.iter().rev().map(|sample| sample.value);
        let newest = last.next()?;
        let value = match (&self.source, last.next()) {
            (Source::Cpu, Some(before)) => newest.min(before),
            _ => newest,
        };
        Some(Fraction { of: millionths(value), over: 1_000_000 })
    }
}

/// The value, which is no negative number and at most [`LARGEST`].
fn millionths(value: f64) -> u128 {
    (value * 1e6).round() as u128
}
