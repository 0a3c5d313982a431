//! What the process backend is told: where its state is, how a watchdog is started, and its limits of
//! time and number.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_provider_machine::Settings;

/// Settings of the process backend.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where functions, secrets, namespaces, logs and sockets are kept; made when missing.
    pub state_dir: PathBuf,
    /// The command that starts a watchdog: program, then arguments. Empty means this executable with
    /// the argument `fwatchdog`.
    pub watchdog: Vec<OsString>,
    /// `PATH` of functions that set none.
    pub path: String,
    /// Most replicas that start at the same time; the others wait their turn.
    pub parallel_starts: usize,
    /// Longest that a replica may take to become ready.
    pub start_deadline: Duration,
    /// Time between SIGTERM and SIGKILL; a function's own `grace_period` variable comes first.
    pub grace: Duration,
    /// Pause before the second restart in a row; doubles with each further one.
    pub backoff_first: Duration,
    /// Longest pause between restarts.
    pub backoff_longest: Duration,
    /// A replica that was ready for this long starts anew without memory of earlier crashes.
    pub backoff_forgets: Duration,
    /// Size at which a replica's log file is turned over; one older file is kept.
    pub log_bytes: u64,
    /// How many ended replicas of a function keep their log.
    pub log_keeps: usize,
    /// Whether cgroups may be used for limits, where they can be written.
    pub cgroups: bool,
    /// This build's release, shown by `info`.
    pub release: String,
    /// This build's commit, shown by `info`.
    pub sha: String,
}

impl Config {
    /// Default settings for this state directory.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        let shared = Settings::new(state_dir);
        Self {
            state_dir: shared.state_dir,
            watchdog: Vec::new(),
            path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            parallel_starts: shared.parallel_starts,
            start_deadline: shared.start_deadline,
            grace: shared.grace,
            backoff_first: shared.backoff_first,
            backoff_longest: shared.backoff_longest,
            backoff_forgets: shared.backoff_forgets,
            log_bytes: shared.log_bytes,
            log_keeps: shared.log_keeps,
            cgroups: true,
            release: shared.release,
            sha: shared.sha,
        }
    }

    /// Those that all backends on one machine share.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            state_dir: self.state_dir.clone(),
            parallel_starts: self.parallel_starts,
            start_deadline: self.start_deadline,
            grace: self.grace,
            backoff_first: self.backoff_first,
            backoff_longest: self.backoff_longest,
            backoff_forgets: self.backoff_forgets,
            log_bytes: self.log_bytes,
            log_keeps: self.log_keeps,
            release: self.release.clone(),
            sha: self.sha.clone(),
        }
    }
}
