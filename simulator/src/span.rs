//! Spans of time that vary: constant, exponential, or lognormal by two percentiles.
//!
//! Written `100ms`, `exp:100ms` (mean) or `lognormal:100ms:1s` (50th and 99th percentile).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tidegate_core::{format_duration, parse_duration};

use crate::random::Random;

/// A distribution of spans.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Span {
    /// Always the same.
    Constant(Duration),
    /// Exponential with this mean.
    Exponential(Duration),
    /// Lognormal with these percentiles.
    Lognormal {
        /// Half are shorter.
        p50: Duration,
        /// One in a hundred is longer.
        p99: Duration,
    },
}

/// A span with what its draws need worked out.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Drawn {
    Constant(u64),
    Exponential(f64),
    Lognormal { median: f64, sigma: f64 },
}

impl Drawn {
    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        match *self {
            Self::Constant(nanos) => nanos,
            Self::Exponential(mean) => random.exponential(mean) as u64,
            Self::Lognormal { median, sigma } => {
                (median * (sigma * random.normal_by_table()).exp()) as u64
            }
        }
    }
}

/// A text that is no distribution of spans.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a span; write 100ms, exp:100ms or lognormal:100ms:1s (p50:p99)")]
pub struct BadSpan {
    text: String,
}

/// The 99th percentile of the normal distribution.
const Z99: f64 = 2.326_347_874_040_841;

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self::Constant(Duration::ZERO);

    /// Always this many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self::Constant(Duration::from_millis(millis))
    }

    /// One of them, in nanoseconds.
    pub fn draw(&self, random: &mut Random) -> u64 {
        match *self {
            Self::Constant(span) => nanos(span),
            Self::Exponential(mean) => random.exponential(mean.as_nanos() as f64) as u64,
            Self::Lognormal { .. } => self.drawn().draw(random),
        }
    }

    /// The same, made ready to be drawn often.
    pub(crate) fn drawn(&self) -> Drawn {
        match *self {
            Self::Lognormal { p50, p99 } => Drawn::Lognormal {
                median: p50.as_nanos() as f64,
                sigma: (p99.as_secs_f64() / p50.as_secs_f64()).ln() / Z99,
            },
            Self::Constant(span) => Drawn::Constant(nanos(span)),
            Self::Exponential(mean) => Drawn::Exponential(mean.as_nanos() as f64),
        }
    }

    /// What one in a hundred is longer than.
    pub fn longest(&self) -> Duration {
        match *self {
            Self::Constant(span) => span,
            Self::Exponential(mean) => mean.mul_f64(100_f64.ln()),
            Self::Lognormal { p99, .. } => p99,
        }
    }
}

/// Nanoseconds, saturating after 584 years.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadSpan { text: text.chars().take(64).collect() };
        let span = |text: &str| parse_duration(text).map_err(|_| bad());
        if let Some(mean) = text.strip_prefix("exp:") {
            return Ok(Self::Exponential(span(mean)?));
        }
        let Some(rest) = text.strip_prefix("lognormal:") else {
            return Ok(Self::Constant(span(text)?));
        };
        let (p50, p99) = rest.split_once(':').ok_or_else(bad)?;
        let (p50, p99) = (span(p50)?, span(p99)?);
        if p50.is_zero() || p99 < p50 {
            return Err(bad());
        }
        Ok(Self::Lognormal { p50, p99 })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Constant(span) => f.write_str(&format_duration(span)),
            Self::Exponential(mean) => write!(f, "exp:{}", format_duration(mean)),
            Self::Lognormal { p50, p99 } => {
                write!(f, "lognormal:{}:{}", format_duration(p50), format_duration(p99))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_back() {
        for text in ["100ms", "exp:2s", "lognormal:100ms:1s", "0s"] {
            let span: Span = text.parse().expect("a good span");
            assert_eq!(span.to_string(), text);
        }
        for text in ["", "100", "exp:", "lognormal:1s", "lognormal:2s:1s", "lognormal:0s:1s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_percentiles_of_a_lognormal_are_the_given_ones() {
        let span: Span = "lognormal:100ms:1s".parse().expect("a good span");
        let mut random = Random::new(3);
        let mut drawn: Vec<u64> = (0..100_000).map(|_| span.draw(&mut random)).collect();
        drawn.sort_unstable();
        let seconds = |at: usize| drawn[at] as f64 / 1e9;
        assert!((seconds(50_000) - 0.1).abs() < 0.003);
        assert!((seconds(99_000) - 1.0).abs() < 0.06);
    }
}
