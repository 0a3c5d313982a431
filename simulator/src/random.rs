//! Random numbers that are the same for the same seed, on every machine.
//!
//! SplitMix64: small, fast and well mixed; nothing here is a secret. The logarithms that the
//! distributions need are correctly rounded nowhere by promise, but by the same code everywhere.

use std::sync::OnceLock;

/// A sequence of random numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence of this seed.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The sequence of one of many things that share a seed.
    pub fn of(seed: u64, stream: u64) -> Self {
        let mut random = Self::new(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        // Neighbouring streams begin far apart.
        let state = random.bits() ^ random.bits().rotate_left(32);
        Self::new(state)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 (included) to 1 (excluded).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly from 0 to `most`, excluded; zero when that is zero.
    pub fn below(&mut self, most: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(most)) >> 64) as u64
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        // One less the number, so that the logarithm of zero is never asked for.
        -mean * (1.0 - self.unit()).ln()
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Normal by its quantiles from a table: several times as fast as [`Random::normal`], and good enough
    /// for spans of time; nothing is further out than 3.7 deviations.
    pub fn normal_by_table(&mut self) -> f64 {
        static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
        let table = TABLE.get_or_init(|| {
            (0..QUANTILES).map(|at| quantile((at as f64 + 0.5) / QUANTILES as f64)).collect()
        });
        let drawn = self.bits();
        let at = (drawn >> (64 - QUANTILES.trailing_zeros())) as usize;
        let next = (at + 1).min(QUANTILES - 1);
        let share = (drawn as u32) as f64 / f64::from(u32::MAX);
        table[at] + (table[next] - table[at]) * (share - 0.5).max(0.0)
    }

    /// Poisson with this mean: how many of something.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 50.0 {
            // The normal distribution is close enough to it there.
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let least = (-mean).exp();
        let (mut count, mut product) = (0, self.unit());
        while product > least {
            count += 1;
            product *= self.unit();
        }
        count
    }
}

/// Quantiles in the table; a power of two.
const QUANTILES: usize = 8192;

/// The inverse of the normal distribution (Acklam's rational approximation, error below 1.2e-9).
fn quantile(share: f64) -> f64 {
    const A: [f64; 6] = [
        -39.696_830_286_653_76,
        220.946_098_424_520_5,
        -275.928_510_446_968_7,
        138.357_751_867_269,
        -30.664_798_066_147_16,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -54.476_098_798_224_06,
        161.585_836_858_040_9,
        -155.698_979_859_886_6,
        66.801_311_887_719_72,
        -13.280_681_552_885_72,
    ];
    const C: [f64; 6] = [
        -0.007_784_894_002_430_293,
        -0.322_396_458_041_136_5,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        0.007_784_695_709_041_462,
        0.322_467_129_070_039_8,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    let polynomial = |of: &[f64], x: f64| of.iter().fold(0.0, |sum, part| sum * x + part);
    if share > 0.5 {
        return -quantile(1.0 - share);
    }
    if share < 0.024_25 {
        let q = (-2.0 * share.ln()).sqrt();
        return polynomial(&C, q) / (polynomial(&D, q) * q + 1.0);
    }
    let q = share - 0.5;
    let r = q * q;
    polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(mut draw: impl FnMut(&mut Random) -> f64) -> f64 {
        let mut random = Random::new(7);
        (0..100_000).map(|_| draw(&mut random)).sum::<f64>() / 100_000.0
    }

    #[test]
    fn the_distributions_have_their_means() {
        assert!((mean(Random::unit) - 0.5).abs() < 0.01);
        assert!((mean(|random| random.exponential(3.0)) - 3.0).abs() < 0.05);
        assert!(mean(Random::normal).abs() < 0.02);
        assert!((mean(|random| random.poisson(4.0) as f64) - 4.0).abs() < 0.05);
        assert!((mean(|random| random.poisson(400.0) as f64) - 400.0).abs() < 0.5);
        assert!((mean(|random| random.below(10) as f64) - 4.5).abs() < 0.05);
    }

    #[test]
    fn quantiles_are_the_known_ones() {
        for (share, known) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.001, -3.090_232_306)] {
            assert!((quantile(share) - known).abs() < 1e-6, "{share}");
        }
        assert!(mean(Random::normal_by_table).abs() < 0.02);
        assert!((mean(|random| random.normal_by_table().powi(2)) - 1.0).abs() < 0.03);
    }

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let first: Vec<u64> = (0..100).map(|stream| Random::of(1, stream).bits()).collect();
        let mut distinct = first.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 100);
        assert_eq!(first[3], Random::of(1, 3).bits());
    }
}
