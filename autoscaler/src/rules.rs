//! What all rules of a function ask for together: the highest answer wins, and one that has no answer
//! holds the count.
//!
//! ```text
//! by the gateway's load ─┐
//! cpu, memory, latency ──┼─► the highest ──► by_target.rs
//! named rules ───────────┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Decimal, Load, LoadType, Moment, Replicas, Target};

use crate::config::Settings;
use crate::decide::Look;
use crate::decision::{Hold, Unmeasured};
use crate::function::{Averages, Function};
use crate::kept::Last;
use crate::latency;
use crate::measured::{Measure, Source};
use crate::rule::{replicas_for, replicas_to_hold};
use crate::window::Fraction;

/// The share of the newest value that may scale up, in percent. A tenth less, so that noise about a
/// boundary does not: what is really there the stable average tells in full.
pub const FAST_SHARE: u32 = 90;

/// What one replica should carry of the load that the gateway counts.
#[derive(Copy, Clone, Debug)]
pub struct Rule {
    pub load: LoadType,
    pub target: Decimal,
    pub proportion: Decimal,
}

/// What a rule asks for, before the bounds.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// To this many at once.
    pub up: Replicas,
    /// No fewer than this many for the next while. By the last second, so that the end of a surge is one
    /// step down; what it has more than the fast average counts up to the tolerance only.
    pub floor: Replicas,
    /// No fewer than this many where that was wanted lately.
    pub hover: Replicas,
}

/// What the rules look at beside what is kept of the function.
#[derive(Copy, Clone, Debug)]
pub struct Sight<'a> {
    pub now: Moment,
    /// The load; nothing when it is missing.
    pub load: Option<&'a Load>,
    pub desired: Replicas,
    pub ready: Replicas,
    pub pending: Replicas,
    pub limit: Option<u32>,
}

/// What all rules ask for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// By the load that the gateway counts; nothing where no rule asks for it, or it is not known.
    pub load: Option<Answer>,
    /// By what is measured elsewhere: the highest of each, and who is the highest.
    pub measured: Option<(Answer, Source)>,
    /// A rule that has no answer, other than by the load.
    pub missing: Option<Unmeasured>,
    /// Whether the load is needed and not known.
    pub load_missing: bool,
}

impl Answer {
    /// The same for all purposes.
    pub fn all(count: Replicas) -> Self {
        Self { up: count, floor: count, hover: count }
    }

    fn max(self, other: Self) -> Self {
        Self {
            up: self.up.max(other.up),
            floor: self.floor.max(other.floor),
            hover: self.hover.max(other.hover),
        }
    }

    fn activated(self, function: &Function) -> Self {
        let [up, floor, hover] =
            [self.up, self.floor, self.hover].map(|count| function.activated(count));
        Self { up, floor, hover }
    }
}

impl<'a> Sight<'a> {
    pub fn of(look: &Look<'a>) -> Self {
        let seen = look.seen;
        Self {
            now: look.now,
            load: look.load,
            desired: seen.desired,
            ready: seen.ready,
            pending: seen.pending,
            limit: seen.replica_limit,
        }
    }

    /// The same as at the last look, for who tells of it.
    pub fn last(now: Moment, last: &'a Last) -> Self {
        Self {
            now,
            load: last.fresh_load(),
            desired: last.desired,
            ready: last.ready,
            pending: last.pending,
            limit: last.replica_limit,
        }
    }
}

impl Rule {
    /// The rule of a function with a target for the load that the gateway counts.
    pub fn of(target: &Target) -> Option<Self> {
        match *target {
            Target::Load { load, target, proportion } if Source::of(load).is_none() => {
                Some(Self { load, target, proportion })
            }
            _ => None,
        }
    }

    /// `ceil(load / (target × proportion))`.
    pub fn replicas_for(&self, load: Fraction) -> Replicas {
        replicas_for(load, self.target, self.proportion)
    }

    /// What is measured of it; nothing before there are two readings.
    pub fn averages(&self, config: &Settings, function: &Function) -> Option<Averages> {
        function.averages(config, self.load)
    }

    /// What it asks for; nothing while the load is not known.
    fn answer(&self, config: &Settings, function: &Function, sight: &Sight<'_>) -> Option<Answer> {
        let load = sight.load?;
        let tolerance = function.policy.pace.tolerance;
        let answer = if self.load == LoadType::Queue {
            self.by_queue(load, sight.limit, tolerance)
        } else {
            let averages = self.averages(config, function)?;
            self.by_averages(&averages, tolerance)
        };
        Some(answer.activated(function))
    }

    fn by_averages(&self, averages: &Averages, tolerance: u16) -> Answer {
        let Averages { stable, fast, lately } = *averages;
        let by_stable = self.replicas_for(stable);
        let tolerated = 100 + u32::from(tolerance);
        let most = fast.percent(tolerated);
        Answer {
            up: by_stable.max(self.replicas_for(fast.percent(FAST_SHARE))),
            floor: self.replicas_for(if lately.is_below(most) { lately } else { most }),
            hover: self.replicas_for(stable.percent(tolerated)),
        }
    }

    /// Calls that wait ask by the formula; those that are served keep what they fill.
    fn by_queue(&self, load: &Load, limit: Option<u32>, tolerance: u16) -> Answer {
        let waiting = Fraction::whole(load.waiting);
        let up = self.replicas_for(waiting);
        let filled = limit.map_or(Replicas::ZERO, |limit| replicas_to_hold(load.in_flight, limit));
        let hover = self.replicas_for(waiting.percent(100 + u32::from(tolerance)));
        Answer { up, floor: up.max(filled), hover: hover.max(filled) }
    }
}

impl Measure {
    /// What it asks for; nothing while it is not known.
    pub fn answer(
        &self,
        config: &Settings,
        function: &Function,
        sight: &Sight<'_>,
    ) -> Option<Answer> {
        if self.trouble(sight.now).is_some() {
            return None;
        }
        if self.source == Source::Latency {
            let measured = self.latency(config, function, sight)?;
            let experience = &function.measures.as_ref()?.experience;
            return Some(latency::answer(sight, &measured, experience));
        }
        let (mean, lately) = (self.mean(config.stable_window)?, self.lately()?);
        let of = |load: Fraction| replicas_for(load, self.target, self.proportion);
        let tolerated = 100 + u32::from(function.policy.pace.tolerance);
        let answer = Answer {
            up: of(mean).max(of(lately.percent(FAST_SHARE))),
            floor: of(lately),
            hover: of(mean.percent(tolerated)),
        };
        Some(answer.activated(function))
    }

    /// What the rule for latency looks at; nothing before there is a value.
    pub fn latency(
        &self,
        config: &Settings,
        function: &Function,
        sight: &Sight<'_>,
    ) -> Option<latency::Measured> {
        let (value, age) = self.newest(sight.now)?;
        Some(latency::Measured {
            value,
            age,
            before: self.before(),
            goal: self.target.as_f64() * self.proportion.as_f64(),
            rate: function.call_rate(config),
            demand: sight.load.map_or(0, Load::demand),
        })
    }
}

impl Wanted {
    /// Asks all rules.
    pub fn of(config: &Settings, function: &Function, sight: &Sight<'_>) -> Self {
        let rule = Rule::of(&function.policy.target);
        let load = rule.and_then(|rule| rule.answer(config, function, sight));
        let load_missing = rule.is_some() && load.is_none();
        let mut wanted = Self { load, measured: None, missing: None, load_missing };
        let Some(measures) = &function.measures else { return wanted };
        for measure in measures.iter() {
            match measure.answer(config, function, sight) {
                Some(answer) => wanted.hear(answer, &measure.source),
                None => wanted.misses(measure, sight.now),
            }
        }
        let keeps = measures.experience.keeps(sight.now, function.call_rate(config));
        wanted.keep(keeps.min(sight.desired));
        wanted
    }

    /// What was too few before is not gone down to; nothing goes up for it.
    fn keep(&mut self, count: Replicas) {
        let answers = self.measured.as_mut().map(|(highest, _)| highest);
        if let Some(highest) = answers.or(self.load.as_mut()) {
            *highest = highest.max(Answer::all(count));
        }
    }

    fn hear(&mut self, answer: Answer, source: &Source) {
        self.measured = Some(match self.measured.take() {
            Some((highest, by)) if highest.up >= answer.up => (highest.max(answer), by),
            Some((highest, _)) => (highest.max(answer), source.clone()),
            None => (answer, source.clone()),
        });
    }

    fn misses(&mut self, measure: &Measure, now: Moment) {
        if let (None, Some(trouble)) = (&self.missing, measure.trouble(now)) {
            self.missing = Some(Unmeasured { source: measure.source.clone(), trouble });
        }
    }

    /// The highest of all.
    pub fn highest(&self) -> Answer {
        let measured = self.measured.as_ref().map(|(answer, _)| *answer);
        self.load.unwrap_or_default().max(measured.unwrap_or_default())
    }

    /// Whether any rule has an answer.
    pub fn is_known(&self) -> bool {
        self.load.is_some() || self.measured.is_some()
    }

    /// Who asks for the most, when that is not the load that the gateway counts.
    pub fn by(&self) -> Option<&Source> {
        let (answer, source) = self.measured.as_ref()?;
        let own = self.load.is_none_or(|load| answer.up > load.up);
        own.then_some(source)
    }

    /// The hold of a rule that has no answer.
    pub fn unmeasured(&self) -> Option<Hold> {
        self.missing.clone().map(|missing| Hold::Unmeasured(Arc::new(missing)))
    }
}

/// For how long all that the rules need was known without a gap.
pub fn known_for(function: &Function, now: Moment) -> Duration {
    let load = function.watched(now);
    let Some(measures) = &function.measures else { return load };
    measures.iter().map(|measure| measure.known_for(now)).fold(load, Duration::min)
}
