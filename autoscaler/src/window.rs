//! The load of one function over a span: an exact average between two readings of counters that only
//! grow, never a mean of samples.
//!
//! ```text
//! span      |<------------------------------>|
//! readings  o--o--o--o--o--o--o--o--o--o--o--o     about one in each `span / parts`
//!           first                          last    average = (last − first) / time between
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_core::{Load, Moment};

/// An amount over a time, kept as a fraction so that a boundary stays one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// The amount.
    pub of: u128,
    /// The time, in the same unit; never zero.
    pub over: u128,
}

/// Which counter is the calls of a reading.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Calls that ended.
    Ended,
    /// Calls that began, so that a long one counts at once.
    Begun,
}

/// How long a window looks back, worked out once for all functions.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Span {
    micros: u32,
    /// Readings closer together than this are one.
    part: u32,
    /// Readings that the span needs: its parts, the one that it begins with, and the newest. When they
    /// are all taken the newest only moves along.
    room: usize,
}

/// Readings over one span, the newest last. Empty it takes no memory.
#[derive(Clone, Debug, Default)]
pub struct Window {
    readings: VecDeque<Reading>,
}

/// Counters at a moment, 16 bytes: time and calls wrap, since only differences count.
#[derive(Copy, Clone, Debug)]
pub struct Reading {
    /// The integral of concurrency, taken back to the last whole microsecond.
    call_nanos: u64,
    at_micros: u32,
    calls: u32,
}

/// What lies between two readings, and the microseconds that it is spread over.
#[derive(Copy, Clone, Debug)]
pub struct Ends {
    calls: u32,
    call_nanos: u64,
    over: u128,
}

/// Parts that a span is read in. A longer span is read less often, so that each takes as much memory.
const PARTS: u32 = 16;
/// Parts of a coarse one.
const COARSE: u32 = 4;
/// The shortest part.
const CLOSEST: Duration = Duration::from_millis(900);
/// An hour.
const LONGEST_MICROS: u32 = 3_600_000_000;

impl Span {
    /// A span of at most an hour; the wrapping clock of the readings goes round in 71 minutes.
    pub fn new(span: Duration) -> Self {
        Self::in_parts(span, PARTS)
    }

    /// The same in few parts, for what need not be known sharply.
    pub fn coarse(span: Duration) -> Self {
        Self::in_parts(span, COARSE)
    }

    fn in_parts(span: Duration, most: u32) -> Self {
        let micros = |span: Duration| u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
        let parts = (span.as_millis() / CLOSEST.as_millis()).min(u128::from(most));
        Self {
            micros: micros(span).clamp(1, LONGEST_MICROS),
            part: micros((span / most).max(CLOSEST)),
            room: parts as usize + 2,
        }
    }
}

impl Reading {
    /// What the counters say at `now`.
    pub fn new(now: Moment, load: &Load, counted: Counted) -> Self {
        let calls = match counted {
            Counted::Ended => load.completed,
            Counted::Begun => load.started.max(load.completed),
        };
        let nanos = now.as_nanos();
        // Time is kept in microseconds; so that a constant load stays exact, the integral is too.
        let beyond = load.demand().saturating_mul(nanos % 1000);
        Self {
            call_nanos: load.concurrency_nanos.saturating_sub(beyond),
            at_micros: (nanos / 1000) as u32,
            calls: calls as u32,
        }
    }

    fn micros_since(&self, earlier: &Self) -> u32 {
        self.at_micros.wrapping_sub(earlier.at_micros)
    }
}

impl Window {
    /// Adds a reading and forgets what has left `span`.
    pub fn record(&mut self, reading: Reading, span: Span) {
        let len = self.readings.len();
        // The newest reading moves along until it is a whole part away from the one before.
        let moves = len >= 2
            && (len >= span.room
                || self.readings[len - 1].micros_since(&self.readings[len - 2]) < span.part);
        if moves {
            self.readings[len - 1] = reading;
        } else {
            if len == 0 {
                self.readings.reserve_exact(span.room);
            }
            self.readings.push_back(reading);
        }
        // One reading at or beyond the far end of the span stays: the average begins there.
        while self.readings.len() > 2 && reading.micros_since(&self.readings[1]) >= span.micros {
            self.readings.pop_front();
        }
    }

    /// The time of a call in seconds; `None` before enough have ended.
    pub fn takes(&self) -> Option<f64> {
        let (first, last) = (self.readings.front()?, self.readings.back()?);
        let ends = Ends::new(first, last, 1);
        crate::flow::takes(ends.call_nanos, ends.calls)
    }

    /// Calls a second over the last `span`; `None` before there are two readings.
    pub fn rate(&self, span: Span) -> Option<Fraction> {
        self.ends(span).map(Ends::rate)
    }

    /// Forgets everything, and the memory it takes.
    pub fn clear(&mut self) {
        self.readings = VecDeque::new();
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.readings.capacity() * size_of::<Reading>()
    }

    /// What lies between the first and the last reading; `None` before there are two.
    ///
    /// What was before a young window is not known and counts as nothing, so that an average is never
    /// too high: one call in the first millisecond is no thousand a second.
    pub fn ends(&self, span: Span) -> Option<Ends> {
        let (first, last) = (self.readings.front()?, self.readings.back()?);
        (self.readings.len() >= 2).then(|| Ends::new(first, last, span.micros))
    }

    /// The same over the newest part of the span alone: about a second of the fast window.
    pub fn newest(&self, span: Span) -> Option<Ends> {
        let last = self.readings.back()?;
        let far = |reading: &&Reading| last.micros_since(reading) >= span.part;
        let first = self.readings.iter().rev().find(far).or(self.readings.front())?;
        (self.readings.len() >= 2).then(|| Ends::new(first, last, span.part))
    }
}

impl Ends {
    fn new(first: &Reading, last: &Reading, at_least: u32) -> Self {
        let over = last.micros_since(first).max(at_least);
        Self {
            calls: last.calls.wrapping_sub(first.calls),
            call_nanos: last.call_nanos.saturating_sub(first.call_nanos),
            over: u128::from(over),
        }
    }

    /// Calls a second.
    pub fn rate(self) -> Fraction {
        Fraction { of: u128::from(self.calls) * 1_000_000, over: self.over }
    }

    /// Average calls in flight or waiting.
    pub fn concurrency(self) -> Fraction {
        Fraction { of: u128::from(self.call_nanos), over: self.over * 1000 }
    }
}

impl Fraction {
    /// None of it.
    pub const ZERO: Self = Self { of: 0, over: 1 };

    /// A whole number.
    pub fn whole(number: u64) -> Self {
        Self { of: u128::from(number), over: 1 }
    }

    /// This many percent of it.
    pub fn percent(self, percent: u32) -> Self {
        Self { of: self.of * u128::from(percent), over: self.over * 100 }
    }

    /// Whether it is less than the other.
    pub fn is_below(self, other: Self) -> bool {
        self.of * other.over < other.of * self.over
    }

    /// For display.
    pub fn as_f64(self) -> f64 {
        self.of as f64 / self.over as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half_minute() -> Span {
        Span::new(Duration::from_secs(30))
    }

    #[test]
    fn a_constant_load_is_exact_at_crooked_moments() {
        let mut window = Window::default();
        // Fifteen calls are open; looks come every 1.000_000_777 s, which is no whole microsecond.
        for look in 0..200_u64 {
            let nanos = 123 + look * 1_000_000_777;
            let load = Load { in_flight: 15, concurrency_nanos: 15 * nanos, ..Load::default() };
            window.record(
                Reading::new(Moment::from_nanos(nanos), &load, Counted::Ended),
                half_minute(),
            );
        }
        let average = window.ends(half_minute()).map(Ends::concurrency).expect("many readings");
        assert_eq!(average.of, 15 * average.over);
    }

    #[test]
    fn an_average_begins_at_the_far_end_of_its_span() {
        let mut window = Window::default();
        for second in 0..=100_u64 {
            // Ten calls a second from 60 s on.
            let load = Load { completed: second.saturating_sub(60) * 10, ..Load::default() };
            window.record(
                Reading::new(Moment::from_secs(second), &load, Counted::Ended),
                half_minute(),
            );
        }
        // All of the last 30 s had ten a second.
        assert_eq!(window.rate(half_minute()).map(Fraction::as_f64), Some(10.0));
        assert!(window.heap_bytes() <= 18 * size_of::<Reading>());
    }

    #[test]
    fn a_young_window_never_tells_too_much() {
        let mut window = Window::default();
        let load = |completed| Load { completed, ..Load::default() };
        window
            .record(Reading::new(Moment::from_millis(0), &load(0), Counted::Ended), half_minute());
        assert_eq!(window.rate(half_minute()), None);
        window.record(
            Reading::new(Moment::from_millis(10), &load(60), Counted::Ended),
            half_minute(),
        );
        assert_eq!(window.rate(half_minute()).map(Fraction::as_f64), Some(2.0)); // 60 in 30 s
    }

    #[test]
    fn counters_and_time_may_wrap() {
        let mut window = Window::default();
        let wrap = u64::from(u32::MAX) * 1000;
        for second in 0..40_u64 {
            let at = Moment::from_nanos(wrap - 20_000_000_000 + second * 1_000_000_000);
            let completed = u64::from(u32::MAX) - 100 + second * 10;
            let load = Load { completed, ..Load::default() };
            window.record(Reading::new(at, &load, Counted::Ended), half_minute());
        }
        assert_eq!(window.rate(half_minute()).map(Fraction::as_f64), Some(10.0));
    }
}
