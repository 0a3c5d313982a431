//! How fast and how readily a count follows its load: tolerance, rates, first counts.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::str::FromStr;

use crate::{Decimal, Replicas};

/// How fast and how readily the count follows the load.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Percent. A count that a load so much higher would not fit into is gone down to late.
    pub tolerance: u16,
    /// At most so many times the ready replicas at once; `None` is as many as are wanted.
    pub up_rate: Option<Rate>,
    /// At most to the ready replicas divided by this at once; `None` is as few as are wanted.
    pub down_rate: Option<Rate>,
    /// The count of a new function, until it was there once.
    pub initial: Option<NonZeroU16>,
    /// The least count of a function that has load or is woken.
    pub activation: Option<NonZeroU16>,
}

/// A factor above one, in thousandths.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(NonZeroU32);

impl Pace {
    /// Where no label says it: load that changes by a tenth about its mean then changes no count. A tenth
    /// below a boundary and a tenth above it are 22 % apart, of which the higher wishes of the last while
    /// cover what is below the mean.
    pub const DEFAULT_TOLERANCE: u16 = 15;
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            tolerance: Self::DEFAULT_TOLERANCE,
            up_rate: None,
            down_rate: None,
            initial: None,
            activation: None,
        }
    }
}

impl Rate {
    /// The most that `ready` replicas may become at once: `ceil(ready × rate)`.
    pub fn up(self, ready: Replicas) -> Replicas {
        let most = (u64::from(ready.get().max(1)) * u64::from(self.0.get())).div_ceil(1000);
        Replicas::new(u32::try_from(most).unwrap_or(u32::MAX))
    }

    /// The least that `ready` replicas may become at once: `floor(ready / rate)`.
    pub fn down(self, ready: Replicas) -> Replicas {
        let least = u64::from(ready.get()) * 1000 / u64::from(self.0.get());
        Replicas::new(u32::try_from(least).unwrap_or(u32::MAX))
    }
}

impl FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let millionths = text.parse::<Decimal>().map_err(|_| ())?.millionths();
        let thousandths = u32::try_from(millionths / 1000).map_err(|_| ())?;
        NonZeroU32::new(thousandths).filter(|rate| rate.get() > 1000).map(Self).ok_or(())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Decimal::from_millionths(u64::from(self.0.get()) * 1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_rounds_away_from_standing_still() {
        let rate = |text: &str| text.parse::<Rate>();
        let ready = Replicas::new;
        // The example of the Knative autoscaler: 2 ready at rate 1.1 may become 3.
        assert_eq!(rate("1.1").map(|rate| rate.up(ready(2))), Ok(ready(3)));
        assert_eq!(rate("2").map(|rate| rate.up(ready(0))), Ok(ready(2)));
        assert_eq!(rate("2").map(|rate| rate.down(ready(5))), Ok(ready(2)));
        assert_eq!(rate("1.5").map(|rate| rate.to_string()), Ok("1.5".to_owned()));
        for bad in ["1", "0.5", "-2", "", "x", "1.0001"] {
            assert_eq!(rate(bad), Err(()), "{bad}");
        }
    }
}
