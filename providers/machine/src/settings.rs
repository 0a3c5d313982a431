//! What the engine is told: where its state is, and limits of time and number.

use std::path::PathBuf;
use std::time::Duration;

/// Settings that all backends on one machine share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where logs and the directory's identity are kept, and what else the backend keeps there; made when
    /// missing.
    pub state_dir: PathBuf,
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
    /// This build's release, shown by `info`.
    pub release: String,
    /// This build's commit, shown by `info`.
    pub sha: String,
}

impl Settings {
    /// Default settings for this state directory.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            parallel_starts: 16,
            start_deadline: Duration::from_secs(60),
            grace: Duration::from_secs(30),
            backoff_first: Duration::from_millis(100),
            backoff_longest: Duration::from_secs(30),
            backoff_forgets: Duration::from_secs(10),
            log_bytes: 4 << 20,
            log_keeps: 10,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            sha: "unknown".to_owned(),
        }
    }
}
