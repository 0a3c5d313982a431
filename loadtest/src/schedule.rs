//! What is called next: moments from a profile or a recording, and targets by weight.
//!
//! Every thread walks the whole sequence and keeps its own part, so that nothing is shared and the same
//! seed always sends the same.

use std::sync::Arc;
use std::time::Duration;

use crate::plan::{Due, Pace, Plan, Target};
use crate::profile::Dues;

/// `SplitMix64`: small, fast, and good enough for gaps and weights.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly in (0, 1].
    pub(crate) fn above_zero(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// The most entries of a written-out round of weights.
const LONGEST_ROUND: u64 = 4096;

/// Which target call `n` goes to.
#[derive(Clone, Debug)]
pub(crate) enum Picker {
    One,
    /// A whole round, spread smoothly: 3:1 is `a a b a`, not `a a a b`.
    Round(Arc<[u32]>),
    /// Too long a round: drawn by weight, seeded.
    Drawn {
        ends: Arc<[u64]>,
        seed: u64,
    },
}

impl Picker {
    pub(crate) fn new(targets: &[Target], seed: u64) -> Self {
        if targets.len() == 1 {
            return Self::One;
        }
        let weights: Vec<u64> =
            targets.iter().map(|target| u64::from(target.weight.max(1))).collect();
        let divisor = weights.iter().copied().fold(0, greatest_common_divisor);
        let total: u64 = weights.iter().map(|weight| weight / divisor).sum();
        if total > LONGEST_ROUND {
            let ends = weights.iter().scan(0, |end, weight| {
                *end += weight;
                Some(*end)
            });
            return Self::Drawn { ends: ends.collect(), seed };
        }
        let mut credit = vec![0_i64; weights.len()];
        let round = (0..total).map(|_| {
            for (credit, weight) in credit.iter_mut().zip(&weights) {
                *credit += (weight / divisor) as i64;
            }
            let most = credit.iter().max().copied().unwrap_or(0);
            let chosen = credit.iter().position(|credit| *credit == most).unwrap_or(0);
            credit[chosen] -= total as i64;
            chosen as u32
        });
        Self::Round(round.collect())
    }

    pub(crate) fn pick(&self, n: u64) -> u32 {
        match self {
            Self::One => 0,
            Self::Round(round) => round[(n % round.len() as u64) as usize],
            Self::Drawn { ends, seed } => {
                let total = ends.last().copied().unwrap_or(1);
                let mut random =
                    Random::new(seed.wrapping_add(n.wrapping_mul(0xd134_2543_de82_ef95)));
                let drawn = random.next() % total;
                ends.partition_point(|end| *end <= drawn) as u32
            }
        }
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// One thread's part of the schedule of an open loop, in order of time.
pub(crate) struct Schedule {
    source: Source,
    picker: Picker,
    /// Keeps the calls `n` with `n % of == part`.
    part: u64,
    of: u64,
    next: u64,
    calls: u64,
    end: Option<Duration>,
    /// What stopped it: whether it was the count of calls.
    counted_out: bool,
}

enum Source {
    Dues(Box<Dues>),
    Recording(Arc<[Due]>),
}

impl Schedule {
    /// None for a closed loop.
    pub(crate) fn new(plan: &Plan, part: usize, of: usize) -> Option<Self> {
        let source = match &plan.pace {
            Pace::Closed { .. } => return None,
            Pace::Open(profile) => Source::Dues(Box::new(profile.dues(plan.seed))),
            Pace::Replay(recording) => Source::Recording(Arc::clone(recording)),
        };
        Some(Self {
            source,
            picker: Picker::new(&plan.targets, plan.seed),
            part: part as u64,
            of: of as u64,
            next: 0,
            calls: plan.calls.unwrap_or(u64::MAX),
            end: plan.duration,
            counted_out: false,
        })
    }

    /// Whether it ended because all calls that were asked for are given out.
    pub(crate) fn counted_out(&self) -> bool {
        self.counted_out
    }

    fn draw(&mut self) -> Option<Due> {
        let n = self.next;
        if n >= self.calls {
            self.counted_out = true;
            return None;
        }
        let due = match &mut self.source {
            Source::Dues(dues) => {
                Due { at: dues.next()?, target: self.picker.pick(n), takes: None, body: None }
            }
            Source::Recording(recording) => {
                let due = recording.get(usize::try_from(n).ok()?).copied();
                self.counted_out = due.is_none();
                due?
            }
        };
        if self.end.is_some_and(|end| due.at >= end) {
            return None;
        }
        self.next += 1;
        Some(due)
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        loop {
            let n = self.next;
            let due = self.draw()?;
            if n % self.of == self.part {
                return Some(due);
            }
        }
    }
}
