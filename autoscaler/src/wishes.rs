//! Counts wanted in the past that still hold the count up.
//!
//! Two sliding maxima: what was wanted within the hold is not gone below at all; what was wanted within
//! the last quarter of an hour is not gone below when the load would barely fit into less. Both depend on
//! the load alone, so more of it never means fewer replicas.

use std::time::Duration;

use tidegate_core::{Moment, Replicas};

/// How long a load that hovers about a boundary keeps the higher count.
pub const HOVER: Duration = Duration::from_secs(900);

/// What was wanted.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    hold: Maximum<31>,
    hover: Maximum<16>,
}

impl Wishes {
    /// Notes a wish that holds for `hold`.
    pub fn note(&mut self, now: Moment, count: Replicas, hold: Duration) {
        self.hold.note(now, count, hold);
        self.hover.note(now, count, HOVER);
    }

    /// The highest wish within the `hold`; zero when there is none.
    pub fn most_held(&self, now: Moment, hold: Duration) -> Replicas {
        self.hold.most(now, hold)
    }

    /// The highest wish of the last quarter of an hour; zero when there is none.
    pub fn most_hovering(&self, now: Moment) -> Replicas {
        self.hover.most(now, HOVER)
    }

    /// The highest wish within the `hold`, and how old it is about.
    pub fn held(&self, now: Moment, hold: Duration) -> Option<(Replicas, Duration)> {
        self.hold.highest(now, hold)
    }

    /// The highest wish of the last quarter of an hour.
    pub fn hovering(&self, now: Moment) -> Option<(Replicas, Duration)> {
        self.hover.highest(now, HOVER)
    }

    /// Forgets the wishes.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The maximum over a span, kept for each of its parts: one fewer of them than there is room for.
///
/// A wish holds for the span and up to a part longer, never shorter.
#[derive(Clone, Debug)]
struct Maximum<const ROOM: usize> {
    /// The newest part, counted since the control plane began.
    newest: u32,
    /// A count for each part, zero where nothing was wanted.
    counts: [u16; ROOM],
}

impl<const ROOM: usize> Default for Maximum<ROOM> {
    fn default() -> Self {
        Self { newest: 0, counts: [0; ROOM] }
    }
}

impl<const ROOM: usize> Maximum<ROOM> {
    fn note(&mut self, now: Moment, count: Replicas, span: Duration) {
        let part = Self::part(now, span).max(self.newest);
        let passed = (part - self.newest).min(ROOM as u32);
        for gone in 0..passed {
            self.counts[Self::place(part - gone)] = 0;
        }
        self.newest = part;
        let kept = &mut self.counts[Self::place(part)];
        *kept = (*kept).max(u16::try_from(count.get()).unwrap_or(u16::MAX));
    }

    /// The count of `highest`, sooner: nearly always all parts that are kept still hold.
    fn most(&self, now: Moment, span: Duration) -> Replicas {
        let gone = Self::part(now, span).saturating_sub(self.newest);
        let most = match gone {
            0 => self.counts.iter().copied().max().unwrap_or(0),
            _ => return self.highest(now, span).map_or(Replicas::ZERO, |(count, _)| count),
        };
        Replicas::new(u32::from(most))
    }

    fn highest(&self, now: Moment, span: Duration) -> Option<(Replicas, Duration)> {
        let part = Self::part(now, span).max(self.newest);
        let oldest = part.saturating_sub(Self::PARTS);
        let first = oldest.max(self.newest.saturating_sub(ROOM as u32 - 1));
        let parts = (first..=self.newest).rev();
        let found = parts.map(|part| (self.counts[Self::place(part)], part)).max()?;
        let age = span / Self::PARTS * (part - found.1);
        Some((Replicas::new(u32::from(found.0)), age)).filter(|(count, _)| !count.is_zero())
    }

    const PARTS: u32 = ROOM as u32 - 1;

    fn part(now: Moment, span: Duration) -> u32 {
        let part = millis(span).div_ceil(u64::from(Self::PARTS)).max(1);
        u32::try_from(now.as_nanos() / 1_000_000 / part).unwrap_or(u32::MAX)
    }

    fn place(part: u32) -> usize {
        part as usize % ROOM
    }
}

fn millis(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1000).saturating_add(u64::from(span.subsec_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(60);

    fn highest(wishes: &Wishes, at: u64) -> Option<u32> {
        wishes.held(Moment::from_secs(at), SPAN).map(|(count, _)| count.get())
    }

    #[test]
    fn the_highest_wish_is_the_sliding_maximum() {
        let mut wishes = Wishes::default();
        // Ten seconds apart: what is wanted, and the highest of the last 60 s.
        let steps =
            [(8, 8), (8, 8), (7, 8), (6, 8), (5, 8), (4, 8), (5, 8), (5, 8), (2, 7), (2, 6)];
        for (step, (wanted, expected)) in (0_u64..).zip(steps) {
            wishes.note(Moment::from_secs(step * 10), Replicas::new(wanted), SPAN);
            assert_eq!(highest(&wishes, step * 10), Some(expected), "step {step}");
        }
        assert_eq!(highest(&wishes, 132), Some(2)); // the last 5 was at 70 s
        assert_eq!(highest(&wishes, 152), None);
    }

    #[test]
    fn a_wish_holds_for_its_span_and_at_most_a_part_longer() {
        for offset in 0..20_u64 {
            let mut wishes = Wishes::default();
            let at = Moment::from_millis(5_000 + offset * 100);
            wishes.note(at, Replicas::new(3), SPAN);
            let held = |after| wishes.held(at + after, SPAN).is_some();
            assert!(held(SPAN) && !held(SPAN + SPAN / 30), "offset {offset}");
            assert_eq!(wishes.hovering(at + HOVER).map(|(count, _)| count.get()), Some(3));
            assert_eq!(wishes.hovering(at + HOVER + HOVER / 15), None);
        }
    }

    #[test]
    fn a_long_silence_leaves_nothing_behind() {
        let mut wishes = Wishes::default();
        wishes.note(Moment::from_secs(10), Replicas::new(9), SPAN);
        wishes.note(Moment::from_secs(100_000), Replicas::new(2), SPAN);
        assert_eq!(highest(&wishes, 100_000), Some(2));
        // A clock that went back finds what is there.
        assert_eq!(highest(&wishes, 99_999), Some(2));
    }
}
