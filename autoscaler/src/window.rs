//! The load of one function over a span: an exact average between two readings of counters that only
//! grow, never a mean of samples.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_core::{Load, Moment};

/// A reading, 16 bytes: microseconds and calls wrap, since only differences count.
#[derive(Copy, Clone, Debug)]
struct Point {
    concurrency_micros: u64,
    at_millis: u32,
    completed: u32,
}

/// An amount over a time, kept as a fraction so that a boundary stays one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// The amount.
    pub of: u128,
    /// The time, in the same unit; never zero.
    pub over: u128,
}

/// Readings of one function, the newest last, at most one a second but the newest.
#[derive(Clone, Debug, Default)]
pub struct Window {
    points: VecDeque<Point>,
    begun: Option<Moment>,
    newest: Option<Moment>,
}

/// A silence longer than this is a gap: nothing is known of it.
const GAP: Duration = Duration::from_secs(5);
/// Shortest time that an average is over: one call in a millisecond is no thousand a second.
const SHORTEST_MILLIS: u64 = 1000;
/// Readings kept at most; a longer span is read less often.
const MOST_POINTS: u64 = 32;

impl Window {
    /// Adds a reading and forgets what has left `span`. A reading from before the newest is ignored; a
    /// counter that went back, or a gap, starts the window anew.
    pub fn record(&mut self, now: Moment, load: &Load, span: Duration) {
        if self.newest.is_some_and(|newest| now < newest) {
            return;
        }
        let point = Point::new(now, load);
        let gap = self.newest.is_some_and(|newest| now.since(newest) > GAP);
        if gap || self.points.back().is_some_and(|last| point.is_behind(last)) {
            self.points.clear();
        }
        if self.points.is_empty() {
            self.begun = Some(now);
        }
        self.newest = Some(now);
        let spacing = (span.as_millis() as u64 / MOST_POINTS).max(900);
        let len = self.points.len();
        // The newest reading moves along until it is a whole spacing away from the one before.
        if len >= 2 && self.points[len - 1].millis_since(&self.points[len - 2]) < spacing {
            self.points[len - 1] = point;
        } else {
            self.points.push_back(point);
        }
        // One reading at or beyond the far end of the span stays: the average begins there.
        while self.points.len() > 2
            && point.millis_since(&self.points[1]) >= span.as_millis() as u64
        {
            self.points.pop_front();
        }
    }

    /// Completed calls a second over the last `span`; `None` before there are two readings.
    pub fn rate(&self, span: Duration) -> Option<Fraction> {
        let (first, last) = self.ends(span)?;
        let completed = last.completed.wrapping_sub(first.completed);
        let millis = last.millis_since(&first).max(SHORTEST_MILLIS);
        Some(Fraction { of: u128::from(completed) * 1000, over: u128::from(millis) })
    }

    /// Average calls in flight or waiting over the last `span`; `None` before there are two readings.
    pub fn concurrency(&self, span: Duration) -> Option<Fraction> {
        let (first, last) = self.ends(span)?;
        let micros = last.concurrency_micros.wrapping_sub(first.concurrency_micros);
        let millis = last.millis_since(&first).max(SHORTEST_MILLIS);
        Some(Fraction { of: u128::from(micros), over: u128::from(millis) * 1000 })
    }

    /// Whether the window has been read for a whole `span` without a gap.
    pub fn is_full(&self, now: Moment, span: Duration) -> bool {
        self.begun.is_some_and(|begun| now.since(begun) >= span)
    }

    /// Forgets everything, and the memory it takes.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.points.capacity() * size_of::<Point>()
    }

    /// The newest reading and the one that `span` begins with.
    fn ends(&self, span: Duration) -> Option<(Point, Point)> {
        let last = *self.points.back()?;
        let span = span.as_millis() as u64;
        let mut points = self.points.iter().rev().skip(1);
        let mut first = *points.next()?;
        for point in points {
            if last.millis_since(&first) >= span {
                break;
            }
            first = *point;
        }
        Some((first, last))
    }
}

impl Point {
    fn new(at: Moment, load: &Load) -> Self {
        Self {
            concurrency_micros: load.concurrency_nanos / 1000,
            at_millis: at.since_start().as_millis() as u32,
            completed: load.completed as u32,
        }
    }

    fn millis_since(&self, earlier: &Self) -> u64 {
        u64::from(self.at_millis.wrapping_sub(earlier.at_millis))
    }

    /// Whether a counter is lower than it was: the meter began anew.
    fn is_behind(&self, last: &Self) -> bool {
        let completed = self.completed.wrapping_sub(last.completed);
        self.concurrency_micros < last.concurrency_micros || completed > u32::MAX / 2
    }
}

impl Fraction {
    /// None of it.
    pub const ZERO: Self = Self { of: 0, over: 1 };

    /// A whole number.
    pub fn whole(number: u64) -> Self {
        Self { of: u128::from(number), over: 1 }
    }

    /// For display.
    pub fn as_f64(self) -> f64 {
        self.of as f64 / self.over as f64
    }
}
