//! A point in time as the deciding crates know it: an offset, never a clock reading.

use std::fmt;
use std::time::Duration;

/// Time since the process started, or since the first line of a trace; ends after 584 years.
///
/// Whole nanoseconds in one number: a tick compares and subtracts moments a dozen times for each function.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    nanos: u64,
}

impl Moment {
    /// The start of the process or trace.
    pub const ZERO: Self = Self { nanos: 0 };

    /// A moment `since_start` after the start.
    pub const fn from_start(since_start: Duration) -> Self {
        Self { nanos: nanos(since_start) }
    }

    /// A moment this many milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Self {
        Self { nanos: millis.saturating_mul(1_000_000) }
    }

    /// A moment this many whole seconds after the start.
    pub const fn from_secs(secs: u64) -> Self {
        Self { nanos: secs.saturating_mul(1_000_000_000) }
    }

    /// A moment this many nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// Time since the start.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.nanos
    }

    /// Whole seconds since the start.
    pub const fn whole_seconds(self) -> u64 {
        self.nanos / 1_000_000_000
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }

    /// This moment moved back by `span`, no further than the start.
    pub const fn saturating_sub(self, span: Duration) -> Self {
        Self { nanos: self.nanos.saturating_sub(nanos(span)) }
    }
}

/// A span in nanoseconds, 584 years at most.
const fn nanos(span: Duration) -> u64 {
    let nanos = span.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self { nanos: self.nanos.saturating_add(nanos(span)) }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.since_start().as_secs_f64())
    }
}
