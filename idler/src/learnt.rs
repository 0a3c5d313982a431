//! What is learnt of one function: how long its silences last, in at most 256 bytes.
//!
//! Counters are integers. When they are full all are halved, so what is old weighs less and less.

use std::time::Duration;

use crate::beat::Beat;
use crate::bins::{self, COUNT};
use crate::tuning::Tuning;

/// What one silence adds to a counter.
pub(crate) const UNIT: u16 = 64;

/// How long the silences of one function last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learnt {
    pub(crate) bins: [u16; COUNT],
    /// Silences longer than all bins.
    pub(crate) longer: u16,
    /// The bin of the last silence.
    pub(crate) last: u8,
    /// Silences ever noted, up to 255.
    pub(crate) noted: u8,
    pub(crate) beat: Beat,
}

impl Default for Learnt {
    fn default() -> Self {
        Self { bins: [0; COUNT], longer: 0, last: 0, noted: 0, beat: Beat::default() }
    }
}

impl Learnt {
    /// Takes in a silence that a call has ended; one too short to matter changes nothing.
    pub fn note(&mut self, tuning: &Tuning, silence: Duration) {
        let Some(bin) = bins::index(silence) else { return };
        self.beat.note(silence);
        if self.weight() + u32::from(UNIT) > u32::from(tuning.most_silences) * u32::from(UNIT) {
            self.halve();
        }
        let counter = self.bins.get_mut(bin).unwrap_or(&mut self.longer);
        *counter = counter.saturating_add(UNIT);
        self.last = u8::try_from(bin).unwrap_or(u8::MAX);
        self.noted = self.noted.saturating_add(1);
    }

    /// How many silences are remembered, in [`UNIT`]s.
    pub(crate) fn weight(&self) -> u32 {
        self.bins.iter().map(|count| u32::from(*count)).sum::<u32>() + u32::from(self.longer)
    }

    /// How many silences were ever noted, up to 255.
    pub fn noted(&self) -> u8 {
        self.noted
    }

    /// The beat of its calls.
    pub fn beat(&self) -> &Beat {
        &self.beat
    }

    fn halve(&mut self) {
        for count in &mut self.bins {
            *count /= 2;
        }
        self.longer /= 2;
    }
}
