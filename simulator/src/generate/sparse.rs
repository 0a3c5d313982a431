//! Calls with long pauses: bursts, rare calls and timers.

use std::time::Duration;

use super::Common;
use super::spec::{BadSpec, Spec};
use crate::random::Random;
use crate::span::{Span, nanos};
use crate::trace::{Call, Make, Stream, Traced};

/// Calls together, at random moments.
#[derive(Clone, Debug)]
pub(super) struct Bursts {
    /// Mean pause between their beginnings.
    pub every: u64,
    /// Calls of each.
    pub size: u64,
    /// Length of each.
    pub span: u64,
    pub end: u64,
    pub takes: Span,
    pub seed: u64,
}

/// A timer.
#[derive(Clone, Debug)]
pub(super) struct Timer {
    pub every: u64,
    /// Each call comes up to this much late, by itself.
    pub jitter: u64,
    /// Each period is this much too long.
    pub drift: u64,
    pub end: u64,
    pub takes: Span,
    pub seed: u64,
}

pub(super) fn make(spec: &mut Spec, common: &Common) -> Result<Vec<Traced>, BadSpec> {
    let (end, takes) = (common.end, common.takes);
    let seconds = Duration::from_secs;
    match spec.kind.as_str() {
        "cron" => {
            let every = nanos(spec.duration("every", seconds(300))?);
            let jitter = nanos(spec.pause("jitter", seconds(2))?);
            let drift = nanos(spec.pause("drift", Duration::ZERO)?);
            common.each(|seed| Timer { every, jitter, drift, end, takes, seed })
        }
        "rare" => {
            let every = nanos(spec.duration("every", seconds(7200))?);
            common.each(|seed| Bursts { every, size: 1, span: 0, end, takes, seed })
        }
        _ => {
            let every = nanos(spec.duration("every", seconds(600))?);
            let size = spec.whole("size", 100)?;
            let span = nanos(spec.pause("span", seconds(1))?);
            if size > 1_000_000 {
                return Err(spec.refuse("size", "a whole number up to 1000000"));
            }
            common.each(|seed| Bursts { every, size, span, end, takes, seed })
        }
    }
}

impl Make for Bursts {
    fn calls(&self) -> Stream {
        let mut random = Random::new(self.seed);
        let Self { every, size, span, end, takes, .. } = *self;
        let takes = takes.drawn();
        let (mut at, mut last) = (0_u64, 0_u64);
        // One burst, its last call first.
        let mut burst: Vec<Call> = Vec::new();
        Box::new(std::iter::from_fn(move || {
            while burst.is_empty() {
                at = at.saturating_add(random.exponential(every as f64) as u64);
                if at >= end {
                    return None;
                }
                for _ in 0..size {
                    let call = Call { at: at + random.below(span), takes: takes.draw(&mut random) };
                    burst.push(call);
                }
                burst.sort_unstable_by(|a, b| b.cmp(a));
            }
            let mut call = burst.pop()?;
            // Bursts that overlap keep their order by coming a little later.
            call.at = call.at.max(last);
            last = call.at;
            Some(call)
        }))
    }
}

impl Make for Timer {
    fn calls(&self) -> Stream {
        let mut random = Random::new(self.seed);
        let Self { every, jitter, drift, end, takes, .. } = *self;
        let takes = takes.drawn();
        let period = every.saturating_add(drift);
        let (mut tick, mut last) = (random.below(every), 0);
        Box::new(std::iter::from_fn(move || {
            let at = tick.saturating_add(random.below(jitter)).max(last);
            if at >= end {
                return None;
            }
            last = at;
            tick = tick.saturating_add(period);
            Some(Call { at, takes: takes.draw(&mut random) })
        }))
    }
}
