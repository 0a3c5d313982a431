//! What all functions together teach: how long the next silence lasts after one of a given length.
//!
//! It stands in for what is not known yet of a function that was called a few times only.

use crate::bins::COUNT;
use crate::learnt::Learnt;

/// Classes of the last silence: one for two octaves, and one for functions of which none is known.
const CLASSES: usize = 9;
/// A class is halved when it holds this much.
const FULL: u32 = 1 << 20;
/// What a class holds before anything is learnt, spread over all bins alike.
const GUESS: f64 = 256.0;

/// Silences of all functions, by the silence before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Population {
    pub(crate) classes: [[u32; COUNT + 1]; CLASSES],
}

impl Default for Population {
    fn default() -> Self {
        Self { classes: [[0; COUNT + 1]; CLASSES] }
    }
}

impl Population {
    /// Takes in that a silence fell into `bin`; `before` is the function as it was until then.
    pub fn note(&mut self, before: &Learnt, bin: usize) {
        let class = &mut self.classes[class(before)];
        // A function that is called all the time must not speak for all others.
        let weight = match before.noted {
            0..16 => 16,
            16..128 => 4,
            _ => 1,
        };
        let count = &mut class[bin.min(COUNT)];
        *count = count.saturating_add(weight);
        if class.iter().sum::<u32>() > FULL {
            class.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// The share of each bin, the last one for all that is longer.
    pub fn shares(&self, of: &Learnt) -> [f64; COUNT + 1] {
        let class = &self.classes[class(of)];
        let total = f64::from(class.iter().sum::<u32>()) + GUESS;
        let guess = GUESS / (COUNT + 1) as f64;
        class.map(|count| (f64::from(count) + guess) / total)
    }
}

fn class(of: &Learnt) -> usize {
    if of.noted == 0 { CLASSES - 1 } else { (usize::from(of.last) / 16).min(CLASSES - 2) }
}
