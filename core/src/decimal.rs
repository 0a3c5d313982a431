//! Exact decimals for targets and proportions.
//!
//! `90 × 0.7` is 62.99999999999999 in binary floating point, so a naive ceiling of `63 / (90 × 0.7)`
//! is 2 where the user means 1. Label texts are therefore kept as whole millionths.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A decimal number from 0 to about 10⁹ with up to six places.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal {
    millionths: u64,
}

/// A text that is not a plain decimal number in range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{text:?} is not a plain decimal number from 0 to 1000000000 with at most six decimal places"
)]
pub struct BadDecimal {
    text: String,
}

const SCALE: u64 = 1_000_000;
const LARGEST: u64 = 1_000_000_000 * SCALE;

impl Decimal {
    /// This whole number.
    pub const fn whole(number: u32) -> Self {
        Self { millionths: number as u64 * SCALE }
    }

    /// This many millionths.
    pub const fn from_millionths(millionths: u64) -> Self {
        Self { millionths }
    }

    /// The value in millionths, exact.
    pub const fn millionths(self) -> u64 {
        self.millionths
    }

    /// Whether the value is zero.
    pub const fn is_zero(self) -> bool {
        self.millionths == 0
    }

    /// The value as a float, for display and metrics only.
    pub fn as_f64(self) -> f64 {
        self.millionths as f64 / SCALE as f64
    }
}

impl FromStr for Decimal {
    type Err = BadDecimal;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadDecimal { text: text.chars().take(64).collect() };
        let (whole, places) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + places.len() == 0 || !digits(whole) || !digits(places) {
            return Err(bad());
        }
        // Trailing zeros carry nothing, so "0.90000000" is fine and "0.0000001" is not.
        let places = places.trim_end_matches('0');
        let whole = whole.trim_start_matches('0');
        if places.len() > 6 || whole.len() > 10 {
            return Err(bad());
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
        let places: u64 = format!("{places:0<6}").parse().map_err(|_| bad())?;
        let millionths = whole * SCALE + places;
        if millionths > LARGEST {
            return Err(bad());
        }
        Ok(Self { millionths })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.millionths / SCALE;
        let places = self.millionths % SCALE;
        if places == 0 {
            return write!(f, "{whole}");
        }
        let places = format!("{places:06}");
        write!(f, "{whole}.{}", places.trim_end_matches('0'))
    }
}
