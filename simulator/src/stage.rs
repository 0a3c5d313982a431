//! What all lanes of one run share.

use crate::histogram::Histogram;
use crate::model::ProviderModel;
use crate::record::Recorder;
use crate::scaler::Scaler;

/// What holds for the whole run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub model: ProviderModel,
    pub max_inflight: Option<u32>,
    pub room_size: usize,
    pub wait_limit: u64,
    pub drain_limit: u64,
    pub seed: u64,
    /// Width of a point of the charts.
    pub bucket: u64,
}

/// What all lanes write to.
pub(crate) struct Stage<'a> {
    pub scaler: &'a mut dyn Scaler,
    pub settings: &'a Settings,
    pub waits: Histogram,
    pub cold_waits: Histogram,
    pub buckets: Vec<Bucket>,
    pub recorder: Option<Recorder>,
}

/// Integrals over one span of time, of one function or of all: call- and replica-nanoseconds.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub calls: u64,
    pub inside: u64,
    pub waiting: u64,
    pub ready: u64,
    pub idle: u64,
    pub pending: u64,
    pub frozen: u64,
    pub over: u64,
}

impl Bucket {
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.inside += other.inside;
        self.waiting += other.waiting;
        self.ready += other.ready;
        self.idle += other.idle;
        self.pending += other.pending;
        self.frozen += other.frozen;
        self.over += other.over;
    }
}

impl Stage<'_> {
    /// Adds what a lane had in one span.
    pub fn add(&mut self, bucket: u64, done: &Bucket) {
        let bucket = bucket as usize;
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, Bucket::default());
        }
        self.buckets[bucket].add(done);
    }
}
