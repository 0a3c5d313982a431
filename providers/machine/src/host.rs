//! What all functions of one open backend share.

use std::sync::Arc;

use tidegate_core::FunctionId;
use tidegate_provider::ProviderError;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::error::stopped;
use crate::watchers::Watchers;
use crate::{Found, Runtime, Settings, StateDir};

/// Tools and places that every function uses.
#[derive(Debug)]
pub(crate) struct Host<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) settings: Settings,
    /// Held as long as anything of this backend runs, so that no other takes the state directory.
    pub(crate) state: Arc<StateDir>,
    pub(crate) watchers: Watchers,
    /// Permits for replicas that start at the same time.
    pub(crate) starts: Arc<Semaphore>,
    /// Counts replicas that are not gone yet; spawns nothing.
    pub(crate) replicas: TaskTracker,
    /// Cancelled when replicas are left to run without us.
    pub(crate) let_go: CancellationToken,
    runner: Runner,
}

/// Where work is done: in the runtime that the backend was opened in, since calls may come from others.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    backend: &'static str,
    runtime: Handle,
    /// Whose tasks ours are; held by the one who opened the backend.
    tasks: TaskTracker,
}

impl<R: Runtime> Host<R> {
    /// Must be called inside the runtime that runs the replicas.
    pub(crate) fn new(
        runtime: R,
        settings: Settings,
        state: Arc<StateDir>,
        runner: Runner,
    ) -> Arc<Self> {
        let starts = Arc::new(Semaphore::new(settings.parallel_starts.max(1)));
        Arc::new(Self {
            runtime,
            settings,
            state,
            watchers: Watchers::default(),
            starts,
            replicas: TaskTracker::new(),
            let_go: CancellationToken::new(),
            runner,
        })
    }

    /// Removes a replica of an earlier run that belongs to nothing.
    pub(crate) fn discard(self: &Arc<Self>, found: Found<R>) {
        info!(replica = %found.replica, "removing a replica of {} that belongs to nothing", found.function);
        let (host, presence) = (self.clone(), self.replicas.token());
        self.spawn(async move {
            host.runtime.clear(&found.replica, found.seat).await;
            drop(presence);
        });
    }

    /// Where its work is done.
    pub(crate) fn runner(&self) -> &Runner {
        &self.runner
    }

    /// See [`Runner::spawn`].
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runner.spawn(task);
    }

    /// See [`Runner::whole`].
    pub(crate) async fn whole<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Result<T, ProviderError> {
        self.runner.whole(work).await
    }

    /// See [`Runner::blocking`].
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ProviderError> {
        self.runner.blocking(work).await
    }

    /// Tells watchers that `function` changed.
    pub(crate) fn changed(&self, function: &FunctionId) {
        self.watchers.changed(function);
    }
}

impl Runner {
    /// Must be called inside the runtime that runs the replicas.
    pub(crate) fn new(backend: &'static str, tasks: TaskTracker) -> Self {
        Self { backend, runtime: Handle::current(), tasks }
    }

    /// Runs `task` until it ends by itself.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Runs `work` to its end even when the caller goes away in the middle, so that a client that hangs up
    /// leaves nothing half done.
    pub(crate) async fn whole<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let done = self.tasks.spawn_on(work, &self.runtime).await;
        done.map_err(|_| stopped(self.backend))?
    }

    /// Runs `work`, which waits for the disk or for other processes, on a thread of its own.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ProviderError> {
        self.runtime.spawn_blocking(work).await.map_err(|_| stopped(self.backend))
    }
}
