//! What a serving watchdog consists of; one for the process, shared by all calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::call::Inflight;
use crate::config::Config;
use crate::fprocess::Fprocess;
use crate::group::Groups;
use crate::lock::LockFile;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::static_files::Kept;

/// How calls are answered.
#[derive(Debug)]
pub enum Function {
    /// By a process each.
    Fork(Fprocess),
    /// By a child that speaks HTTP.
    Http(Arc<Pool>),
    /// From files.
    Files(Arc<Kept>),
}

/// A serving watchdog.
#[derive(Debug)]
pub struct App {
    /// What the environment says.
    pub config: Config,
    /// How calls are answered.
    pub function: Function,
    /// The log.
    pub log: Log,
    /// The metrics.
    pub metrics: Metrics,
    /// The lock file.
    pub lock: LockFile,
    /// Calls in flight.
    pub inflight: Inflight,
    /// Process groups that are alive.
    pub groups: Groups,
    /// Connections and tunnels; all of them are waited for at the end.
    pub tasks: TaskTracker,
    /// Cancelled when connections shall end after their current call.
    pub closing: CancellationToken,
    /// Not told to stop yet.
    pub accepting: AtomicBool,
    /// The function can take a call.
    pub ready: AtomicBool,
}

impl App {
    /// Whether `/_/health` is 200.
    pub fn is_healthy(&self) -> bool {
        self.accepting.load(Ordering::Relaxed) && self.lock.is_held()
    }

    /// Whether the function can take a call.
    pub fn is_ready(&self) -> bool {
        self.is_healthy() && self.ready.load(Ordering::Relaxed)
    }
}
