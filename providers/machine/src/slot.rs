//! One replica's place in its function: what is known of it, and the handle to what runs.

use std::sync::Arc;
use std::time::Duration;

use tidegate_provider::{Address, Phase, Replica, ReplicaId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::plan::Seen;
use crate::runtime::{Found, Live, Runtime};
use crate::usage::Sample;

/// One replica's place in the function.
#[derive(Debug)]
pub(crate) struct Slot<R: Runtime> {
    pub(crate) id: ReplicaId,
    pub(crate) phase: Phase,
    pub(crate) restarts: u32,
    pub(crate) detail: String,
    /// It writes to its log no more.
    pub(crate) log_ended: bool,
    pub(crate) address: Option<Address>,
    /// When it became ready, in this life.
    pub(crate) ready_since: Option<Instant>,
    /// How long the last life was ready, once it has ended.
    pub(crate) served: Option<Duration>,
    /// The number of its revision.
    revision: u64,
    /// Tells the replica's task to end it; the task holds the other end.
    end: CancellationToken,
    /// What runs, while something does.
    pub(crate) live: Option<Arc<R::Live>>,
    frozen: bool,
    /// Cancelled when the program of a replica that is only created may start; its task holds the other end.
    pub(crate) held: Option<CancellationToken>,
    pub(crate) sample: Option<Sample>,
}

impl<R: Runtime> Slot<R> {
    /// The place of a replica that is about to start.
    pub(crate) fn new(
        id: ReplicaId,
        address: Option<Address>,
        revision: u64,
        end: CancellationToken,
    ) -> Self {
        Self {
            id,
            phase: Phase::Starting,
            restarts: 0,
            detail: String::new(),
            log_ended: false,
            address,
            ready_since: None,
            served: None,
            revision,
            end,
            live: None,
            frozen: false,
            held: None,
            sample: None,
        }
    }

    /// The place of a replica of an earlier run; `now` stands for the time it became ready.
    pub(crate) fn found(found: &Found<R>, end: CancellationToken, now: Instant) -> Self {
        let serves = matches!(found.phase, Phase::Ready | Phase::Frozen);
        Self {
            phase: found.phase,
            restarts: found.restarts,
            detail: found.cause.as_ref().map(|cause| cause.why.clone()).unwrap_or_default(),
            ready_since: serves.then_some(now),
            live: found.live.clone(),
            frozen: found.phase == Phase::Frozen,
            held: (found.phase == Phase::Created).then(CancellationToken::new),
            ..Self::new(
                found.replica.clone(),
                found.address.clone(),
                found.generation.revision,
                end,
            )
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
            current: self.revision == current,
            failing: self.phase == Phase::Backoff
                || self.phase != Phase::Ready && self.restarts > 0,
        }
    }

    /// Keeps its program from being started until it is [woken](Slot::wake).
    pub(crate) fn hold(&mut self) {
        self.phase = Phase::Created;
        self.held = Some(CancellationToken::new());
    }

    /// Lets its program start.
    pub(crate) fn wake(&mut self) {
        self.phase = Phase::Starting;
        if let Some(held) = self.held.take() {
            held.cancel();
        }
    }

    /// Whether it is frozen, and of this revision.
    pub(crate) fn is_frozen_of(&self, current: u64) -> bool {
        self.phase == Phase::Frozen && self.revision == current
    }

    /// Tells the replica to end; it hears SIGTERM, so it must not be frozen.
    pub(crate) fn end(&mut self) {
        if let Err(failure) = self.thaw_live() {
            // It cannot finish its calls, and there are none.
            warn!(replica = %self.id, "cannot thaw the replica before it ends: {failure}");
        }
        self.phase = Phase::Stopping;
        self.end.cancel();
    }

    /// What ran ended; `why` when it was not told to.
    pub(crate) fn lost(&mut self, why: &str) {
        self.live = None;
        // At once, so that no call is sent there while the rest is cleaned up.
        if matches!(self.phase, Phase::Starting | Phase::Ready) {
            self.phase = Phase::Backoff;
            self.detail = why.to_owned();
        }
    }

    /// Stops it, and keeps its memory; one that cannot be stopped is ended.
    pub(crate) fn freeze(&mut self) {
        match self.live.as_ref().map_or(Ok(()), |live| live.freeze()) {
            Ok(()) => {
                self.frozen = true;
                self.phase = Phase::Frozen;
            }
            Err(failure) => {
                warn!(replica = %self.id, "cannot freeze the replica, ending it: {failure}");
                self.end();
            }
        }
    }

    /// Lets it run again; it answers at once. False when it cannot and is ended.
    #[must_use]
    pub(crate) fn thaw(&mut self) -> bool {
        if self.live.is_none() {
            // It died in the cold, and its task is about to say so.
            self.end();
            return false;
        }
        if let Err(failure) = self.thaw_live() {
            warn!(replica = %self.id, "cannot thaw the replica, replacing it: {failure}");
            self.end();
            return false;
        }
        self.phase = Phase::Ready;
        true
    }

    fn thaw_live(&mut self) -> std::io::Result<()> {
        match &self.live {
            Some(live) if std::mem::take(&mut self.frozen) => live.thaw(),
            _ => Ok(()),
        }
    }
}
