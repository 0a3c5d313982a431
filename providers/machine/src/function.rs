//! One deployed function: what is asked of it, its replicas, and the record that is kept.
//!
//! The state is behind a lock that is never held across an await. After each change [`Function::settle`]
//! compares what is with what was asked and takes the next steps; replicas report back as they go.

mod state;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::{
    Crash, Depth, FunctionStatus, Phase, ProviderError, ReplicaId, ReplicaUsage, ScaleTo,
};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock;
use crate::host::Host;
use crate::logs::{self, LogBoard};
use crate::plan;
use crate::record::Generation;
use crate::replica::{self, Beginning};
use crate::revision::{Checked, Revision};
use crate::runtime::{Found, Live, Runtime};
use crate::slot::Slot;
use crate::usage::Sample;

pub(crate) use state::State;

/// How often a count that could not be kept is tried again.
const LOOK: Duration = Duration::from_secs(1);

/// One deployed function.
#[derive(Debug)]
pub(crate) struct Function<R: Runtime> {
    pub(crate) id: FunctionId,
    pub(crate) host: Arc<Host<R>>,
    /// Tells readers of the log of new lines.
    pub(crate) board: LogBoard,
    state: Mutex<State<R>>,
    /// What is kept; held while it is written, so that writers queue.
    saved: AsyncMutex<Saved>,
}

#[derive(Debug)]
struct Saved {
    version: u64,
    gone: bool,
}

impl<R: Runtime> Function<R> {
    /// A function that is kept already; nothing of it runs yet.
    pub(crate) fn new(
        host: Arc<Host<R>>,
        desired: Replicas,
        current: Revision<R>,
        previous: Option<Revision<R>>,
    ) -> Arc<Self> {
        let id = current.function().clone();
        let state = State::new(desired, current, previous);
        let saved = AsyncMutex::new(Saved { version: 0, gone: false });
        Arc::new(Self { id, host, board: LogBoard::default(), state: Mutex::new(state), saved })
    }

    /// The state, for a moment.
    pub(crate) fn state(&self) -> MutexGuard<'_, State<R>> {
        // Nothing in these sections can stop half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What users and the gateway see.
    pub(crate) fn status(&self) -> FunctionStatus {
        self.state().status()
    }

    /// Goes on with replicas of an earlier run, and starts what else was asked for.
    pub(crate) fn start(self: &Arc<Self>, found: Vec<Found<R>>) {
        let mut state = self.state();
        for found in found {
            self.adopt(found, &mut state);
        }
        let any = |phase: Phase| state.slots.iter().any(|slot| slot.phase == phase);
        if state.desired.is_zero() {
            // So it was asked for, or they would not be there. Of both the deeper one was asked for last.
            state.depth = match (any(Phase::Created), any(Phase::Frozen)) {
                (true, _) => Depth::Created,
                (false, true) => Depth::Frozen,
                (false, false) => state.depth,
            };
        }
        self.settle(&mut state);
    }

    fn adopt(self: &Arc<Self>, found: Found<R>, state: &mut State<R>) {
        let Some(revision) = state.revision(found.generation) else {
            return self.host.discard(found);
        };
        let end = CancellationToken::new();
        let slot = Slot::found(&found, end.clone(), clock::running());
        let beginning = Beginning::found(found, slot.held.clone());
        state.add(slot);
        self.run(revision, end, beginning);
    }

    /// Whether a replica of this generation belongs to this function.
    pub(crate) fn has(&self, generation: Generation) -> bool {
        self.state().revision(generation).is_some()
    }

    /// Makes the count what is asked: replicas are on their way before that is kept, since a crash
    /// between the two only loses replicas that nobody was promised.
    pub(crate) async fn scale(self: &Arc<Self>, to: ScaleTo) -> Result<(), ProviderError> {
        if let Err(away) = self.host.runtime.reachable() {
            return if self.thaw_alone(&to) { Ok(()) } else { Err(away) };
        }
        let (before, version) = self.set_count(&to)?;
        let saved = self.save(version).await;
        if saved.is_err() {
            self.undo_count(before, version);
        }
        saved
    }

    fn set_count(
        self: &Arc<Self>,
        to: &ScaleTo,
    ) -> Result<((Replicas, Depth), u64), ProviderError> {
        let mut state = self.state();
        if state.closed {
            return Err(ProviderError::NotDeployed(self.id.clone()));
        }
        let before = (state.desired, state.depth);
        if state.desired != to.replicas {
            state.desired = to.replicas;
            state.version += 1;
        }
        state.depth = match to.depth {
            Depth::Created if !self.host.runtime.creates() => Depth::Removed,
            depth => depth,
        };
        state.lost = 0;
        for victim in &to.victims {
            if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == *victim) {
                slot.end();
            }
        }
        self.settle(&mut state);
        Ok((before, state.version))
    }

    /// While the backend is away nothing is started, ended or kept. But what is frozen can be let run, since a
    /// call waits for it; the count is then kept as soon as it can be. False when that is not enough.
    fn thaw_alone(self: &Arc<Self>, to: &ScaleTo) -> bool {
        let mut state = self.state();
        let at_zero = state.desired.is_zero() && !state.closed;
        let current = state.current.number();
        let frozen = state.slots.iter().filter(|slot| slot.is_frozen_of(current)).count();
        if !at_zero || to.replicas.is_zero() || frozen < to.replicas.get() as usize {
            return false;
        }
        (state.desired, state.depth) = (to.replicas, to.depth);
        state.version += 1;
        self.settle(&mut state);
        self.save_when_back(state.version);
        true
    }

    fn save_when_back(self: &Arc<Self>, version: u64) {
        let function = self.clone();
        self.host.spawn(async move {
            while !function.state().closed {
                sleep(LOOK).await;
                if function.host.runtime.reachable().is_ok() && function.save(version).await.is_ok()
                {
                    return;
                }
            }
        });
    }

    fn undo_count(self: &Arc<Self>, (desired, depth): (Replicas, Depth), version: u64) {
        let mut state = self.state();
        // Another call may have changed the count meanwhile; that one stands.
        if state.version == version {
            state.desired = desired;
            state.depth = depth;
            state.version += 1;
            self.settle(&mut state);
        }
    }

    /// Replaces the current revision, durably first.
    pub(crate) async fn update(self: &Arc<Self>, checked: Checked<R>) -> Result<(), ProviderError> {
        let mut saved = self.saved.lock().await;
        if saved.gone {
            return Err(ProviderError::NotDeployed(self.id.clone()));
        }
        let mut generation = self.state().current.generation;
        generation.revision += 1;
        let revision = Arc::new(checked.revision(generation, &self.host.settings));
        self.host.runtime.prepare(&revision).await?;
        let (version, record) = {
            let state = self.state();
            let previous = state.still_serving();
            (state.version, state.record(&self.host.runtime, &revision, previous.as_ref()))
        };
        self.host.runtime.keep(&self.id, record).await?;
        let mut state = self.state();
        state.previous = state.still_serving();
        state.current = revision;
        state.lost = 0;
        state.version += 1;
        // A count that changed meanwhile is not in what is kept; its caller waits to keep it.
        if state.version == version + 1 {
            saved.version = state.version;
        }
        self.settle(&mut state);
        Ok(())
    }

    /// Forgets the function, and then ends it.
    pub(crate) async fn delete(self: &Arc<Self>) -> Result<(), ProviderError> {
        let mut saved = self.saved.lock().await;
        if saved.gone {
            return Err(ProviderError::NotDeployed(self.id.clone()));
        }
        self.host.runtime.forget(&self.id).await?;
        saved.gone = true;
        self.board.close();
        self.close();
        let function = self.clone();
        // Logs of replicas that still run go with them.
        self.host.blocking(move || function.prune_logs(None)).await
    }

    /// Where its replicas log.
    pub(crate) fn logs(&self) -> PathBuf {
        let created = self.state().created;
        self.host.state.logs(&self.id, created)
    }

    /// Removes logs of replicas that are gone, and of `ended`, beyond those that are kept. Blocks.
    pub(crate) fn prune_logs(&self, ended: Option<&ReplicaId>) {
        // Noted first: of replicas that end at once, the last one sees the logs of all.
        let mut state = self.state();
        for slot in &mut state.slots {
            slot.log_ended |= Some(&slot.id) == ended;
        }
        let writing = state.slots.iter().filter(|slot| !slot.log_ended);
        let live: Vec<ReplicaId> = writing.map(|slot| slot.id.clone()).collect();
        drop(state);
        let lives = |name: &str| live.iter().any(|id| id.as_str() == name);
        let keeps = if self.is_deleted() { 0 } else { self.host.settings.log_keeps };
        logs::prune(&self.logs(), lives, keeps);
    }

    /// Starts and ends nothing any more; replicas go on without us.
    pub(crate) fn let_go(&self) {
        self.state().closed = true;
    }

    /// Ends all replicas for good.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut state = self.state();
        state.closed = true;
        for slot in &mut state.slots {
            slot.end();
        }
        self.host.changed(&self.id);
    }

    /// Whether the function is gone, and not only resting while the backend shuts down.
    pub(crate) fn is_deleted(&self) -> bool {
        self.board.is_closed()
    }

    /// Keeps `version` or a later one. Callers that come while one is being kept share the next.
    async fn save(&self, version: u64) -> Result<(), ProviderError> {
        let mut saved = self.saved.lock().await;
        if saved.gone {
            return Err(ProviderError::NotDeployed(self.id.clone()));
        }
        if saved.version >= version {
            return Ok(());
        }
        let (version, record) = {
            let state = self.state();
            (
                state.version,
                state.record(&self.host.runtime, &state.current, state.previous.as_ref()),
            )
        };
        self.host.runtime.keep(&self.id, record).await?;
        saved.version = version;
        Ok(())
    }

    /// Keeps a new function.
    pub(crate) async fn first_save(&self) -> Result<(), ProviderError> {
        let record = {
            let state = self.state();
            state.record(&self.host.runtime, &state.current, None)
        };
        self.host.runtime.keep(&self.id, record).await
    }

    /// Takes the next steps towards what was asked, and tells watchers.
    fn settle(self: &Arc<Self>, state: &mut State<R>) {
        if !state.closed {
            // Again when a replica could not be thawed: another takes its place.
            while !self.take(plan::plan(&state.view()), state) {}
        }
        self.host.changed(&self.id);
    }

    /// Whether all went as planned.
    fn take(self: &Arc<Self>, plan: plan::Plan, state: &mut State<R>) -> bool {
        let mut thawed = true;
        for index in plan.end {
            state.slots[index].end();
        }
        for index in plan.thaw {
            thawed &= state.slots[index].thaw();
        }
        for index in plan.freeze {
            state.slots[index].freeze();
        }
        for index in plan.wake {
            state.slots[index].wake();
        }
        for _ in 0..plan.start {
            self.start_one(state.current.clone(), false, state);
        }
        for _ in 0..plan.create {
            self.start_one(state.current.clone(), true, state);
        }
        for _ in 0..plan.start_previous {
            if let Some(previous) = state.previous.clone() {
                self.start_one(previous, false, state);
            }
        }
        if plan.settled && state.previous.take().is_some() {
            state.version += 1;
            self.save_soon(state.version);
        }
        thawed
    }

    /// Makes a replica; `held`, its program is not started before it is woken.
    fn start_one(self: &Arc<Self>, revision: Arc<Revision<R>>, held: bool, state: &mut State<R>) {
        let id = self.host.state.mint(&self.id);
        let address = self.host.runtime.address(&id);
        let end = CancellationToken::new();
        let mut slot = Slot::new(id.clone(), address, revision.number(), end.clone());
        if held {
            slot.hold();
        }
        let beginning = Beginning::new(id, slot.held.clone());
        state.add(slot);
        self.run(revision, end, beginning);
    }

    fn run(
        self: &Arc<Self>,
        revision: Arc<Revision<R>>,
        end: CancellationToken,
        beginning: Beginning<R>,
    ) {
        let presence = self.host.replicas.token();
        self.host.spawn(replica::run(self.clone(), revision, end, beginning, presence));
    }

    fn save_soon(self: &Arc<Self>, version: u64) {
        let function = self.clone();
        self.host.spawn(async move {
            if let Err(failure) = function.save(version).await {
                // The next change writes it; until then a restart would roll out once more.
                warn!(function.name = %function.id, "cannot record that a roll-out is done: {failure}");
            }
        });
    }

    /// Whether a revision that serves uses this secret.
    pub(crate) fn uses_secret(&self, name: &str) -> bool {
        let state = self.state();
        let revisions = [Some(&state.current), state.previous.as_ref()];
        revisions
            .into_iter()
            .flatten()
            .any(|it| it.deployment.secrets.iter().any(|used| used == name))
    }

    /// What its replicas use. Blocks.
    pub(crate) fn usage(&self) -> Vec<ReplicaUsage> {
        let running = |slot: &Slot<R>| Some((slot.id.clone(), slot.live.clone()?));
        let running: Vec<_> = self.state().slots.iter().filter_map(running).collect();
        let used = running.into_iter().map(|(id, live)| (id, live.usage()));
        used.map(|(id, used)| {
            let at = clock::running();
            let mut state = self.state();
            let slot = state.slots.iter_mut().find(|slot| slot.id == id);
            let sample = slot.map(|slot| {
                let first = || Sample::first(at, used.cpu_millis);
                let sample =
                    slot.sample.map_or_else(first, |sample| sample.next(at, used.cpu_millis));
                *slot.sample.insert(sample)
            });
            ReplicaUsage {
                id,
                cpu_millis: used.cpu_millis,
                cpu_millicores: sample.map_or(0.0, |sample| sample.millicores()),
                memory_bytes: used.memory_bytes,
            }
        })
        .collect()
    }

    /// A replica's task reports; then the next steps are taken.
    pub(crate) fn report(self: &Arc<Self>, replica: &ReplicaId, change: impl FnOnce(&mut Slot<R>)) {
        let mut state = self.state();
        if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == *replica) {
            change(slot);
        }
        self.settle(&mut state);
    }

    /// A replica ended that nobody had told to; watchers hear of it with what is reported next.
    pub(crate) fn crashed(&self, crash: Crash) {
        Arc::make_mut(&mut self.state().crashes).add(crash);
    }

    /// A replica's task is done.
    pub(crate) fn ended(self: &Arc<Self>, replica: &ReplicaId) {
        let mut state = self.state();
        let lost = |slot: &Slot<R>| slot.id == *replica && slot.phase == Phase::Created;
        state.lost += usize::from(state.slots.iter().any(lost));
        state.slots.retain(|slot| slot.id != *replica);
        self.settle(&mut state);
    }
}
