//! A moment that may be missing, in eight bytes: a function keeps nine of them.

use std::num::NonZeroU64;

use tidegate_core::Moment;

/// A moment, or none.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Option<NonZeroU64>);

impl Stamp {
    /// No moment.
    pub const NONE: Self = Self(None);

    /// This moment, exact to the nanosecond for 584 years.
    pub fn at(moment: Moment) -> Self {
        // The start of time is one, so that none can be zero.
        Self(NonZeroU64::new(moment.as_nanos().saturating_add(1)))
    }

    pub fn get(self) -> Option<Moment> {
        self.0.map(|nanos| Moment::from_nanos(nanos.get() - 1))
    }

    /// The moment; `now` from now on when there was none.
    pub fn get_or_insert(&mut self, now: Moment) -> Moment {
        let kept = self.get().unwrap_or(now);
        *self = Self::at(kept);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_comes_out_as_it_went_in() {
        for nanos in [0, 1, 999_999_999, 86_400_000_000_001] {
            let moment = Moment::from_nanos(nanos);
            assert_eq!(Stamp::at(moment).get(), Some(moment));
        }
        assert_eq!(Stamp::NONE.get(), None);
        let mut stamp = Stamp::NONE;
        assert_eq!(stamp.get_or_insert(Moment::ZERO), Moment::ZERO);
        assert_eq!(stamp.get_or_insert(Moment::from_secs(5)), Moment::ZERO);
        assert_eq!(size_of::<Stamp>(), 8);
    }
}
