//! Whether calls come in a beat, as those of a timer do, and when the next is due.
//!
//! Integers only. A beat that misses once is kept; one that misses twice running is begun anew.

use std::time::Duration;

/// The beat of one function; silences are counted from the end of a call to the begin of the next.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// The mean silence in milliseconds; 0 when none was seen.
    pub(crate) mean: u32,
    /// The mean distance from it, in milliseconds.
    pub(crate) spread: u32,
    /// Whether each of the last eight silences came as foretold; the newest is the lowest bit.
    pub(crate) hits: u8,
    /// How many silences were foretold, up to eight.
    pub(crate) told: u8,
}

/// When the next call is due if the beat goes on, as ages of the silence.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Earliest.
    pub from: Duration,
    /// Latest.
    pub to: Duration,
    /// How many of the last foretold silences came so, and how many were foretold.
    pub hits: (u32, u32),
    /// The mean silence.
    pub mean: Duration,
}

/// Foretold silences before a beat is believed: the second that is like the first.
const PROOF: u8 = 1;
/// Least distance from the mean that is allowed for.
const LEAST_MARGIN: u32 = 2_000;

impl Beat {
    /// Takes in a silence that a call has ended.
    pub fn note(&mut self, silence: Duration) {
        let silence = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX).max(1);
        if self.mean == 0 {
            self.begin(silence);
            return;
        }
        let off = silence.abs_diff(self.mean);
        let hit = off <= self.margin();
        let missed_before = self.told > 0 && self.hits & 1 == 0;
        self.hits = (self.hits << 1) | u8::from(hit);
        self.told = (self.told + 1).min(8);
        if hit {
            self.mean = toward(self.mean, silence, 4);
            self.spread = toward(self.spread, off, 4);
        } else if missed_before || self.told == 1 {
            self.begin(silence);
        }
    }

    /// When the next call is due; `None` when there is no beat.
    pub fn due(&self) -> Option<Due> {
        let known = if self.told >= 8 { u8::MAX } else { (1 << self.told) - 1 };
        let hits = (self.hits & known).count_ones();
        let told = u32::from(self.told);
        // No more than one of four may miss.
        if self.told < PROOF || hits * 4 < told * 3 {
            return None;
        }
        let margin = self.margin();
        Some(Due {
            from: Duration::from_millis(u64::from(self.mean.saturating_sub(margin))),
            to: Duration::from_millis(u64::from(self.mean) + u64::from(margin)),
            hits: (hits, told),
            mean: Duration::from_millis(u64::from(self.mean)),
        })
    }

    fn begin(&mut self, silence: u32) {
        self.mean = silence;
        self.spread = silence / 64;
    }

    /// How far from the mean a silence still counts as in time.
    fn margin(&self) -> u32 {
        self.spread
            .saturating_mul(3)
            .clamp(self.mean / 128, self.mean / 6)
            .saturating_add(LEAST_MARGIN)
    }
}

/// `from`, moved toward `to` by an `n`th of the way.
fn toward(from: u32, to: u32, n: i64) -> u32 {
    let moved = i64::from(from) + (i64::from(to) - i64::from(from)) / n;
    u32::try_from(moved).unwrap_or(from)
}
