//! One replica as the balancer sees it: its address, its connections, and how many calls it serves.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tidegate_core::Moment;
use tidegate_provider::{Address, Phase, Replica, ReplicaId};

use crate::upstream::{Pool, PoolSettings};

/// One replica.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) id: ReplicaId,
    pub(crate) address: Address,
    pub(crate) pool: Pool,
    in_flight: AtomicU32,
    /// Gets no new calls because it is to go. Set before `in_flight` is looked at by those who wait for
    /// it to be zero, and looked at after `in_flight` was raised by those who take a slot.
    draining: AtomicBool,
    /// Given to the provider to be ended: does not come back.
    ending: AtomicBool,
    /// When draining began, in nanoseconds.
    draining_since: AtomicU64,
    /// Gets no calls until then, in nanoseconds.
    quarantined_until: AtomicU64,
}

impl Handle {
    /// A handle of a replica seen for the first time that has an address.
    pub(crate) fn new(id: &ReplicaId, address: &Address, pool: &PoolSettings) -> Self {
        Self {
            id: id.clone(),
            address: address.clone(),
            pool: Pool::new(pool),
            in_flight: AtomicU32::new(0),
            draining: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            draining_since: AtomicU64::new(0),
            quarantined_until: AtomicU64::new(0),
        }
    }

    /// Whether this is still the replica that `replica` describes.
    pub(crate) fn is(&self, replica: &Replica) -> bool {
        self.id == replica.id && Some(&self.address) == replica.address.as_ref()
    }

    /// Calls it serves.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Takes a slot, iff there is one below `limit`. `false` also when it began to drain meanwhile.
    pub(crate) fn take(&self, limit: Option<u32>) -> bool {
        match limit {
            None => {
                self.in_flight.fetch_add(1, Ordering::SeqCst);
            }
            Some(limit) => {
                let raise = |count: u32| (count < limit).then_some(count + 1);
                let raised = self.in_flight.fetch_update(Ordering::SeqCst, Ordering::SeqCst, raise);
                if raised.is_err() {
                    return false;
                }
            }
        }
        if self.is_draining() {
            self.free();
            return false;
        }
        true
    }

    /// Frees a slot; how many are taken still.
    pub(crate) fn free(&self) -> u32 {
        self.in_flight.fetch_sub(1, Ordering::SeqCst) - 1
    }

    /// Whether it gets no new calls.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Makes it a victim.
    pub(crate) fn drain(&self, now: Moment) {
        self.draining_since.store(now.as_nanos(), Ordering::SeqCst);
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Takes it back into service; `false` when it is not a victim, or is being ended already.
    pub(crate) fn undrain(&self) -> bool {
        !self.ending.load(Ordering::SeqCst) && self.draining.swap(false, Ordering::SeqCst)
    }

    /// Marks it as given to the provider to be ended.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// When draining began.
    pub(crate) fn draining_since(&self) -> Moment {
        Moment::from_nanos(self.draining_since.load(Ordering::SeqCst))
    }

    /// Follows what the provider says. A replica that has left service is no victim any more: should it
    /// come back, thawed, it serves again.
    pub(crate) fn follow(&self, phase: Phase) {
        // Its program starts anew. One that thaws is the same; what it started meanwhile must not come between.
        if matches!(phase, Phase::Starting | Phase::Backoff | Phase::Created) {
            self.pool.forget();
        }
        if matches!(phase, Phase::Frozen | Phase::Created | Phase::Stopping) {
            self.draining.store(false, Ordering::SeqCst);
            self.ending.store(false, Ordering::SeqCst);
            self.pool.clear();
        }
    }

    /// Gives it no calls until `until`.
    pub(crate) fn quarantine(&self, until: Moment) {
        self.quarantined_until.store(until.as_nanos(), Ordering::SeqCst);
    }

    /// Whether it gets calls at `now`, as far as quarantine goes.
    pub(crate) fn is_fit(&self, now: Moment) -> bool {
        self.quarantined_until.load(Ordering::Relaxed) <= now.as_nanos()
    }
}
