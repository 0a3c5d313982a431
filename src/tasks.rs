//! The only place where tasks are spawned, one [`Tasks`] per phase of shutdown.
//!
//! Libraries return futures; what runs, under which name, and who waits for its end is decided here.

use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug_span};

/// Tasks that stop together.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// Tasks that did not end within their grace.
#[derive(Debug, Error)]
#[error("{tasks} tasks still ran after {grace:?}")]
pub struct StillRunning {
    tasks: usize,
    grace: Duration,
}

impl Tasks {
    /// No task yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when these tasks should end.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `task` under `name` until it ends by itself.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task.instrument(debug_span!("task", name)));
    }

    /// Runs `task` under `name`, cut short when these tasks should end.
    pub fn spawn_until_stopped(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let stop = self.stop();
        self.spawn(name, async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// The tracker, for crates that take one.
    pub fn tracker(&self) -> TaskTracker {
        self.tracker.clone()
    }

    /// Tells the tasks to end and waits for them.
    ///
    /// # Errors
    /// When some still ran after `grace`.
    pub async fn shut_down(self, grace: Duration) -> Result<(), StillRunning> {
        self.stop.cancel();
        self.tracker.close();
        timeout(grace, self.tracker.wait())
            .await
            .map_err(|_| StillRunning { tasks: self.tracker.len(), grace })
    }
}
