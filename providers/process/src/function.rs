//! One deployed function: what is asked of it, its replicas, and the record on disk.
//!
//! The state is behind a lock that is never held across an await. After each change [`Function::settle`]
//! compares what is with what was asked and takes the next steps; replicas report back as they go.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::{
    Deployment, Depth, FunctionStatus, ProviderError, ReplicaId, ReplicaUsage, ScaleTo,
};
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock;
use crate::durable;
use crate::host::Host;
use crate::logs::{self, LogBoard};
use crate::names;
use crate::plan::{self, View};
use crate::record::{FunctionRecord, RevisionRecord};
use crate::replica;
use crate::revision::Revision;
use crate::slot::Slot;

/// One deployed function.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) id: FunctionId,
    pub(crate) host: Arc<Host>,
    /// Tells readers of the log of new lines.
    pub(crate) board: LogBoard,
    state: Mutex<State>,
    /// What is on disk; held while it is written, so that writers queue.
    saved: AsyncMutex<Saved>,
}

/// The function as it is now.
#[derive(Debug)]
pub(crate) struct State {
    created: SystemTime,
    desired: Replicas,
    depth: Depth,
    current: Arc<Revision>,
    previous: Option<Arc<Revision>>,
    pub(crate) slots: Vec<Slot>,
    /// Counts changes that belong on disk.
    version: u64,
    /// Deleted, or the backend is shutting down: nothing is started any more.
    closed: bool,
}

#[derive(Debug)]
struct Saved {
    version: u64,
    gone: bool,
}

impl Function {
    /// A function that is on disk already; nothing of it runs yet.
    pub(crate) fn new(
        host: Arc<Host>,
        created: SystemTime,
        desired: Replicas,
        current: Revision,
        previous: Option<Revision>,
    ) -> Arc<Self> {
        let id = current.deployment.function.clone();
        let state = State {
            created,
            desired,
            depth: Depth::Removed,
            current: Arc::new(current),
            previous: previous.map(Arc::new),
            slots: Vec::new(),
            version: 0,
            closed: false,
        };
        let saved = AsyncMutex::new(Saved { version: 0, gone: false });
        Arc::new(Self { id, host, board: LogBoard::default(), state: Mutex::new(state), saved })
    }

    /// The state, for a moment.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in these sections can stop half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What users and the gateway see.
    pub(crate) fn status(&self) -> FunctionStatus {
        let state = self.state();
        FunctionStatus {
            deployment: state.current.deployment.clone(),
            revision: state.current.number,
            created: state.created,
            desired: state.desired,
            replicas: state.slots.iter().map(Slot::replica).collect(),
        }
    }

    /// Starts what was asked for.
    pub(crate) fn start(self: &Arc<Self>) {
        self.settle(&mut self.state());
    }

    /// Makes the count what is asked: replicas are on their way before the disk knows, since a crash
    /// between the two only loses replicas that nobody was promised.
    pub(crate) async fn scale(self: &Arc<Self>, to: ScaleTo) -> Result<(), ProviderError> {
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
        state.depth = to.depth;
        for victim in &to.victims {
            if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == *victim) {
                slot.end();
            }
        }
        self.settle(&mut state);
        Ok((before, state.version))
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
    pub(crate) async fn update(
        self: &Arc<Self>,
        deployment: Deployment,
    ) -> Result<(), ProviderError> {
        let mut saved = self.saved.lock().await;
        if saved.gone {
            return Err(ProviderError::NotDeployed(self.id.clone()));
        }
        let number = self.state().current.number + 1;
        let revision = Arc::new(Revision::new(number, deployment, &self.host.config)?);
        names::mount_for(&self.host, &revision).await?;
        let (version, record) = {
            let state = self.state();
            let previous = state.still_serving();
            (state.version, state.record(&revision, previous.as_ref()))
        };
        self.write(record).await?;
        let mut state = self.state();
        state.previous = state.still_serving();
        state.current = revision;
        state.version += 1;
        // A count that changed meanwhile is not in what was written; its caller waits to write it.
        if state.version == version + 1 {
            saved.version = state.version;
        }
        self.settle(&mut state);
        Ok(())
    }

    /// Takes the function off the disk, and then ends it.
    pub(crate) async fn delete(self: &Arc<Self>) -> Result<(), ProviderError> {
        let mut saved = self.saved.lock().await;
        if saved.gone {
            return Err(ProviderError::NotDeployed(self.id.clone()));
        }
        let path = self.host.layout.function(&self.id);
        self.host.disk("remove the function's record", move || durable::remove(&path)).await?;
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
        self.host.layout.logs(&self.id, created)
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
        let keeps = if self.is_deleted() { 0 } else { self.host.config.log_keeps };
        logs::prune(&self.logs(), lives, keeps);
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

    /// Brings `version` or a later one to disk. Callers that come while one writes share the next write.
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
            (state.version, state.record(&state.current, state.previous.as_ref()))
        };
        self.write(record).await?;
        saved.version = version;
        Ok(())
    }

    async fn write(&self, record: FunctionRecord) -> Result<(), ProviderError> {
        let path = self.host.layout.function(&self.id);
        self.host.disk("write the function's record", move || write_record(&path, &record)).await
    }

    /// Writes a new function's record.
    pub(crate) async fn first_save(&self) -> Result<(), ProviderError> {
        let record = {
            let state = self.state();
            state.record(&state.current, None)
        };
        self.write(record).await
    }

    /// Takes the next steps towards what was asked, and tells watchers.
    fn settle(self: &Arc<Self>, state: &mut State) {
        if !state.closed {
            self.take(plan::plan(&state.view()), state);
        }
        self.host.changed(&self.id);
    }

    fn take(self: &Arc<Self>, plan: plan::Plan, state: &mut State) {
        for index in plan.end {
            state.slots[index].end();
        }
        for index in plan.thaw {
            state.slots[index].thaw();
        }
        for index in plan.freeze {
            state.slots[index].freeze();
        }
        for _ in 0..plan.start {
            let revision = state.current.clone();
            self.start_one(revision, state);
        }
        for _ in 0..plan.start_previous {
            if let Some(previous) = state.previous.clone() {
                self.start_one(previous, state);
            }
        }
        if plan.settled && state.previous.take().is_some() {
            state.version += 1;
            self.save_soon(state.version);
        }
    }

    fn start_one(self: &Arc<Self>, revision: Arc<Revision>, state: &mut State) {
        let names = self.host.identity.mint(&self.id);
        let socket = self.host.layout.place(&names.place).join("s");
        let end = CancellationToken::new();
        let slot = Slot::new(names.id.clone(), socket, revision.clone(), end.clone());
        state.slots.push(slot);
        let presence = self.host.replicas.token();
        let task = replica::run(self.clone(), revision, names, end);
        self.host.spawn(async move {
            task.await;
            drop(presence);
        });
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
        let running = |slot: &Slot| Some((slot.id.clone(), slot.processes.clone()?));
        let running: Vec<_> = self.state().slots.iter().filter_map(running).collect();
        let used = running.into_iter().map(|(id, processes)| (id, processes.used()));
        used.map(|(id, used)| {
            let at = clock::running();
            let mut state = self.state();
            let slot = state.slots.iter_mut().find(|slot| slot.id == id);
            let sample = slot.and_then(|slot| {
                slot.sample = slot.sample.map(|sample| sample.next(at, used.cpu_millis));
                slot.sample
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
    pub(crate) fn report(self: &Arc<Self>, replica: &ReplicaId, change: impl FnOnce(&mut Slot)) {
        let mut state = self.state();
        if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == *replica) {
            change(slot);
        }
        self.settle(&mut state);
    }

    /// A replica's task is done.
    pub(crate) fn ended(self: &Arc<Self>, replica: &ReplicaId) {
        let mut state = self.state();
        state.slots.retain(|slot| slot.id != *replica);
        self.settle(&mut state);
    }
}

impl State {
    /// The revision that goes on serving when the current one is replaced: the current one, unless it is
    /// still being rolled out itself, or nothing is asked for.
    fn still_serving(&self) -> Option<Arc<Revision>> {
        if self.desired.is_zero() {
            return None;
        }
        self.previous.clone().or_else(|| Some(self.current.clone()))
    }

    fn record(&self, current: &Arc<Revision>, previous: Option<&Arc<Revision>>) -> FunctionRecord {
        let record = |it: &Arc<Revision>| RevisionRecord::new(it.number, &it.deployment);
        FunctionRecord {
            created: self.created,
            desired: self.desired,
            current: record(current),
            previous: previous.map(record),
        }
    }

    fn view(&self) -> View {
        let seen = |slot: &Slot| slot.seen(self.current.number);
        View {
            desired: self.desired.get() as usize,
            keep_frozen: match self.depth {
                Depth::Frozen => self.current.keep_frozen,
                Depth::Removed => 0,
            },
            rolling: self.previous.is_some(),
            replicas: self.slots.iter().map(seen).collect(),
        }
    }
}

/// Writes a function's file.
fn write_record(path: &std::path::Path, record: &FunctionRecord) -> std::io::Result<()> {
    durable::write(path, &serde_json::to_vec_pretty(record)?)
}
