//! What a lane costs: integrals over time, counted only when something changes.

use super::{Facts, Lane};
use crate::hash::Fnv;
use crate::stage::{Bucket, Stage};

/// Rates are judged over this long.
const RATE_SPAN: u64 = 10_000_000_000;

/// What one function cost. Times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Up to when.
    until: u64,
    /// The bucket under way, and when it ends; zero before the first.
    bucket: u64,
    bucket_ends: u64,
    /// Of the bucket under way.
    now: Bucket,
    pub total: Bucket,
    pub calls: u64,
    /// Waited because nothing was ready.
    pub cold: u64,
    /// Waited and were served.
    pub waited: u64,
    pub timed_out: u64,
    pub room_full: u64,
    pub start_failed: u64,
    /// Ended with their replica.
    pub cut: u64,
    pub unfinished: u64,
    pub still_waiting: u64,
    pub starts: u64,
    pub thaws: u64,
    pub failed_starts: u64,
    pub ups: u64,
    pub downs: u64,
    pub zeros: u64,
    /// Changes of direction, zero left out.
    pub turns: u64,
    pub looks: u64,
    /// Most replicas asked for.
    pub peak: u32,
    /// Least and most that were ever asked for above zero.
    pub least: Option<u32>,
    /// Of every change of the count.
    pub log: Fnv,
    went_up: Option<bool>,
    rate_ends: u64,
    rate_calls: u64,
}

impl Account {
    /// Calls that failed.
    pub fn errors(&self) -> u64 {
        self.timed_out + self.room_full + self.start_failed + self.cut
    }

    /// A call has arrived.
    pub(super) fn arrived(&mut self, now: u64, facts: &Facts, open: u32) {
        self.calls += 1;
        self.now.calls += 1;
        let Some(target) = facts.target_rate else { return };
        if now >= self.rate_ends {
            self.rate_ends = now - now % RATE_SPAN + RATE_SPAN;
            self.rate_calls = 0;
        }
        self.rate_calls += 1;
        let most = target * f64::from(open.max(1)) * (RATE_SPAN as f64 / 1e9);
        if self.rate_calls as f64 > most {
            // What is left of the span is over the target.
            self.now.over += self.rate_ends - now;
            self.rate_calls = 0;
            self.rate_ends = now - now % RATE_SPAN + RATE_SPAN;
        }
    }

    /// The count has changed.
    pub(super) fn scaled(&mut self, now: u64, from: u32, to: u32, label: &str) {
        let up = to > from;
        self.ups += u64::from(up);
        self.downs += u64::from(!up);
        self.zeros += u64::from(to == 0);
        // Waking and idling are not oscillation.
        if from > 0 && to > 0 {
            self.turns += u64::from(self.went_up.is_some_and(|before| before != up));
            self.went_up = Some(up);
        }
        self.peak = self.peak.max(to);
        if to > 0 {
            self.least = Some(self.least.map_or(to, |least| least.min(to)));
        }
        crate::log::note(&mut self.log, now, from, to, label);
    }
}

impl Lane {
    /// Counts what was there until `to`. Called before anything of it changes.
    #[inline]
    pub(super) fn account_until(&mut self, to: u64, stage: &mut Stage<'_>) {
        if to >= self.account.bucket_ends {
            self.account_buckets(to, stage);
        }
        self.account_span(to - self.account.until);
        self.account.until = to;
    }

    /// Closes the buckets that end until `to`.
    #[cold]
    fn account_buckets(&mut self, to: u64, stage: &mut Stage<'_>) {
        let width = stage.settings.bucket;
        if self.account.bucket_ends == 0 {
            self.account.bucket_ends = width;
        }
        while to >= self.account.bucket_ends {
            self.account_span(self.account.bucket_ends - self.account.until);
            self.account.until = self.account.bucket_ends;
            self.close_bucket(stage);
            self.account.bucket += 1;
            self.account.bucket_ends = self.account.bucket_ends.saturating_add(width);
        }
    }

    #[inline]
    fn account_span(&mut self, span: u64) {
        if span == 0 {
            return;
        }
        let counts = &self.counts;
        let now = &mut self.account.now;
        let ready = counts.open + counts.draining;
        now.inside += self.inside * span;
        now.waiting += self.room.len() as u64 * span;
        now.ready += u64::from(ready) * span;
        now.idle += u64::from(counts.idle) * span;
        now.pending += u64::from(counts.pending) * span;
        now.frozen += u64::from(counts.frozen) * span;
        let carries = self.facts.target_in_flight;
        if carries.is_some_and(|each| self.inside as f64 > each * f64::from(counts.open)) {
            now.over += span;
        }
    }

    /// Hands over the bucket under way.
    pub(super) fn close_bucket(&mut self, stage: &mut Stage<'_>) {
        let done = std::mem::take(&mut self.account.now);
        self.account.total.add(&done);
        stage.add(self.account.bucket, &done);
    }
}
