//! Success criteria: `p99<200ms,errors<0.1%,replicas>=4`.
//!
//! ```text
//! what    p50 p90 p99 p99.9 …  mean  min  max        corrected; uncorrected.p99 from when it was sent
//!         errors                                     as a share (0.1%) or a count
//!         rate                                       answered calls a second (200/s, or 200)
//!         calls  answered  late  status.404  status.5xx  replicas
//! compare <  <=  >  >=  =  !=
//! ```
//!
//! `errors` are calls without a whole answer or with one that its target refuses; where a target says
//! nothing, any answer is right, so ask for `status.5xx=0` beside it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use tidegate_core::parse_duration;

use crate::results::{Expectation, Latency, Results};

/// One criterion.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    text: String,
    what: What,
    compare: Compare,
    limit: Limit,
}

#[derive(Copy, Clone, Debug, PartialEq)]
enum What {
    Latency { of: Stat, corrected: bool },
    Errors,
    Rate,
    Calls,
    Answered,
    Late,
    Replicas,
    Status(u16),
    StatusClass(u16),
}

#[derive(Copy, Clone, Debug, PartialEq)]
enum Stat {
    Min,
    Mean,
    Max,
    Percentile(f64),
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Compare {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Other,
}

#[derive(Copy, Clone, Debug, PartialEq)]
enum Limit {
    Seconds(f64),
    Share(f64),
    Count(f64),
}

/// Why a text is no criterion.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadCriterion {
    /// No comparison in it.
    #[error("{0:?} compares nothing: write it as p99<200ms, errors<0.1% or replicas>=4")]
    Compare(String),
    /// The left side.
    #[error(
        "unknown measure {0:?}: use p50 to p99.99, mean, min, max, errors, rate, calls, answered, late, replicas, status.404 or status.5xx"
    )]
    What(String),
    /// A percentile that is not kept.
    #[error("{0:?} is not measured: use p10, p25, p50, p75, p90, p95, p99, p99.9 or p99.99")]
    Percentile(String),
    /// The right side.
    #[error("{given:?} is no value for {what}: use {right}")]
    Limit {
        /// What was given.
        given: String,
        /// The left side.
        what: String,
        /// What would be right.
        right: &'static str,
    },
}

const PERCENTILES: [f64; 9] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// Reads criteria with commas between them.
///
/// # Errors
/// Of the first that is none.
pub fn parse(text: &str) -> Result<Vec<Criterion>, BadCriterion> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        // A variable that was not set must not make every run a success.
        return Err(BadCriterion::Compare(text.to_owned()));
    }
    parts.into_iter().map(str::parse).collect()
}

/// Measures every criterion.
#[must_use]
pub fn evaluate(criteria: &[Criterion], results: &Results) -> Vec<Expectation> {
    criteria.iter().map(|criterion| criterion.evaluate(results)).collect()
}

impl FromStr for Criterion {
    type Err = BadCriterion;

    fn from_str(text: &str) -> Result<Self, BadCriterion> {
        let text = text.trim();
        let bad = || BadCriterion::Compare(text.chars().take(80).collect());
        let at = text.find(['<', '>', '=', '!', '≤', '≥']).ok_or_else(bad)?;
        let (what, rest) = text.split_at(at);
        let signs = [
            ("<=", Compare::AtMost),
            (">=", Compare::AtLeast),
            ("==", Compare::Equal),
            ("!=", Compare::Other),
            ("≤", Compare::AtMost),
            ("≥", Compare::AtLeast),
            ("<", Compare::Less),
            (">", Compare::More),
            ("=", Compare::Equal),
        ];
        let found =
            signs.iter().find_map(|(sign, compare)| Some((*compare, rest.strip_prefix(sign)?)));
        let (compare, limit) = found.ok_or_else(bad)?;
        let (name, limit) = (what.trim(), limit.trim());
        let what = What::parse(name)?;
        let limit = what.limit(name, limit)?;
        let text = text.split_whitespace().collect::<String>();
        Ok(Self { text, what, compare, limit })
    }
}

impl What {
    fn parse(name: &str) -> Result<Self, BadCriterion> {
        let unknown = || BadCriterion::What(name.chars().take(80).collect());
        let (plain, corrected) = match name.split_once('.') {
            Some(("uncorrected", rest)) => (rest, false),
            Some(("corrected", rest)) => (rest, true),
            _ => (name, true),
        };
        if let Some(of) = Stat::parse(plain)? {
            return Ok(Self::Latency { of, corrected });
        }
        match name {
            "errors" => Ok(Self::Errors),
            "rate" | "rps" => Ok(Self::Rate),
            "calls" => Ok(Self::Calls),
            "answered" => Ok(Self::Answered),
            "late" => Ok(Self::Late),
            "replicas" => Ok(Self::Replicas),
            _ => {
                let code = name.strip_prefix("status.").ok_or_else(unknown)?;
                if let Some(class) = code.strip_suffix("xx") {
                    let class = class.parse().ok().filter(|class| (1..=5).contains(class));
                    return class.map(Self::StatusClass).ok_or_else(unknown);
                }
                let code = code.parse().ok().filter(|code| (100..=999).contains(code));
                code.map(Self::Status).ok_or_else(unknown)
            }
        }
    }

    fn limit(self, what: &str, text: &str) -> Result<Limit, BadCriterion> {
        let bad = |right| BadCriterion::Limit {
            given: text.chars().take(40).collect(),
            what: what.to_owned(),
            right,
        };
        let number = |text: &str| {
            text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
        };
        let share =
            |text: &str| text.strip_suffix('%').and_then(number).map(|percent| percent / 100.0);
        match self {
            Self::Latency { .. } => {
                let right = "a duration such as 200ms or 1.5s";
                parse_duration(text)
                    .map(|span| Limit::Seconds(span.as_secs_f64()))
                    .map_err(|_| bad(right))
            }
            Self::Errors | Self::Late | Self::Status(_) | Self::StatusClass(_) => {
                let right = "a share such as 0.1% or a count such as 0";
                share(text)
                    .map(Limit::Share)
                    .or_else(|| number(text).map(Limit::Count))
                    .ok_or_else(|| bad(right))
            }
            Self::Rate => {
                let per_second = text.strip_suffix("/s").unwrap_or(text);
                number(per_second).map(Limit::Count).ok_or_else(|| bad("a rate such as 200/s"))
            }
            Self::Calls | Self::Answered | Self::Replicas => {
                number(text).map(Limit::Count).ok_or_else(|| bad("a count such as 4"))
            }
        }
    }
}

impl Stat {
    /// None when it is another measure.
    fn parse(name: &str) -> Result<Option<Self>, BadCriterion> {
        let found = match name {
            "mean" | "avg" | "average" => Self::Mean,
            "min" | "fastest" => Self::Min,
            "max" | "slowest" => Self::Max,
            _ => {
                let Some(percent) =
                    name.strip_prefix('p').and_then(|text| text.parse::<f64>().ok())
                else {
                    return Ok(None);
                };
                let kept = PERCENTILES.iter().find(|kept| (**kept - percent).abs() < 1e-9);
                Self::Percentile(*kept.ok_or_else(|| BadCriterion::Percentile(name.to_owned()))?)
            }
        };
        Ok(Some(found))
    }

    fn of(self, latency: &Latency) -> f64 {
        match self {
            Self::Min => latency.min,
            Self::Mean => latency.mean,
            Self::Max => latency.max,
            Self::Percentile(percent) => {
                let found =
                    latency.percentiles.iter().find(|(kept, _)| (kept - percent).abs() < 1e-9);
                found.map_or(0.0, |(_, seconds)| *seconds)
            }
        }
    }
}

impl Criterion {
    /// Whether it needs the gateway to be watched.
    #[must_use]
    pub fn needs_gateway(&self) -> bool {
        self.what == What::Replicas
    }

    /// Compares it with what was measured.
    #[must_use]
    pub fn evaluate(&self, results: &Results) -> Expectation {
        let (measured, met) = match self.measure(results) {
            Some((value, shown)) => (shown, self.compare.holds(value, self.limit.number())),
            None => (self.nothing().to_owned(), false),
        };
        Expectation { text: self.text.clone(), measured, met }
    }

    /// Why there is no value.
    fn nothing(&self) -> &'static str {
        match self.what {
            What::Replicas => "nothing: the gateway told nothing",
            What::Late => "nothing: a closed loop has no schedule",
            _ => "nothing: no call was answered",
        }
    }

    /// The value in the unit of the limit, and how it is written.
    fn measure(&self, results: &Results) -> Option<(f64, String)> {
        let total = &results.total;
        let counted = |count: u64| self.counted(count, total.calls);
        match self.what {
            What::Latency { of, corrected } => {
                let latency = if corrected { &total.corrected } else { &total.uncorrected };
                (latency.count > 0).then(|| {
                    let seconds = of.of(latency);
                    (seconds, seconds_text(seconds))
                })
            }
            What::Errors => counted(total.errors),
            What::Late => counted(results.schedule.as_ref()?.late),
            What::Status(code) => counted(total.statuses.get(&code).copied().unwrap_or(0)),
            What::StatusClass(class) => counted(
                total.statuses.range(class * 100..class * 100 + 100).map(|(_, count)| count).sum(),
            ),
            What::Rate => {
                let rate = if results.elapsed > 0.0 {
                    total.answered as f64 / results.elapsed
                } else {
                    0.0
                };
                Some((rate, format!("{rate:.1}/s")))
            }
            What::Calls => Some((total.calls as f64, total.calls.to_string())),
            What::Answered => Some((total.answered as f64, total.answered.to_string())),
            What::Replicas => {
                let ready = results
                    .overlays
                    .iter()
                    .flat_map(|overlay| &overlay.samples)
                    .map(|sample| sample.ready)
                    .max()?;
                Some((f64::from(ready), ready.to_string()))
            }
        }
    }

    fn counted(&self, count: u64, of: u64) -> Option<(f64, String)> {
        match self.limit {
            Limit::Share(_) if of == 0 => None,
            Limit::Share(_) => {
                let share = count as f64 / of as f64;
                Some((share, format!("{}% ({count} of {of})", percent(share))))
            }
            _ => Some((count as f64, count.to_string())),
        }
    }
}

impl Limit {
    fn number(self) -> f64 {
        match self {
            Self::Seconds(number) | Self::Share(number) | Self::Count(number) => number,
        }
    }
}

impl Compare {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::AtMost => value <= limit,
            Self::More => value > limit,
            Self::AtLeast => value >= limit,
            Self::Equal => (value - limit).abs() < 1e-9,
            Self::Other => (value - limit).abs() >= 1e-9,
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Up to three places, no idle zeros.
fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Seconds in the unit that suits them: `231ms`, `1.25s`, `85µs`.
#[must_use]
pub fn seconds_text(seconds: f64) -> String {
    match seconds {
        s if s <= 0.0 => "0".to_owned(),
        s if s < 0.001 => format!("{:.0}µs", s * 1e6),
        s if s < 0.01 => format!("{:.2}ms", s * 1e3),
        s if s < 0.1 => format!("{:.1}ms", s * 1e3),
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s if s < 10.0 => format!("{s:.2}s"),
        s => format!("{s:.1}s"),
    }
}

#[cfg(test)]
mod tests;
