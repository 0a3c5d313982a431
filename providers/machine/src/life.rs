//! How a backend tells the engine what happens to a replica, and hears what is asked of it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_core::{FunctionId, format_duration};
use tidegate_provider::{Address, CrashReason, Phase, ReplicaId};
use tokio::io::AsyncRead;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::exit::Cause;
use crate::function::Function;
use crate::logs::{Log, Origin};
use crate::revision::Revision;
use crate::runtime::Runtime;
use crate::slot::Slot;
use crate::usage::Sample;
use crate::{Settings, StateDir};

/// A replica's life as the engine sees it; clones are the same life.
#[derive(Debug)]
pub struct Life<R: Runtime> {
    inner: Arc<Inner<R>>,
}

#[derive(Debug)]
struct Inner<R: Runtime> {
    function: Arc<Function<R>>,
    revision: Arc<Revision<R>>,
    id: ReplicaId,
    /// Cancelled by the function when the replica should end.
    end: CancellationToken,
    /// Cancelled when its program may start; none when it may at once.
    held: Option<CancellationToken>,
    log: Log,
    /// Kept while the replica counts as one that starts.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl<R: Runtime> Clone for Life<R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<R: Runtime> Life<R> {
    pub(crate) fn new(
        function: Arc<Function<R>>,
        revision: Arc<Revision<R>>,
        id: ReplicaId,
        end: CancellationToken,
        held: Option<CancellationToken>,
        log: Log,
    ) -> Self {
        let permit = Mutex::default();
        Self { inner: Arc::new(Inner { function, revision, id, end, held, log, permit }) }
    }

    /// The replica.
    pub fn replica(&self) -> &ReplicaId {
        &self.inner.id
    }

    /// Its function.
    pub fn function(&self) -> &FunctionId {
        &self.inner.function.id
    }

    /// What it runs.
    pub fn revision(&self) -> &Arc<Revision<R>> {
        &self.inner.revision
    }

    /// The engine's settings.
    pub fn settings(&self) -> &Settings {
        &self.inner.function.host.settings
    }

    /// The state directory.
    pub fn state(&self) -> &Arc<StateDir> {
        &self.inner.function.host.state
    }

    /// Where its log is, for backends whose logs are written [by others](Runtime::logs_by_others).
    pub fn log_path(&self) -> &Path {
        self.inner.log.path()
    }

    /// Returns when the replica should end: ask it to finish its calls, and after [`Revision::grace`] kill it.
    pub fn told_to_end(&self) -> impl Future<Output = ()> + Send + '_ {
        self.inner.end.cancelled()
    }

    /// Whether the replica should end.
    pub fn is_told_to_end(&self) -> bool {
        self.inner.end.is_cancelled()
    }

    /// Whether its program may start now, for who can start it while it is made.
    pub fn is_wanted(&self) -> bool {
        self.inner.held.as_ref().is_none_or(CancellationToken::is_cancelled)
    }

    /// Returns when its program may start: at once for most. Asked when everything else is made; one that is
    /// only created waits here until it is woken, and others may start meanwhile.
    pub async fn wanted(&self) {
        if let Some(held) = self.inner.held.as_ref().filter(|held| !held.is_cancelled()) {
            self.let_others_start();
            held.cancelled().await;
        }
    }

    /// Returns when a start that begins now has taken too long: what to say in [`crate::End::Crash`].
    pub async fn too_late(&self) -> Cause {
        let deadline = self.settings().start_deadline;
        sleep(deadline).await;
        let why = format!("was not ready within {}", format_duration(deadline));
        Cause::new(CrashReason::NotReady, why)
    }

    /// It is made, or runs, and is not ready yet. From now on it may be asked what it uses. Of one that was
    /// found running this may be said again, and so that it is [ready](Life::ready).
    pub fn started(&self, live: Arc<R::Live>) {
        self.report(|slot| {
            // What one that was found has used so far was not used lately.
            if slot.live.replace(live).is_none() {
                slot.sample = Some(Sample::start(clock::running()));
            }
        });
    }

    /// It answers at `address`; `note` is what a user should know of it, mostly nothing.
    pub fn ready(&self, address: Option<Address>, note: &str) {
        self.let_others_start();
        self.report(|slot| {
            slot.ready_since = Some(clock::running());
            slot.address = address.or(slot.address.take());
            // Told to end while it became ready, it stays so.
            if slot.phase == Phase::Starting {
                slot.phase = Phase::Ready;
                note.clone_into(&mut slot.detail);
            }
        });
    }

    /// What a user should know of it now.
    pub fn detail(&self, detail: String) {
        self.report(|slot| slot.detail = detail);
    }

    /// What ran has ended, `why` when it was not told to: no call is sent there any more. To be told at once,
    /// before anything is cleaned up.
    pub fn lost(&self, why: &str) {
        self.report(|slot| {
            let served = slot.ready_since.take().map(|since: Instant| since.elapsed());
            slot.served = served.or(slot.served);
            slot.lost(why);
        });
    }

    /// Copies what it writes until the end of `pipe`; `after` is called after each piece.
    pub async fn copy(&self, pipe: impl AsyncRead + Unpin, origin: Origin, after: impl Fn()) {
        self.inner.log.copy(pipe, origin, &self.inner.function.board, after).await;
    }

    /// Writes a line of the backend's own into its log.
    pub fn say(&self, text: &str) {
        self.inner.log.line(clock::wall(), Origin::Provider, text, &self.inner.function.board);
    }

    /// Runs `task`, such as copying output, until it ends by itself.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.function.host.spawn(task);
    }

    pub(crate) fn log(&self) -> &Log {
        &self.inner.log
    }

    pub(crate) fn report(&self, change: impl FnOnce(&mut Slot<R>)) {
        self.inner.function.report(&self.inner.id, change);
    }

    /// How long it was ready before it ended, if ever.
    pub(crate) fn served(&self) -> Option<Duration> {
        let mut state = self.inner.function.state();
        state.slots.iter_mut().find(|slot| slot.id == self.inner.id)?.served.take()
    }

    pub(crate) fn owner(&self) -> &Arc<Function<R>> {
        &self.inner.function
    }

    pub(crate) fn may_start(&self, permit: OwnedSemaphorePermit) {
        *self.inner.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
    }

    pub(crate) fn let_others_start(&self) {
        self.inner.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
