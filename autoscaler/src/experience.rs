//! What the counts of one function have shown: since when a value tells of the count that there is, and how
//! many calls a second were too much for one replica.
//!
//! A value that depends on the count (latency, what calls hold while they wait) says at four replicas that
//! two would do, and at two that four are needed. What was too much once is therefore not tried again soon:
//! first for a quarter of an hour, then for twice as long each time that it was tried in vain.

use std::time::Duration;

use tidegate_core::{Moment, Replicas};

use crate::rules::Sight;
use crate::stamp::Stamp;

/// A value may tell of calls of so long.
pub const SPAN: Duration = Duration::from_secs(30);
/// A count that comes back up so soon after it went down should not have gone.
const SOON: Duration = Duration::from_secs(600);
/// How long a rate that was too much is remembered the first time.
const REMEMBERED: Duration = Duration::from_secs(900);
/// It is doubled so often at most: to four hours.
const DOUBLED: u8 = 4;

/// What was seen of the counts of one function.
#[derive(Clone, Debug, Default)]
pub struct Experience {
    /// How many were ready at the last look.
    ready: Replicas,
    /// When that last changed.
    changed: Stamp,
    /// When it was last fewer than before, unless it was too few since.
    lowered: Stamp,
    too_much: TooMuch,
}

/// Calls a second that one replica was not enough for; nothing while `until` is none.
#[derive(Copy, Clone, Debug, Default)]
struct TooMuch {
    rate: f64,
    until: Stamp,
    times: u8,
}

impl TooMuch {
    /// This, as long as it is remembered.
    fn known(self, now: Moment) -> Option<Self> {
        self.until.get().is_some_and(|until| now < until).then_some(self)
    }
}

impl Experience {
    /// Takes in how many are ready.
    pub fn see(&mut self, now: Moment, ready: Replicas) {
        if self.changed.get().is_some() && ready < self.ready {
            self.lowered = Stamp::at(now);
        }
        if self.changed.get().is_none() || self.ready != ready {
            (self.ready, self.changed) = (ready, Stamp::at(now));
        }
    }

    /// Whether a value of this age tells of the count that there is.
    pub fn settled(&self, sight: &Sight<'_>, age: Duration) -> bool {
        let since = self.changed.get().map_or(Duration::ZERO, |at| sight.now.since(at));
        sight.pending.is_zero() && since >= SPAN + age
    }

    /// The count went up at `rate` calls a second: so much is too much for as many as were ready. But for
    /// latency, which tells it at once, that counts only where more were ready a while ago.
    pub fn stepped(&mut self, sight: &Sight<'_>, rate: f64, at_once: bool) {
        let lowered = std::mem::take(&mut self.lowered).get();
        let regretted = lowered.is_some_and(|at| sight.now.since(at) <= SOON);
        let known = self.too_much.known(sight.now);
        if rate <= 0.0 || !(regretted || at_once) {
            return;
        }
        let each = rate / f64::from(sight.ready.get().max(1));
        let again = u8::from(regretted && self.too_much.until.get().is_some());
        let times = (self.too_much.times + again).min(DOUBLED);
        let rate = known.map_or(each, |known| known.rate.min(each));
        let until = Stamp::at(sight.now + REMEMBERED * (1 << times));
        self.too_much = TooMuch { rate, until, times };
    }

    /// The rate of one replica that was too much, and for how long that is remembered.
    pub fn too_much(&self, now: Moment) -> Option<(f64, Duration)> {
        let much = self.too_much.known(now)?;
        Some((much.rate, much.until.get()?.since(now)))
    }

    /// How many `rate` calls a second keep: with one fewer it would be nearly what was too much.
    pub fn keeps(&self, now: Moment, rate: f64) -> Replicas {
        const NEARLY: f64 = 0.9;
        let Some((much, _)) = self.too_much(now) else { return Replicas::ZERO };
        Replicas::new(
            ((rate / (much * NEARLY)).floor() as u32).saturating_add(u32::from(rate > 0.0)),
        )
    }
}
