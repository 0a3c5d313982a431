//! How a run goes so far, for whoever shows it meanwhile: the live view, `/metrics`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::overlay::Board;
use crate::plan::{Pace, Plan};
use crate::results::{Second, Tally};

/// Seconds kept for drawing: more than any terminal is wide.
const KEPT: usize = 600;

/// Shared between the run, which writes, and those who show it.
#[derive(Clone, Debug)]
pub struct Progress {
    so_far: Arc<Mutex<SoFar>>,
    /// What was seen of replicas; empty when nothing is watched.
    pub board: Board,
    /// When the run began.
    pub start: Instant,
    /// The pace in words.
    pub pace: String,
    /// Whom it calls.
    pub target: String,
    /// When it ends by time.
    pub end: Option<Duration>,
    /// When it ends by count.
    pub calls: Option<u64>,
    /// Whether calls are due by a schedule.
    pub open: bool,
    offered: Option<crate::profile::Profile>,
}

/// Numbers of the run so far.
#[derive(Clone, Debug, Default)]
pub struct SoFar {
    /// The last seconds, in order.
    pub seconds: Vec<Second>,
    /// All of it.
    pub total: Tally,
    /// The load has ended; only replicas are still watched.
    pub ended: bool,
}

impl Progress {
    /// A run that begins now.
    #[must_use]
    pub fn new(plan: &Plan, board: Board) -> Self {
        let target = match plan.targets.as_slice() {
            [only] => only.uri.to_string(),
            many => format!("{} targets", many.len()),
        };
        let offered = match &plan.pace {
            Pace::Open(profile) => Some(profile.clone()),
            Pace::Closed { .. } | Pace::Replay(_) => None,
        };
        Self {
            so_far: Arc::default(),
            board,
            start: clock::now(),
            pace: plan.pace_text(),
            target,
            end: plan.end(),
            calls: plan.calls,
            open: plan.is_open(),
            offered,
        }
    }

    /// The numbers now.
    pub fn so_far(&self) -> MutexGuard<'_, SoFar> {
        // Nothing in here can be left half done.
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A second is over.
    pub fn second(&self, second: &Second, total: &Tally) {
        let mut so_far = self.so_far();
        if so_far.seconds.len() >= KEPT {
            so_far.seconds.remove(0);
        }
        so_far.seconds.push(second.clone());
        so_far.total = total.clone();
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.start)
    }

    /// Calls a second that are due at a moment, when a profile says so.
    #[must_use]
    pub fn offered_at(&self, at: Duration) -> Option<f64> {
        self.offered.as_ref().map(|profile| profile.rate_at(at))
    }
}
