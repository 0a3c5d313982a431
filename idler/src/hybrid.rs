//! The hybrid histogram of "Serverless in the Wild" (ATC'20), for comparison: minutes up to four hours.
//!
//! The forecast for silences beyond the histogram is the mean of the last ones, in place of ARIMA.

use std::time::Duration;

use crate::plan::{Basis, Plan, Span, Terms};

/// Minutes of the histogram.
const MINUTES: usize = 240;
/// Silences before the histogram says anything.
const FEW: u32 = 5;

/// What the hybrid histogram knows of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hybrid {
    pub(crate) minutes: [u16; MINUTES],
    pub(crate) within: u32,
    pub(crate) beyond: u32,
    /// The mean of the last silences beyond the histogram, in seconds.
    pub(crate) beyond_mean: u32,
}

impl Default for Hybrid {
    fn default() -> Self {
        Self { minutes: [0; MINUTES], within: 0, beyond: 0, beyond_mean: 0 }
    }
}

impl Hybrid {
    /// Takes in a silence that a call has ended, `times` of the same length.
    pub fn note(&mut self, silence: Duration, times: u16) {
        let minute = usize::try_from(silence.as_secs() / 60).unwrap_or(usize::MAX);
        match self.minutes.get_mut(minute) {
            Some(count) => {
                if *count > u16::MAX - times {
                    self.minutes.iter_mut().for_each(|count| *count /= 2);
                    self.within = self.minutes.iter().map(|count| u32::from(*count)).sum();
                }
                self.minutes[minute] = self.minutes[minute].saturating_add(times);
                self.within = self.within.saturating_add(u32::from(times));
            }
            None => {
                let secs = u32::try_from(silence.as_secs()).unwrap_or(u32::MAX);
                let mean = if self.beyond == 0 { secs } else { self.beyond_mean };
                self.beyond_mean = mean / 4 * 3 + secs / 4;
                self.beyond = self.beyond.saturating_add(1);
            }
        }
    }

    /// When to be warm during a silence. The user's least time comes first here too.
    pub fn plan(&self, terms: Terms) -> Plan {
        let range = Span { from: Duration::ZERO, to: minutes(MINUTES as u64) };
        let all = self.within.saturating_add(self.beyond);
        let span = if all < FEW {
            range
        } else if self.beyond > all / 2 {
            let mean = Duration::from_secs(u64::from(self.beyond_mean));
            Span { from: mean * 85 / 100, to: mean * 115 / 100 }
        } else if !self.is_representative() {
            range
        } else {
            let (head, tail) = (self.percentile(5), self.percentile(99) + 1);
            Span { from: minutes(head) * 9 / 10, to: minutes(tail) * 11 / 10 }
        };
        // Below a minute nothing is unloaded.
        let from =
            if terms.prewarm && span.from >= minutes(1) { span.from } else { Duration::ZERO };
        Plan::of(terms.least, Span { from, ..span }, Basis::Histogram)
    }

    /// Whether the bins differ enough: the coefficient of variation of their counts is at least two.
    fn is_representative(&self) -> bool {
        let mean = f64::from(self.within) / MINUTES as f64;
        let squares: f64 =
            self.minutes.iter().map(|n| (f64::from(*n) - mean) * (f64::from(*n) - mean)).sum();
        squares / MINUTES as f64 >= 4.0 * mean * mean
    }

    fn percentile(&self, percent: u32) -> u64 {
        let wanted = u64::from(self.within) * u64::from(percent);
        let mut seen = 0_u64;
        for (minute, count) in (0..).zip(&self.minutes) {
            seen += u64::from(*count) * 100;
            if seen >= wanted.max(1) {
                return minute;
            }
        }
        MINUTES as u64 - 1
    }
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}
