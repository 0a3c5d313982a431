//! One replica's place in its function: what is known of it, and the handle to its processes.

use std::path::PathBuf;
use std::sync::Arc;

use tidegate_provider::{Address, Phase, Replica, ReplicaId};
use tokio_util::sync::CancellationToken;

use crate::plan::Seen;
use crate::processes::{Frozen, Processes};
use crate::revision::Revision;
use crate::usage::Sample;

/// One replica's place in the function.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: ReplicaId,
    pub(crate) phase: Phase,
    pub(crate) restarts: u32,
    pub(crate) detail: String,
    /// It writes to its log no more.
    pub(crate) log_ended: bool,
    address: Address,
    revision: Arc<Revision>,
    /// Tells the replica's task to end it; the task holds the other end.
    end: CancellationToken,
    /// Its processes, while it has any.
    pub(crate) processes: Option<Arc<Processes>>,
    frozen: Option<Frozen>,
    pub(crate) sample: Option<Sample>,
}

impl Slot {
    /// The place of a replica that is about to start.
    pub(crate) fn new(
        id: ReplicaId,
        socket: PathBuf,
        revision: Arc<Revision>,
        end: CancellationToken,
    ) -> Self {
        Self {
            id,
            phase: Phase::Starting,
            restarts: 0,
            detail: String::new(),
            log_ended: false,
            address: Address::Unix(Arc::new(socket)),
            revision,
            end,
            processes: None,
            frozen: None,
            sample: None,
        }
    }

    /// What users and the gateway see.
    pub(crate) fn replica(&self) -> Replica {
        Replica {
            id: self.id.clone(),
            address: self.address.clone(),
            phase: self.phase,
            restarts: self.restarts,
            detail: self.detail.clone(),
        }
    }

    /// What a plan needs to know.
    pub(crate) fn seen(&self, current: u64) -> Seen {
        Seen {
            phase: self.phase,
            current: self.revision.number == current,
            failing: self.phase == Phase::Backoff
                || self.phase != Phase::Ready && self.restarts > 0,
        }
    }

    /// Tells the replica to end; it hears SIGTERM, so it must not be frozen.
    pub(crate) fn end(&mut self) {
        self.thaw_processes();
        self.phase = Phase::Stopping;
        self.end.cancel();
    }

    /// Its processes ended; `why` when they were not told to.
    pub(crate) fn lost_processes(&mut self, why: &str) {
        self.processes = None;
        // At once, so that no call is sent there while the rest is cleaned up.
        if matches!(self.phase, Phase::Starting | Phase::Ready) {
            self.phase = Phase::Backoff;
            self.detail = why.to_owned();
        }
    }

    /// Stops its processes, and keeps them.
    pub(crate) fn freeze(&mut self) {
        self.frozen = self.processes.as_ref().map(|processes| processes.freeze());
        self.phase = Phase::Frozen;
    }

    /// Lets its processes run again; it answers at once.
    pub(crate) fn thaw(&mut self) {
        self.thaw_processes();
        self.phase = Phase::Ready;
    }

    fn thaw_processes(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            frozen.thaw();
        }
    }
}
