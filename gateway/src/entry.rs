//! One deployed function as the gateway sees it: all that its calls and its scale decisions touch.
//!
//! ```text
//! entry.rs          who it is, and what is seen of it
//! entry/update.rs   what the provider reports ─► the replicas that get calls
//! entry/slots.rs    a call takes a slot, or waits for one
//! entry/zero.rs     the way to zero and back
//! entry/victims.rs  replicas on their way out
//! ```

mod slots;
mod update;
mod victims;
mod zero;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tidegate_core::{FunctionId, Load, LoadType, Moment, Observation, Policy, Replicas, Target};
use tidegate_provider::{Deployment, FunctionStatus, Phase};

use crate::Clock;
use crate::durations::Durations;
use crate::gate::{Admission, Flag, Gate};
use crate::limits::Limiter;
use crate::meter::{Meter, ShardIndex};
use crate::nudge::Nudger;
use crate::outcomes::{Histogram, Outcomes, WAIT_BOUNDS};
use crate::replica::Handle;
use crate::room::Room;
use crate::upstream::PoolSettings;

pub(crate) use slots::{Handed, Waited};
pub use zero::ZeroTicket;

/// What all entries share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) nudger: Nudger,
    pub(crate) pool: PoolSettings,
    pub(crate) room_size: usize,
    pub(crate) wake_timeout: Duration,
    pub(crate) drain_limit: Duration,
    pub(crate) quarantine: Duration,
    /// Shards of a meter: as many as threads that record at the same time, a power of two.
    pub(crate) shards: usize,
}

/// One deployed function.
#[derive(Debug)]
pub struct Entry {
    id: FunctionId,
    shared: Arc<Shared>,
    /// What a call reads.
    serving: ArcSwap<Serving>,
    /// What a scale decision and the management API read.
    known: ArcSwap<Known>,
    meter: Meter,
    gate: Gate,
    room: Room<Handed>,
    outcomes: Outcomes,
    waits: OnceLock<Box<Waits>>,
    desired: AtomicU32,
    /// More calls than this inside want another replica; `u64::MAX` when that is no matter of theirs.
    nudge_above: AtomicU64,
    nudged: Flag,
    /// The scale loop does not tick this function, so the next arrival nudges.
    quiet: AtomicBool,
    limited: AtomicU64,
    retried: AtomicU64,
    writer: Mutex<Writer>,
}

/// What a call reads: replaced as a whole.
#[derive(Debug, Default)]
struct Serving {
    /// Replicas that get calls, oldest first.
    open: Box<[Arc<Handle>]>,
    /// Calls one of them takes at once.
    limit: Option<u32>,
    limiter: Option<Arc<Limiter>>,
}

/// What is known of the function.
#[derive(Debug)]
struct Known {
    status: Arc<FunctionStatus>,
    policy: Arc<Policy>,
}

/// What only those hold who change the set of replicas.
#[derive(Debug, Default)]
struct Writer {
    /// All replicas reported, oldest first.
    handles: Vec<Arc<Handle>>,
    limit: Option<u32>,
    limiter: Option<Arc<Limiter>>,
    /// Zero was issued, so that what was reported before is void: no replica gets calls.
    void: bool,
    /// A report came after zero was issued.
    fresh: bool,
}

/// How long calls waited.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// For a start.
    pub(crate) start: Histogram,
    /// For a free slot.
    pub(crate) slot: Histogram,
}

// --- who it is

impl Entry {
    /// Which function.
    pub fn id(&self) -> &FunctionId {
        &self.id
    }

    /// What was deployed.
    pub fn deployment(&self) -> Arc<Deployment> {
        Arc::clone(&self.known.load().status.deployment)
    }

    /// What the provider last reported.
    pub fn status(&self) -> Arc<FunctionStatus> {
        Arc::clone(&self.known.load().status)
    }

    /// How it wants to be scaled.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.known.load().policy)
    }

    /// What the scale loop wants; shown to clients as `replicas`.
    pub fn desired(&self) -> Replicas {
        Replicas::new(self.desired.load(Ordering::Acquire))
    }

    /// The scale loop wants this many now.
    pub fn set_desired(&self, to: Replicas) {
        self.desired.store(to.get(), Ordering::Release);
        self.reset_nudge_above(0);
    }

    /// Replicas that are ready and given calls; shown to clients as `availableReplicas`.
    pub fn available(&self) -> Replicas {
        if self.gate.is_closed() {
            return Replicas::ZERO;
        }
        count(self.serving.load().open.len())
    }

    /// Calls that ever ended (`invocationCount` of the REST API).
    pub fn completed(&self) -> u64 {
        self.meter.completed()
    }

    fn write(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// --- what is seen of it

impl Entry {
    /// What is seen of it now: the only input of a scale decision.
    pub fn observe(&self, now: Moment) -> Observation {
        let load = self.load(now);
        if let Some(load) = load {
            self.reset_nudge_above(load.demand());
        }
        let known = self.known.load();
        let status = &known.status;
        let desired = self.desired();
        let (ready, draining) = {
            let writer = self.write();
            let draining = writer.handles.iter().filter(|one| one.is_draining()).count();
            (self.available(), count(draining).plus(status.count(Phase::Stopping)))
        };
        let coming = status.count(Phase::Starting).plus(status.count(Phase::Backoff));
        Observation {
            function: self.id.clone(),
            revision: status.revision,
            load,
            desired,
            ready,
            // What was asked for a moment ago may not have been reported yet.
            pending: coming.max(desired.minus(ready)),
            draining,
            frozen: status.count(Phase::Frozen),
            created: status.count(Phase::Created),
            replica_limit: self.serving.load().limit,
        }
    }

    /// The load alone; `None` when it could not be read consistently.
    pub fn load(&self, now: Moment) -> Option<Load> {
        let seen = self.meter.read(now)?;
        let waiting = (self.room.waiting() as u64).min(seen.inside);
        Some(Load {
            in_flight: seen.inside - waiting,
            waiting,
            started: seen.started,
            completed: seen.completed,
            concurrency_nanos: seen.concurrency_nanos,
            last_end: seen.last_end,
        })
    }

    pub(crate) fn started(&self) -> u64 {
        self.meter.started()
    }

    /// Calls being served or waiting, without the care that a decision needs.
    pub fn inside(&self) -> u64 {
        self.meter.inside_roughly()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.room.waiting()
    }

    /// How long all calls took that have ended.
    pub fn durations(&self) -> Durations {
        let mut all = Durations::default();
        for series in self.outcomes.seen() {
            all.0.add(&series.counts());
        }
        all
    }

    pub(crate) fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    pub(crate) fn waits(&self) -> Option<&Waits> {
        self.waits.get().map(|waits| &**waits)
    }

    pub(crate) fn limited(&self) -> u64 {
        self.limited.load(Ordering::Relaxed)
    }

    pub(crate) fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(crate) fn pool_settings(&self) -> &PoolSettings {
        &self.shared.pool
    }
}

// --- what its calls record

impl Entry {
    /// A call arrives.
    pub(crate) fn arrive(self: &Arc<Self>, now: Moment) -> (ShardIndex, Admission) {
        let shard = self.meter.enter(now);
        let admission = self.gate.admit();
        if self.quiet.load(Ordering::Acquire) && self.quiet.swap(false, Ordering::AcqRel) {
            self.nudge();
        }
        let above = self.nudge_above.load(Ordering::Relaxed);
        if above != u64::MAX {
            let inside = self.meter.inside_roughly();
            if inside > above {
                self.cross(inside);
            }
        }
        (shard, admission)
    }

    /// A call ends.
    pub(crate) fn depart(&self, shard: ShardIndex, code: u16, started: Moment, now: Moment) {
        self.outcomes.record(code, now.since(started), shard, self.shared.shards);
        self.meter.leave(shard, now);
    }

    /// A call waited.
    pub(crate) fn record_wait(&self, waited: Waited) {
        let waits = self.waits.get_or_init(Box::default);
        match waited {
            Waited::Not => {}
            Waited::ForStart(span) => waits.start.record(&WAIT_BOUNDS, span),
            Waited::ForSlot(span) => waits.slot.record(&WAIT_BOUNDS, span),
        }
    }

    pub(crate) fn record_retry(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether its replicas take only so many calls at once.
    pub(crate) fn has_replica_limit(&self) -> bool {
        self.serving.load().limit.is_some()
    }

    /// Its rate limits, when it has any.
    pub(crate) fn limiter(&self) -> Option<Arc<Limiter>> {
        self.serving.load().limiter.clone()
    }

    pub(crate) fn record_limited(&self) {
        self.limited.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes idle connections and forgets idle clients.
    pub(crate) fn sweep(&self, now: Moment) {
        let writer = self.write();
        for handle in &writer.handles {
            handle.pool.sweep(now, &self.shared.pool);
        }
        if let Some(limiter) = &writer.limiter {
            limiter.sweep();
        }
    }
}

// --- nudges

impl Entry {
    /// The scale loop stops ticking this function: the next arrival nudges. `false`, and nothing
    /// changed, when calls are in flight or waiting. A call that came and went since the last
    /// observation shows in the next one, so compare `started` afterwards.
    pub fn rest(&self) -> bool {
        self.quiet.store(true, Ordering::SeqCst);
        if self.meter.inside() == 0 {
            return true;
        }
        self.quiet.store(false, Ordering::SeqCst);
        false
    }

    /// Asks the scale loop for a look at this function.
    pub fn nudge(self: &Arc<Self>) {
        self.shared.nudger.nudge(self);
    }

    pub(crate) fn mark_nudged(&self) -> bool {
        self.nudged.raise()
    }

    pub(crate) fn unmark_nudged(&self) {
        self.nudged.lower();
    }

    /// More calls are inside than the replicas asked for should carry. The mark rises to what one more
    /// replica carries, so that a lasting overload nudges once for each replica it wants, not for each call.
    fn cross(self: &Arc<Self>, inside: u64) {
        let Some(carries) = self.carries() else { return };
        let wanted = (u128::from(inside) * MILLIONTH_SQUARED).div_ceil(carries);
        self.nudge_above.store(capacity(wanted, carries), Ordering::Relaxed);
        self.nudge();
    }

    /// Puts the mark back to what the replicas asked for should carry, if `demand` is not above it.
    fn reset_nudge_above(&self, demand: u64) {
        let policy = self.policy();
        let desired = self.desired();
        let mark = match self.carries() {
            Some(carries) if desired < policy.bounds.max() => {
                capacity(u128::from(desired.get()), carries)
            }
            _ => u64::MAX,
        };
        if demand <= mark {
            self.nudge_above.store(mark, Ordering::Relaxed);
        }
    }

    /// What one replica should carry, times 10¹²; `None` when calls in flight do not decide it.
    fn carries(&self) -> Option<u128> {
        let policy = self.policy();
        match policy.target {
            Target::Load { load: LoadType::Capacity, target, proportion } => {
                Some(u128::from(target.millionths()) * u128::from(proportion.millionths()))
                    .filter(|carries| *carries > 0)
            }
            _ => None,
        }
    }
}

const MILLIONTH_SQUARED: u128 = 1_000_000_000_000;

/// Whole calls that `replicas` should carry.
fn capacity(replicas: u128, carries: u128) -> u64 {
    u64::try_from(replicas.saturating_mul(carries) / MILLIONTH_SQUARED).unwrap_or(u64::MAX - 1)
}

fn count(number: usize) -> Replicas {
    Replicas::new(u32::try_from(number).unwrap_or(u32::MAX))
}
