//! A function as it is now: what was asked for, and a slot for each replica.

use std::sync::Arc;
use std::time::SystemTime;

use tidegate_core::Replicas;
use tidegate_provider::{Crashes, Depth, FunctionStatus};

use crate::plan::View;
use crate::record::{FunctionRecord, Generation};
use crate::revision::Revision;
use crate::runtime::Runtime;
use crate::slot::Slot;

/// The function as it is now.
#[derive(Debug)]
pub(crate) struct State<R: Runtime> {
    pub(super) created: SystemTime,
    pub(super) desired: Replicas,
    pub(super) depth: Depth,
    pub(super) current: Arc<Revision<R>>,
    pub(super) previous: Option<Arc<Revision<R>>>,
    pub(crate) slots: Vec<Slot<R>>,
    /// Created replicas that were lost, or could not be made, since a count was last asked for: they are not
    /// made anew, or what fails would be tried for ever while nobody calls.
    pub(super) lost: usize,
    /// Replicas that ended without being told to.
    pub(super) crashes: Arc<Crashes>,
    /// Counts changes that are to be kept.
    pub(super) version: u64,
    /// Deleted, or the backend is shutting down: nothing is started any more.
    pub(super) closed: bool,
}

impl<R: Runtime> State<R> {
    /// A function of which nothing runs yet.
    pub(super) fn new(
        desired: Replicas,
        current: Revision<R>,
        previous: Option<Revision<R>>,
    ) -> Self {
        Self {
            created: current.generation.created,
            desired,
            depth: Depth::Removed,
            current: Arc::new(current),
            previous: previous.map(Arc::new),
            slots: Vec::new(),
            lost: 0,
            crashes: Arc::default(),
            version: 0,
            closed: false,
        }
    }

    /// Takes in one more replica. Most functions have one, and rest with it for days: the first gets no room for
    /// others.
    pub(super) fn add(&mut self, slot: Slot<R>) {
        if self.slots.is_empty() {
            self.slots.reserve_exact(1);
        }
        self.slots.push(slot);
    }

    /// What users and the gateway see.
    pub(super) fn status(&self) -> FunctionStatus {
        FunctionStatus {
            deployment: self.current.deployment.clone(),
            revision: self.current.number(),
            created: self.created,
            desired: self.desired,
            replicas: self.slots.iter().map(Slot::replica).collect(),
            crashes: self.crashes.clone(),
        }
    }

    /// The revision that goes on serving when the current one is replaced: the current one, unless it is
    /// still being rolled out itself, or nothing is asked for.
    pub(super) fn still_serving(&self) -> Option<Arc<Revision<R>>> {
        if self.desired.is_zero() {
            return None;
        }
        self.previous.clone().or_else(|| Some(self.current.clone()))
    }

    /// The revision of this generation, while it serves.
    pub(super) fn revision(&self, generation: Generation) -> Option<Arc<Revision<R>>> {
        let all = std::iter::once(&self.current).chain(&self.previous);
        all.into_iter().find(|it| it.generation == generation).cloned()
    }

    /// What is kept of the function.
    pub(super) fn record(
        &self,
        runtime: &R,
        current: &Arc<Revision<R>>,
        previous: Option<&Arc<Revision<R>>>,
    ) -> FunctionRecord {
        FunctionRecord {
            created: self.created,
            desired: self.desired,
            current: current.record(runtime),
            previous: previous.map(|it| it.record(runtime)),
        }
    }

    /// What a plan needs to know.
    pub(super) fn view(&self) -> View {
        let seen = |slot: &Slot<R>| slot.seen(self.current.number());
        let keep = self.current.keep_at_zero;
        View {
            desired: self.desired.get() as usize,
            keep_frozen: if self.depth == Depth::Frozen { keep } else { 0 },
            keep_created: if self.depth == Depth::Created { keep - keep.min(self.lost) } else { 0 },
            rolling: self.previous.is_some(),
            replicas: self.slots.iter().map(seen).collect(),
        }
    }
}
