//! Log-spaced bins for silences: eight to the octave from 16 s to 3 days, by integer arithmetic only.
//!
//! Shorter silences are never recorded: no rule here lets a function go so soon. Longer ones share one bin.

use std::time::Duration;

/// How many bins there are, the one for all that is longer left out.
pub const COUNT: usize = 112;
const FIRST_BITS: u32 = 14;
const SUB_BITS: u32 = 3;

/// The shortest silence that is recorded: 2^14 ms.
pub const SHORTEST: Duration = Duration::from_millis(1 << FIRST_BITS);

/// The bin of a silence; [`COUNT`] for those that are longer than all bins; `None` for short ones.
pub fn index(silence: Duration) -> Option<usize> {
    let millis = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
    if silence < SHORTEST {
        return None;
    }
    let bits = millis.ilog2();
    let sub = (millis >> (bits - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    let index = (u64::from(bits - FIRST_BITS) << SUB_BITS) | sub;
    Some(usize::try_from(index).map_or(COUNT, |index| index.min(COUNT)))
}

/// The lower edge of bin `index`, in milliseconds; the upper one of the bin before.
pub const fn edge_millis(index: usize) -> u64 {
    let index = index as u64;
    ((1 << SUB_BITS) | (index & ((1 << SUB_BITS) - 1)))
        << ((index >> SUB_BITS) + FIRST_BITS as u64 - SUB_BITS as u64)
}

/// The lower edge of bin `index`.
pub const fn edge(index: usize) -> Duration {
    Duration::from_millis(edge_millis(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_lies_in_its_own_bin_and_the_moment_before_in_the_one_before() {
        for bin in 0..COUNT {
            assert_eq!(index(edge(bin)), Some(bin));
            let before = index(edge(bin) - Duration::from_millis(1));
            assert_eq!(before, bin.checked_sub(1));
        }
        assert_eq!(index(edge(COUNT)), Some(COUNT));
        assert_eq!(index(Duration::MAX), Some(COUNT));
        assert_eq!(index(Duration::ZERO), None);
    }
}
