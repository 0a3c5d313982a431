//! What all functions of one open state directory share.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tidegate_core::FunctionId;
use tidegate_provider::ProviderError;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::cgroup::Cgroups;
use crate::error::{BACKEND, failed};
use crate::identity::Identity;
use crate::layout::Layout;
use crate::watchers::Watchers;

/// Tools and places that every function uses.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) identity: Identity,
    pub(crate) watchers: Watchers,
    pub(crate) cgroups: Option<Cgroups>,
    /// Permits for replicas that start at the same time.
    pub(crate) starts: Arc<Semaphore>,
    /// Counts replicas that are not gone yet; spawns nothing.
    pub(crate) replicas: TaskTracker,
    /// The runtime that the backend was opened in: calls may come from others.
    runtime: Handle,
    /// Whose tasks ours are; held by the one who opened the backend.
    tasks: TaskTracker,
    /// Held as long as anything of this backend runs, so that no other takes the state directory.
    _lock: OwnedFd,
}

/// What is needed to make a [`Host`].
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) identity: Identity,
    pub(crate) cgroups: Option<Cgroups>,
    pub(crate) tasks: TaskTracker,
    pub(crate) lock: OwnedFd,
}

impl Host {
    /// Must be called inside the runtime that runs the replicas.
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let starts = Arc::new(Semaphore::new(parts.config.parallel_starts.max(1)));
        Arc::new(Self {
            config: parts.config,
            layout: parts.layout,
            identity: parts.identity,
            watchers: Watchers::default(),
            cgroups: parts.cgroups,
            starts,
            replicas: TaskTracker::new(),
            runtime: Handle::current(),
            tasks: parts.tasks,
            _lock: parts.lock,
        })
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
        self.tasks.spawn_on(work, &self.runtime).await.map_err(stopped)?
    }

    /// Runs `work`, which waits for the disk or for other processes, on a thread of its own.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ProviderError> {
        self.runtime.spawn_blocking(work).await.map_err(stopped)
    }

    /// Does `work` on the disk; `action` names it in the error.
    pub(crate) async fn disk<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, ProviderError> {
        self.blocking(work).await?.map_err(|source| failed(action, source))
    }

    /// Tells watchers that `function` changed.
    pub(crate) fn changed(&self, function: &FunctionId) {
        self.watchers.changed(function);
    }
}

fn stopped(_: JoinError) -> ProviderError {
    ProviderError::Unreachable { backend: BACKEND, why: "it has been shut down".to_owned() }
}
