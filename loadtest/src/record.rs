//! What one thread notes of its calls, a second at a time.
//!
//! Nothing here is shared: when a second is over its batch is sent to the collector, which sends it back
//! empty. So memory does not grow with time, and recording takes no lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::connection::dial::ConnectError;
use crate::run::Call;

/// Longest latency told apart; longer ones count as this long.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);
/// Significant digits of latencies: values are told apart to 0.1 %.
const DIGITS: u8 = 3;
/// The most different texts of failures kept for a target.
const MOST_FAILURES: usize = 100;

/// Durations: an HDR histogram in nanoseconds with three significant digits, and exact extremes and sum.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    pub(crate) histogram: Histogram<u64>,
    pub(crate) plain: Plain,
}

/// Count, sum and extremes of durations, nanoseconds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) count: u64,
    pub(crate) sum: u128,
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl Default for Plain {
    fn default() -> Self {
        Self { count: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

impl Plain {
    fn note(&mut self, nanos: u64) {
        self.count += 1;
        self.sum += u128::from(nanos);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Default for Spread {
    fn default() -> Self {
        let histogram = Histogram::new(DIGITS).expect("three digits are allowed");
        Self { histogram, plain: Plain::default() }
    }
}

impl Spread {
    pub(crate) fn note(&mut self, span: Duration) {
        let nanos = nanos(span);
        self.plain.note(nanos);
        // It grows by itself (only `record` does), so that every value has room.
        let recorded = self.histogram.record(nanos);
        debug_assert!(recorded.is_ok(), "{recorded:?}");
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if other.plain.count == 0 {
            return;
        }
        self.plain.add(&other.plain);
        // Growing by itself, it takes every other.
        let added = self.histogram.add(&other.histogram);
        debug_assert!(added.is_ok(), "{added:?}");
    }

    pub(crate) fn clear(&mut self) {
        if self.plain.count > 0 {
            self.plain = Plain::default();
            self.histogram.reset();
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.min(LONGEST).as_nanos()).unwrap_or(u64::MAX)
}

/// hey's phases in hey's order.
pub(crate) const PHASES: [&str; 5] =
    ["DNS+dialup", "DNS-lookup", "req write", "resp wait", "resp read"];

/// One target, or all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) answered: u64,
    pub(crate) errors: u64,
    pub(crate) bytes: u64,
    pub(crate) uncorrected: Spread,
    /// Empty in a closed loop, where it would be the same.
    pub(crate) corrected: Spread,
    pub(crate) phases: [Plain; 5],
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) failures: BTreeMap<Arc<str>, u64>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.answered += other.answered;
        self.errors += other.errors;
        self.bytes += other.bytes;
        self.uncorrected.add(&other.uncorrected);
        self.corrected.add(&other.corrected);
        for (mine, other) in self.phases.iter_mut().zip(&other.phases) {
            mine.add(other);
        }
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (text, count) in &other.failures {
            self.fail(text, *count);
        }
    }

    fn fail(&mut self, text: &Arc<str>, count: u64) {
        if let Some(known) = self.failures.get_mut(text) {
            *known += count;
        } else if self.failures.len() < MOST_FAILURES {
            self.failures.insert(Arc::clone(text), count);
        } else {
            *self.failures.entry("other errors".into()).or_default() += count;
        }
    }

    fn clear(&mut self) {
        let Self {
            calls,
            answered,
            errors,
            bytes,
            uncorrected,
            corrected,
            phases,
            statuses,
            failures,
        } = self;
        [*calls, *answered, *errors, *bytes] = [0; 4];
        uncorrected.clear();
        corrected.clear();
        *phases = [Plain::default(); 5];
        statuses.clear();
        failures.clear();
    }
}

/// What one thread saw in one second.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Index of the thread.
    pub(crate) thread: usize,
    /// The second, from the start of the run.
    pub(crate) second: u32,
    pub(crate) targets: Vec<Counts>,
    /// Calls sent, by the second in which they were due.
    pub(crate) sent: BTreeMap<u32, u64>,
    pub(crate) late: u64,
    pub(crate) waited: u64,
    pub(crate) lateness: Spread,
    pub(crate) calls: Vec<Call>,
    /// Whether a connection was ever opened.
    pub(crate) connected: bool,
    pub(crate) refusal: Option<ConnectError>,
    /// When the last call of the thread ended.
    pub(crate) last: Option<Instant>,
    /// When the thread ended.
    pub(crate) ended: Option<Instant>,
    /// Whether nothing of this second follows from this thread.
    pub(crate) over: bool,
    /// The thread's last batch.
    pub(crate) finished: bool,
}

impl Batch {
    pub(crate) fn new(targets: usize) -> Self {
        Self { targets: vec![Counts::default(); targets], ..Self::default() }
    }

    pub(crate) fn clear(&mut self) {
        for target in &mut self.targets {
            if target.calls + target.answered + target.errors > 0 {
                target.clear();
            }
        }
        self.sent.clear();
        [self.late, self.waited] = [0; 2];
        self.lateness.clear();
        self.calls.clear();
    }
}

/// The moments of a call that ended.
pub(crate) struct Ended {
    pub(crate) target: u32,
    pub(crate) due: Instant,
    pub(crate) sent: Instant,
    pub(crate) done: Instant,
    /// DNS+dial, DNS, write, wait, read.
    pub(crate) phases: [Duration; 5],
    pub(crate) bytes: u64,
    /// The status of a whole answer.
    pub(crate) status: Option<u16>,
    /// Why it counts as an error.
    pub(crate) failure: Option<Arc<str>>,
}

/// The calls of one thread on their way to the collector.
pub(crate) struct Recorder {
    start: Instant,
    next_second: Instant,
    batch: Box<Batch>,
    open_loop: bool,
    keep_calls: bool,
    out: tokio::sync::mpsc::UnboundedSender<Box<Batch>>,
    back: std::sync::mpsc::Receiver<Box<Batch>>,
}

/// How a recorder is set up.
pub(crate) struct Setup {
    pub(crate) thread: usize,
    pub(crate) targets: usize,
    pub(crate) open_loop: bool,
    pub(crate) keep_calls: bool,
    pub(crate) out: tokio::sync::mpsc::UnboundedSender<Box<Batch>>,
    pub(crate) back: std::sync::mpsc::Receiver<Box<Batch>>,
}

const SECOND: Duration = Duration::from_secs(1);
/// Calls sent to the collector at once, so that no second of them has to be kept.
const CALLS_AT_ONCE: usize = 4096;

impl Recorder {
    pub(crate) fn new(setup: Setup, start: Instant) -> Self {
        let mut batch = Box::new(Batch::new(setup.targets));
        batch.thread = setup.thread;
        Self {
            start,
            next_second: start + SECOND,
            batch,
            open_loop: setup.open_loop,
            keep_calls: setup.keep_calls,
            out: setup.out,
            back: setup.back,
        }
    }

    /// A call goes out. `ready` is when a connection was free for it and it was due.
    pub(crate) fn sent(&mut self, target: u32, due: Instant, ready: Instant, sent: Instant) {
        self.batch.targets[target as usize].calls += 1;
        let second = second_of(due.saturating_duration_since(self.start));
        *self.batch.sent.entry(second).or_default() += 1;
        if self.open_loop {
            let lateness = sent.saturating_duration_since(ready);
            self.batch.lateness.note(lateness);
            self.batch.late += u64::from(lateness > Duration::from_millis(1));
            self.batch.waited += u64::from(ready > due);
        }
    }

    /// A call has ended.
    pub(crate) fn ended(&mut self, call: Ended) {
        self.tick(call.done);
        let counts = &mut self.batch.targets[call.target as usize];
        self.batch.last = Some(call.done);
        if self.keep_calls {
            let since = |moment: Instant| moment.saturating_duration_since(self.start);
            let [dial, dns, write, wait, read] = call.phases;
            self.batch.calls.push(Call {
                target: call.target,
                due: since(call.due),
                sent: since(call.sent),
                done: since(call.done),
                dial,
                dns,
                write,
                wait,
                read,
                bytes: call.bytes,
                end: match (&call.failure, call.status) {
                    (None, Some(status)) => Ok(status),
                    (Some(text), _) => Err(Arc::clone(text)),
                    (None, None) => Err("no answer".into()),
                },
            });
        }
        if let Some(status) = call.status {
            counts.answered += 1;
            counts.bytes += call.bytes;
            counts.uncorrected.note(call.done.saturating_duration_since(call.sent));
            if self.open_loop {
                counts.corrected.note(call.done.saturating_duration_since(call.due));
            }
            for (phase, span) in counts.phases.iter_mut().zip(call.phases) {
                phase.note(nanos(span));
            }
            *counts.statuses.entry(status).or_default() += 1;
        }
        if let Some(failure) = call.failure {
            counts.errors += 1;
            counts.fail(&failure, 1);
        }
        if self.batch.calls.len() >= CALLS_AT_ONCE {
            self.flush(false, false);
        }
    }

    /// A connection was opened.
    pub(crate) fn connected(&mut self) {
        self.batch.connected = true;
    }

    /// No connection could be opened.
    pub(crate) fn refused(&mut self, error: &ConnectError) {
        if !self.batch.connected && self.batch.refusal.is_none() {
            self.batch.refusal = Some(error.clone());
        }
    }

    /// Sends what is over; cheap when nothing is.
    pub(crate) fn tick(&mut self, at: Instant) {
        while at >= self.next_second {
            self.flush(true, false);
            self.next_second += SECOND;
            self.batch.second += 1;
        }
    }

    /// The last batch.
    pub(crate) fn finish(&mut self, at: Instant) {
        self.tick(at);
        self.batch.ended = Some(at);
        self.flush(true, true);
    }

    fn flush(&mut self, over: bool, finished: bool) {
        let mut empty =
            self.back.try_recv().unwrap_or_else(|_| Box::new(Batch::new(self.batch.targets.len())));
        empty.thread = self.batch.thread;
        empty.second = self.batch.second;
        empty.connected = self.batch.connected;
        empty.last = self.batch.last;
        empty.refusal = None;
        let mut full = std::mem::replace(&mut self.batch, empty);
        full.over = over;
        full.finished = finished;
        // A collector that is gone wants nothing more.
        let _ = self.out.send(full);
    }
}

fn second_of(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}
