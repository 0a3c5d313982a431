//! A rate over time: constant, steps, ramp, spike, Poisson arrivals, sine; parsed from one readable line.
//!
//! In every form `@` reads as "for so long": `steps:0/s@10s,200/s@30s` holds 0/s for 10 s and then
//! 200/s for 30 s, and the whole is as long as the sum. Forms, with what may be left out in brackets:
//!
//! | text | meaning |
//! | --- | --- |
//! | `200/s[@60s]` | constant |
//! | `steps:0/s@10s,200/s@30s,0/s@60s` | holds each rate in turn |
//! | `ramp:0/s..500/s@60s` | from one rate to another in a straight line |
//! | `spike:50/s,500/s@10s+5s[,60s]` | 50/s; after 10 s 500/s for 5 s; 60 s in all |
//! | `poisson:200/s[@60s]` | random arrivals with exponential gaps, 200/s on average |
//! | `sine:100/s±50/s@30s[,5m]` | swings around 100/s with a period of 30 s; 5 min in all; `+-` works too |
//!
//! Rates are per second, minute or hour (`/s`, `/m`, `/h`); durations are Go's. A profile without a total is endless.

mod curve;
mod text;
mod yaml;

use std::time::Duration;

use thiserror::Error;

pub use curve::Dues;

/// When calls are due in an open loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    shape: Shape,
}

/// Calls in a unit of time, kept as it was written.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Rate {
    count: f64,
    per: Per,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Constant { rate: Rate, length: Option<Duration> },
    Steps(Vec<(Rate, Duration)>),
    Ramp { from: Rate, to: Rate, length: Duration },
    Spike { base: Rate, peak: Rate, at: Duration, lasts: Duration, length: Option<Duration> },
    Poisson { rate: Rate, length: Option<Duration> },
    Sine { mean: Rate, swing: Rate, period: Duration, length: Option<Duration> },
}

/// Why a text is no profile: the part that is wrong, and what may stand there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadProfile {
    /// The word before the colon.
    #[error(
        "unknown profile {0:?}: use a rate such as 200/s, or steps:, ramp:, spike:, poisson: or sine:"
    )]
    Shape(String),
    /// A rate.
    #[error("{0:?} is not a rate such as 200/s, 90/m or 1000/h, at most 10 million a second")]
    Rate(String),
    /// A duration.
    #[error("{0:?} is not a duration such as 30s, 5m or 1h10m, longer than 0 and at most 30 days")]
    Duration(String),
    /// The right parts in the wrong form.
    #[error("{text:?} does not read as {form}")]
    Form {
        /// What was given.
        text: String,
        /// What it should look like.
        form: &'static str,
    },
    /// A spike that is over after the end.
    #[error("the spike ends after the whole profile of {0}; make the total longer")]
    SpikeTooLong(String),
    /// A sine that would go below zero.
    #[error(
        "sine swings by {swing} around {mean}, which would go below 0; make the swing at most the mean"
    )]
    BelowZero {
        /// The middle.
        mean: String,
        /// The swing.
        swing: String,
    },
    /// No call would ever be due.
    #[error("the profile never asks for a call: give it a rate above 0")]
    Nothing,
    /// A YAML file that is not one of a profile.
    #[error("{0}")]
    Yaml(String),
}

impl Rate {
    /// Calls a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        match self.per {
            Per::Second => self.count,
            Per::Minute => self.count / 60.0,
            Per::Hour => self.count / 3600.0,
        }
    }
}

impl Profile {
    /// So many calls a second, without end.
    ///
    /// # Errors
    /// When the rate is 0, negative or above 10 million a second.
    pub fn constant(per_second: f64) -> Result<Self, BadProfile> {
        if !(0.0..=text::MOST_PER_SECOND).contains(&per_second) {
            return Err(BadProfile::Rate(format!("{per_second}/s")));
        }
        Self::checked(Shape::Constant {
            rate: Rate { count: per_second, per: Per::Second },
            length: None,
        })
    }

    /// Reads the one-line form.
    ///
    /// # Errors
    /// When it is none of the forms above; the error names the part.
    pub fn parse(text: &str) -> Result<Self, BadProfile> {
        Self::checked(text::parse(text.trim())?)
    }

    /// Reads a YAML file: the one-line form as a string, or `shape:` and its fields, named as in
    /// `loadtest/README.md`.
    ///
    /// # Errors
    /// When it is not YAML, has an unknown field or a value out of bounds.
    pub fn from_yaml(text: &str) -> Result<Self, BadProfile> {
        Self::checked(yaml::parse(text)?)
    }

    fn checked(shape: Shape) -> Result<Self, BadProfile> {
        match &shape {
            Shape::Spike { at, lasts, length: Some(length), .. } if *at + *lasts > *length => {
                return Err(BadProfile::SpikeTooLong(tidegate_core::format_duration(*length)));
            }
            Shape::Sine { mean, swing, .. } if swing.per_second() > mean.per_second() => {
                return Err(BadProfile::BelowZero {
                    mean: mean.to_string(),
                    swing: swing.to_string(),
                });
            }
            _ => {}
        }
        let profile = Self { shape };
        if profile.highest() > 0.0 { Ok(profile) } else { Err(BadProfile::Nothing) }
    }

    /// How long it lasts; none is without end.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        match &self.shape {
            Shape::Constant { length, .. }
            | Shape::Poisson { length, .. }
            | Shape::Spike { length, .. }
            | Shape::Sine { length, .. } => *length,
            Shape::Steps(steps) => Some(steps.iter().map(|(_, hold)| *hold).sum()),
            Shape::Ramp { length, .. } => Some(*length),
        }
    }

    /// The most calls a second it ever asks for.
    #[must_use]
    pub fn highest(&self) -> f64 {
        match &self.shape {
            Shape::Constant { rate, .. } | Shape::Poisson { rate, .. } => rate.per_second(),
            Shape::Steps(steps) => {
                steps.iter().map(|(rate, _)| rate.per_second()).fold(0.0, f64::max)
            }
            Shape::Ramp { from, to, .. } => from.per_second().max(to.per_second()),
            Shape::Spike { base, peak, .. } => base.per_second().max(peak.per_second()),
            Shape::Sine { mean, swing, .. } => mean.per_second() + swing.per_second(),
        }
    }

    /// Calls a second asked for at a moment after the start; 0 when it is over.
    #[must_use]
    pub fn rate_at(&self, at: Duration) -> f64 {
        if self.length().is_some_and(|length| at >= length) {
            return 0.0;
        }
        match &self.shape {
            Shape::Constant { rate, .. } | Shape::Poisson { rate, .. } => rate.per_second(),
            Shape::Steps(steps) => {
                let mut end = Duration::ZERO;
                let held = steps.iter().find(|(_, hold)| {
                    end += *hold;
                    at < end
                });
                held.map_or(0.0, |(rate, _)| rate.per_second())
            }
            Shape::Ramp { from, to, length } => {
                let part = at.as_secs_f64() / length.as_secs_f64();
                from.per_second() + (to.per_second() - from.per_second()) * part
            }
            Shape::Spike { base, peak, at: begin, lasts, .. } => {
                let inside = at >= *begin && at < *begin + *lasts;
                if inside { peak.per_second() } else { base.per_second() }
            }
            Shape::Sine { mean, swing, period, .. } => {
                let turn = at.as_secs_f64() / period.as_secs_f64();
                mean.per_second() + swing.per_second() * (turn * std::f64::consts::TAU).sin()
            }
        }
    }

    /// Moments where the rate jumps and what it is from there: the start, every step, and the end.
    #[must_use]
    pub fn steps(&self) -> Vec<(Duration, f64)> {
        let mut moments = vec![Duration::ZERO];
        match &self.shape {
            Shape::Steps(steps) => {
                let ends = steps.iter().scan(Duration::ZERO, |end, (_, hold)| {
                    *end += *hold;
                    Some(*end)
                });
                moments.extend(ends);
            }
            Shape::Spike { at, lasts, .. } => moments.extend([*at, *at + *lasts]),
            Shape::Constant { .. }
            | Shape::Ramp { .. }
            | Shape::Poisson { .. }
            | Shape::Sine { .. } => {}
        }
        moments.extend(self.length());
        let mut found: Vec<(Duration, f64)> = Vec::new();
        for moment in moments {
            let rate = self.rate_at(moment);
            // A ramp ends at another rate than it began: compare with what holds just before.
            let before = moment.checked_sub(Duration::from_nanos(1)).map(|at| self.rate_at(at));
            if before.is_none_or(|before| (before - rate).abs() > 1e-3 * before.max(rate)) {
                found.push((moment, rate));
            }
        }
        found.dedup_by_key(|(moment, _)| *moment);
        found
    }

    /// From when to when it asks for calls: without the idle time before and behind. The end is none when
    /// it has none.
    #[must_use]
    pub fn busy(&self) -> (Duration, Option<Duration>) {
        let idle = |rate: &Rate| rate.per_second() <= 0.0;
        match &self.shape {
            Shape::Steps(steps) => {
                let before = steps.iter().take_while(|(rate, _)| idle(rate));
                let behind = steps.iter().rev().take_while(|(rate, _)| idle(rate));
                let behind = behind.map(|(_, hold)| *hold).sum();
                let end = self.length().map(|length| length.saturating_sub(behind));
                (before.map(|(_, hold)| *hold).sum(), end)
            }
            Shape::Spike { base, at, lasts, .. } if idle(base) => (*at, Some(*at + *lasts)),
            _ => (Duration::ZERO, self.length()),
        }
    }

    /// Moments at which calls are due, in order, the same for the same seed.
    ///
    /// Call `n` (from 0) is due when the integral of the rate reaches `n + ½`, computed for each call from
    /// the start, so that nothing drifts; only Poisson arrivals depend on the seed.
    #[must_use]
    pub fn dues(&self, seed: u64) -> Dues {
        Dues::new(&self.shape, self.length(), seed)
    }
}
