//! Parts of what is kept of one function: about idleness, starts, the rule without a target, the last look.

use std::time::Duration;

use tidegate_core::{Load, Moment, Observation, Replicas};

use crate::Memory;
use crate::stamp::Stamp;

/// What the idle rule and the way to zero need.
#[derive(Copy, Clone, Debug)]
pub struct Idle {
    /// When something last gave the function a fresh grace.
    touched: Stamp,
    /// Quiet time that an earlier run has seen.
    quiet_before_millis: u64,
    /// Since when it is at zero.
    pub zero_since: Stamp,
    /// Time at zero that an earlier run has seen.
    zero_before_millis: u64,
}

/// Since when replicas are on their way and none became ready.
#[derive(Copy, Clone, Debug, Default)]
pub struct Pending {
    since: Stamp,
    ready: Replicas,
}

/// What the rule for functions without a target needs.
#[derive(Copy, Clone, Debug, Default)]
pub struct Community {
    /// When the rate was last above five.
    pub busy: Stamp,
    /// When the count last took a step.
    pub stepped: Stamp,
}

/// What was seen at the last look.
#[derive(Copy, Clone, Debug)]
pub struct Last {
    pub seen_at: Stamp,
    /// The load when it was last known, and when that was.
    pub load: Option<Load>,
    pub known_at: Stamp,
    /// How many are asked for after it.
    pub desired: Replicas,
    pub ready: Replicas,
    pub pending: Replicas,
    pub draining: Replicas,
    pub frozen: Replicas,
    pub created: Replicas,
    pub replica_limit: Option<u32>,
}

impl Idle {
    /// A fresh function, or one that an earlier run knew.
    pub fn new(now: Moment, memory: &Memory) -> Self {
        Self {
            touched: Stamp::at(now),
            quiet_before_millis: memory.quiet_millis,
            zero_since: memory.zero_millis.map_or(Stamp::NONE, |_| Stamp::at(now)),
            zero_before_millis: memory.zero_millis.unwrap_or(0),
        }
    }

    /// Gives a fresh grace.
    pub fn touch(&mut self, now: Moment) {
        (self.touched, self.quiet_before_millis) = (Stamp::at(now), 0);
    }

    /// When something last gave the function a fresh grace.
    pub fn touched(&self) -> Moment {
        self.touched.get().unwrap_or_default()
    }

    /// Quiet time that an earlier run has seen.
    pub fn quiet_before(&self) -> Duration {
        Duration::from_millis(self.quiet_before_millis)
    }

    /// Time at zero that an earlier run has seen.
    pub fn zero_before(&self) -> Duration {
        Duration::from_millis(self.zero_before_millis)
    }

    /// It is not at zero.
    pub fn runs(&mut self) {
        (self.zero_since, self.zero_before_millis) = (Stamp::NONE, 0);
    }
}

impl Pending {
    /// Takes in what is on its way.
    pub fn see(&mut self, now: Moment, seen: &Observation) {
        if seen.pending.is_zero() {
            *self = Self::default();
            return;
        }
        match self.get() {
            Some((_, ready)) if seen.ready <= ready => {}
            _ => *self = Self { since: Stamp::at(now), ready: seen.ready },
        }
    }

    /// Since when, and how many were ready then.
    pub fn get(self) -> Option<(Moment, Replicas)> {
        Some((self.since.get()?, self.ready))
    }
}

impl Last {
    /// When that was.
    pub fn at(&self) -> Moment {
        self.seen_at.get().unwrap_or_default()
    }

    /// The load, when it was known at this look.
    pub fn fresh_load(&self) -> Option<&Load> {
        self.load.as_ref().filter(|_| self.known_at == self.seen_at)
    }
}
