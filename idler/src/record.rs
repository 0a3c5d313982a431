//! What is learnt, in the form in which it outlives a restart: sparse, with a version, without any time.
//!
//! What cannot be read is dropped: the function learns anew, and nothing else is lost.

use serde::{Deserialize, Serialize};

use crate::beat::Beat;
use crate::bins::COUNT;
use crate::habits::{Common, Habits};
use crate::hybrid::Hybrid;
use crate::learnt::Learnt;

/// The form that is written now.
const VERSION: u8 = 1;

/// One function's habits as they are written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HabitsRecord {
    version: u8,
    /// Pairs of bin and count; the bin after the last is for all that is longer.
    counts: Vec<(u16, u16)>,
    /// Other numbers; which ones, the kind says.
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Kind {
    Adaptive { last: u8, noted: u8, mean: u32, spread: u32, hits: u8, told: u8 },
    Hybrid { beyond: u32, beyond_mean: u32 },
}

/// What all functions share, as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommonRecord {
    version: u8,
    price: f64,
    /// Triples of class, bin and count.
    population: Vec<(u16, u16, u32)>,
}

impl Habits {
    /// For writing down.
    pub fn record(&self) -> HabitsRecord {
        let (counts, kind) = match self {
            Self::Adaptive(learnt) => {
                let Beat { mean, spread, hits, told } = learnt.beat;
                let (last, noted) = (learnt.last, learnt.noted);
                let all = learnt.bins.iter().chain([&learnt.longer]);
                (sparse(all), Kind::Adaptive { last, noted, mean, spread, hits, told })
            }
            Self::Hybrid(hybrid) => {
                let (beyond, beyond_mean) = (hybrid.beyond, hybrid.beyond_mean);
                (sparse(&hybrid.minutes), Kind::Hybrid { beyond, beyond_mean })
            }
        };
        HabitsRecord { version: VERSION, counts, kind }
    }

    /// As an earlier run wrote them down; `None` when this cannot be read.
    pub fn from_record(record: &HabitsRecord) -> Option<Self> {
        if record.version != VERSION {
            return None;
        }
        match record.kind {
            Kind::Adaptive { last, noted, mean, spread, hits, told } => {
                let beat = Beat { mean, spread, hits, told: told.min(8) };
                let mut learnt = Learnt { last, noted, beat, ..Learnt::default() };
                for (bin, count) in &record.counts {
                    *learnt.bins.get_mut(usize::from(*bin)).unwrap_or(&mut learnt.longer) = *count;
                }
                Some(Self::Adaptive(Box::new(learnt)))
            }
            Kind::Hybrid { beyond, beyond_mean } => {
                let mut hybrid = Hybrid { beyond, beyond_mean, ..Hybrid::default() };
                for (minute, count) in &record.counts {
                    *hybrid.minutes.get_mut(usize::from(*minute))? = *count;
                }
                hybrid.within = hybrid.minutes.iter().map(|count| u32::from(*count)).sum();
                Some(Self::Hybrid(Box::new(hybrid)))
            }
        }
    }
}

impl Common {
    /// For writing down.
    pub fn record(&self) -> CommonRecord {
        let mut population = Vec::new();
        for (class, bins) in (0..).zip(&self.population.classes) {
            let filled = (0..).zip(bins).filter(|(_, count)| **count > 0);
            population.extend(filled.map(|(bin, count)| (class, bin, *count)));
        }
        CommonRecord { version: VERSION, price: self.price.value(), population }
    }

    /// Goes on where an earlier run left off; what cannot be read is left out.
    pub fn restore(&mut self, record: &CommonRecord) {
        if record.version != VERSION {
            return;
        }
        self.price.restore(record.price);
        for (class, bin, count) in &record.population {
            let class = self.population.classes.get_mut(usize::from(*class));
            if let Some(kept) = class.and_then(|bins| bins.get_mut(usize::from(*bin))) {
                // Far below what would overflow the sum of a class.
                *kept = (*count).min(u32::MAX / (2 * (COUNT as u32 + 1)));
            }
        }
    }
}

fn sparse<'a>(counts: impl IntoIterator<Item = &'a u16>) -> Vec<(u16, u16)> {
    (0..).zip(counts).filter(|(_, count)| **count > 0).map(|(bin, count)| (bin, *count)).collect()
}
