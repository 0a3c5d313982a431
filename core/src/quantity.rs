//! Amounts of memory and CPU as Kubernetes users write them: `128Mi`, `0.5`, `100m`, `1e3`.
//!
//! Kept exactly, in billionths, because `0.1` CPU is not a binary float. What a user wrote is echoed
//! elsewhere word for word; this is only what it means.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An amount, exact to a billionth, from 0 to 2⁶³ − 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    nanos: u128,
}

/// A text that is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a quantity such as 128Mi, 1G, 0.5 or 100m")]
pub struct BadQuantity {
    text: String,
}

const NANOS: u128 = 1_000_000_000;
const LARGEST: u128 = i64::MAX as u128 * NANOS;
/// More digits than any amount in range needs, few enough that no product below overflows.
const MOST_DIGITS: usize = 28;

impl Quantity {
    /// This many billionths; cut to the largest amount.
    pub fn from_nanos(nanos: u128) -> Self {
        Self { nanos: nanos.min(LARGEST) }
    }

    /// The amount in billionths, exact.
    pub const fn nanos(self) -> u128 {
        self.nanos
    }

    /// The amount in whole units (bytes), rounded up.
    pub fn units(self) -> u64 {
        u64::try_from(self.nanos.div_ceil(NANOS)).unwrap_or(u64::MAX)
    }

    /// The amount in thousandths (milli-cores), rounded up.
    pub fn millis(self) -> u64 {
        u64::try_from(self.nanos.div_ceil(NANOS / 1000)).unwrap_or(u64::MAX)
    }

    /// Whether it is nothing at all.
    pub const fn is_zero(self) -> bool {
        self.nanos == 0
    }
}

impl FromStr for Quantity {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        nanos(text)
            .filter(|nanos| *nanos <= LARGEST)
            .map(|nanos| Self { nanos })
            .ok_or_else(|| BadQuantity { text: text.chars().take(64).collect() })
    }
}

/// The amount in billionths; nothing when the text is no quantity or is finer than a billionth.
fn nanos(text: &str) -> Option<u128> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let (whole, places) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + places.len() == 0 || places.contains('.') {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let places = places.trim_end_matches('0');
    if whole.len() + places.len() > MOST_DIGITS {
        return None;
    }
    let digits = format!("0{whole}{places}").parse::<u128>().ok()?;
    let divisor = 10_u128.checked_pow(u32::try_from(places.len()).ok()?)?;
    let (factor, below) = scale(suffix)?;
    let product = digits.checked_mul(factor)?;
    let divisor = divisor.checked_mul(below)?;
    product.is_multiple_of(divisor).then(|| product / divisor)
}

/// What a suffix multiplies by, in billionths, as a fraction.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    if let Some(step) = BINARY.iter().position(|known| *known == suffix) {
        return Some((NANOS << (10 * (step + 1)), 1));
    }
    if let Some(step) = DECIMAL.iter().position(|known| *known == suffix) {
        return Some((1000_u128.checked_pow(u32::try_from(step).ok()?)?, 1));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if !(1..=2).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let power = digits.parse::<u32>().ok().filter(|power| *power <= 18)?;
    let power = 10_u128.checked_pow(power)?;
    Some(if exponent.starts_with('-') { (NANOS, power) } else { (NANOS.checked_mul(power)?, 1) })
}

impl fmt::Display for Quantity {
    /// The plainest exact form that reads back: whole units, or the largest of `m`, `u`, `n` that fits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (step, suffix) in [(NANOS, ""), (NANOS / 1000, "m"), (1000, "u")] {
            if self.nanos.is_multiple_of(step) {
                return write!(f, "{}{suffix}", self.nanos / step);
            }
        }
        write!(f, "{}n", self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> u128 {
        text.parse::<Quantity>().unwrap_or_else(|bad| panic!("{bad}")).nanos()
    }

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        let units = [
            ("128Mi", 128 << 20),
            ("1Ki", 1024),
            ("1k", 1000),
            ("1G", 1_000_000_000),
            ("2", 2),
            ("0", 0),
            ("1e3", 1000),
            ("1E3", 1000),
            ("1E", 1_000_000_000_000_000_000),
            ("1.5Gi", 3 << 29),
            (".5Ki", 512),
            ("5000e-3", 5),
            ("7Ei", 7 << 60),
        ];
        for (text, units) in units {
            assert_eq!(read(text), units * NANOS, "{text}");
        }
        assert_eq!(read("100m"), read("0.1"));
        assert_eq!(read("1n"), 1);
    }

    #[test]
    fn amounts_round_up_to_whole_parts() {
        let small: Quantity = "1n".parse().expect("a quantity");
        assert_eq!((small.units(), small.millis()), (1, 1));
        let half: Quantity = "0.5".parse().expect("a quantity");
        assert_eq!((half.units(), half.millis()), (1, 500));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "", ".", "Mi", "-1", "+1", "1 Mi", "1mi", "1MiB", "1MB", "1K", "1e", "1e-", "1e99",
            "1e400", "8Ei", "1.2.3", "0.5n", "NaN", "١",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_quantity_reads_back(nanos in 0..=LARGEST) {
            let quantity = Quantity::from_nanos(nanos);
            prop_assert_eq!(quantity.to_string().parse(), Ok(quantity));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn no_number_text_panics(text in "[0-9.]{0,40}[eE]?[-+]?[0-9]{0,3}[KMGTPEnumki]{0,3}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
