//! One deployed function as the gateway sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tidegate_core::{FunctionId, Load, Moment, Observation, Policy, Replicas};
use tidegate_provider::{Deployment, FunctionStatus, ReplicaId};

/// One deployed function.
#[derive(Debug)]
pub struct Entry {
    status: Arc<FunctionStatus>,
    policy: Arc<Policy>,
    desired: AtomicU32,
    nudged: AtomicBool,
}

/// A function on its way to zero; any arrival cancels it. Dropped without [`ZeroTicket::issue`], the
/// function is open again.
#[derive(Debug)]
#[must_use = "a ticket that is dropped aborts the way to zero"]
pub struct ZeroTicket {
    entry: Arc<Entry>,
}

impl Entry {
    pub(crate) fn stub(status: &FunctionStatus) -> Arc<Self> {
        Arc::new(Self {
            status: Arc::new(status.clone()),
            policy: Arc::default(),
            desired: AtomicU32::new(status.desired.get()),
            nudged: AtomicBool::new(false),
        })
    }

    /// Which function.
    pub fn id(&self) -> &FunctionId {
        self.status.function()
    }

    /// What was deployed.
    pub fn deployment(&self) -> Arc<Deployment> {
        Arc::clone(&self.status.deployment)
    }

    /// What the provider last reported.
    pub fn status(&self) -> Arc<FunctionStatus> {
        Arc::clone(&self.status)
    }

    /// How it wants to be scaled.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    /// What is seen of it now: the only input of a scale decision.
    pub fn observe(&self, _now: Moment) -> Observation {
        Observation {
            function: self.id().clone(),
            revision: self.status.revision,
            load: None,
            desired: self.desired(),
            ready: Replicas::ZERO,
            pending: Replicas::ZERO,
            draining: Replicas::ZERO,
            frozen: Replicas::ZERO,
            replica_limit: None,
        }
    }

    /// The load alone; `None` when it could not be read consistently.
    pub fn load(&self, _now: Moment) -> Option<Load> {
        None
    }

    /// Calls that ever ended (`invocationCount` of the REST API).
    pub fn completed(&self) -> u64 {
        0
    }

    /// What the scale loop wants; shown to clients as `replicas`.
    pub fn desired(&self) -> Replicas {
        Replicas::new(self.desired.load(Ordering::Relaxed))
    }

    /// The scale loop wants this many now.
    pub fn set_desired(&self, to: Replicas) {
        self.desired.store(to.get(), Ordering::Relaxed);
    }

    /// Replicas that are ready and given calls; shown to clients as `availableReplicas`.
    pub fn available(&self) -> Replicas {
        Replicas::ZERO
    }

    /// The scale loop stops ticking this function: the next arrival nudges. `false`, and nothing
    /// changed, when calls are in flight or waiting.
    pub fn rest(&self) -> bool {
        false
    }

    /// Begins the way to zero, iff nothing is in flight or waiting.
    pub fn begin_zero(self: &Arc<Self>) -> Option<ZeroTicket> {
        Some(ZeroTicket { entry: Arc::clone(self) })
    }

    /// Opens the function after the wake was issued: `Provider::scale` to more than zero returned. The
    /// replicas that were told to end stay out until the provider reports anew.
    pub fn reopen(&self) {}

    /// Opens the function after the scale to zero failed: its replicas serve again at once.
    pub fn zero_failed(&self) {}

    /// Picks up to `count` replicas to go, least in flight first, newest first among equals; they get
    /// no new calls.
    pub fn pick_victims(&self, _count: usize) -> Vec<ReplicaId> {
        Vec::new()
    }

    /// Victims with nothing in flight any more, or past the drain limit.
    pub fn drained(&self) -> Vec<ReplicaId> {
        Vec::new()
    }

    /// Takes up to `count` victims back into service; how many it were.
    pub fn undrain(&self, _count: usize) -> usize {
        0
    }

    /// Victims still in the replica set.
    pub fn draining(&self) -> usize {
        0
    }

    /// A start failed for good: whoever waits is answered 503 with `reason`.
    pub fn fail_waiters(&self, _reason: &str) {}

    pub(crate) fn mark_nudged(&self) -> bool {
        !self.nudged.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn unmark_nudged(&self) {
        self.nudged.store(false, Ordering::Release);
    }
}

impl ZeroTicket {
    /// Closes the function if no call arrived since the ticket was made. `true`: the caller may now
    /// scale to zero; from now on arrivals wait in the room and nudge.
    pub fn issue(self) -> bool {
        let _ = &self.entry;
        true
    }
}
