//! Replicas beside the load: looks at the called functions through the gateway's API while a run goes on.
//!
//! ```text
//! gateway ─ every 200 ms ─► Seen ─► Board (samples, decisions) ─┬─► live view
//!                                                              └─► events ─► Overlay in the results
//! ```
//!
//! A tidegate tells its decisions with their reasons; at another gateway of OpenFaaS's kind changes of the
//! wanted count stand for them.

mod door;
mod events;
mod seen;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode, Uri};
use thiserror::Error;
use tidegate_core::FunctionId;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::plan::Transport;
use crate::results::{Overlay, Sample};
use crate::tls::TlsError;
use door::Door;
use seen::Seen;

pub use events::LoadStep;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(200);
/// Samples kept of a function; beyond, every second one is forgotten.
const MOST_SAMPLES: usize = 20_000;
/// Decisions kept of a function.
const MOST_DECISIONS: usize = 2_000;
/// Two looks tell a decision's moment as differently as this.
const SAME_MOMENT: f64 = 0.3;

/// Which gateway, which functions.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The gateway's address, perhaps with a path in front of everything.
    pub gateway: Uri,
    /// What to look at.
    pub functions: Vec<FunctionId>,
    /// `Authorization` headers worth trying, best first.
    pub credentials: Vec<HeaderValue>,
    /// How to speak TLS, when the gateway does.
    pub transport: Transport,
}

/// Why nothing can be watched.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OverlayError {
    /// It is not there, or does not answer.
    #[error("the gateway at {gateway} cannot be asked for replicas: {why}")]
    Gateway {
        /// Its address.
        gateway: String,
        /// What went wrong.
        why: String,
    },
    /// The password is missing or wrong.
    #[error(
        "the gateway at {0} wants another password: set TIDEGATE_PASSWORD, pipe it in with --password-stdin, or name the --state-dir of its `tidegate up`"
    )]
    Password(String),
    /// A function is not there.
    #[error("{function} is not deployed at the gateway {gateway}; see tidegate list")]
    NotDeployed {
        /// The function.
        function: FunctionId,
        /// The gateway's address.
        gateway: String,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What was seen of all functions so far; shared with the live view.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Vec<Watched>>>);

/// What was seen of one function.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// `name.namespace`.
    pub function: String,
    /// In order of time.
    pub samples: Vec<Sample>,
    /// In order of time.
    pub decisions: Vec<Decided>,
    /// Its lower bound.
    pub min: u32,
    /// What went wrong while looking.
    pub problem: Option<String>,
}

/// A decision of the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Seconds after the start of the run.
    pub at: f64,
    /// Replicas before.
    pub from: u32,
    /// Replicas wanted.
    pub to: u32,
    /// Why, in the gateway's words.
    pub why: String,
}

impl Board {
    /// What there is now.
    pub fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        // Nothing in here can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen, with events that answer the load's steps.
    #[must_use]
    pub fn overlays(&self, steps: &[LoadStep]) -> Vec<Overlay> {
        let watched = self.lock();
        let overlay = |watched: &Watched| Overlay {
            function: watched.function.clone(),
            events: events::events(watched, steps),
            samples: watched.samples.clone(),
            problem: watched.problem.clone(),
        };
        watched.iter().map(overlay).collect()
    }
}

/// Looks at functions again and again.
pub struct Watcher {
    door: Door,
    functions: Vec<Looked>,
    board: Board,
}

/// One function, and by which route it is seen.
struct Looked {
    function: FunctionId,
    route: Route,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Route {
    /// `/system/scaling`: counts, load and decisions with reasons.
    Scaling,
    /// `/system/function`: counts; every OpenFaaS gateway has it.
    Function,
}

impl Watcher {
    /// Looks once at everything, so that what cannot work is known before any load is sent.
    ///
    /// # Errors
    /// When the gateway does not answer, refuses the credentials, or lacks a function.
    pub async fn open(watch: Watch) -> Result<Self, OverlayError> {
        let Watch { gateway, functions, credentials, transport } = watch;
        let board = Board::default();
        let named = |function: &FunctionId| Watched {
            function: function.to_string(),
            min: 1,
            ..Watched::default()
        };
        *board.lock() = functions.iter().map(named).collect();
        let functions =
            functions.into_iter().map(|function| Looked { function, route: Route::Scaling });
        let mut watcher = Self {
            door: Door::new(gateway, credentials, &transport)?,
            functions: functions.collect(),
            board,
        };
        for index in 0..watcher.functions.len() {
            watcher.look(index).await?;
        }
        Ok(watcher)
    }

    /// Where it writes down what it sees.
    #[must_use]
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// Looks until `stop`; a look that fails is noted and tried again.
    pub async fn run(&mut self, start: Instant, stop: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            for index in 0..self.functions.len() {
                // A gateway that hangs must not keep the end waiting.
                let seen = tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    seen = self.look(index) => seen,
                };
                let at = clock::now().saturating_duration_since(start).as_secs_f64();
                let mut board = self.board.lock();
                let Some(watched) = board.get_mut(index) else { continue };
                match seen {
                    Ok(seen) => watched.note(at, seen),
                    Err(error) => watched.problem = Some(format!("from {at:.1}s on: {error}")),
                }
            }
        }
    }

    /// One look at one function, by the best route that the gateway has.
    async fn look(&mut self, index: usize) -> Result<Seen, OverlayError> {
        let Looked { function, route } = &mut self.functions[index];
        let path = |name: &str| {
            format!("/system/{name}/{}?namespace={}", function.name(), function.namespace())
        };
        let bad = |door: &Door, why: String| OverlayError::Gateway { gateway: door.name(), why };
        if *route == Route::Scaling {
            let (status, body) = self.door.get(&path("scaling")).await?;
            match status {
                StatusCode::OK => {
                    return Seen::from_scaling(&body).map_err(|why| bad(&self.door, why));
                }
                // Unknown function or unknown route: the next question tells.
                StatusCode::NOT_FOUND => {}
                status => return Err(bad(&self.door, format!("it answered {status}"))),
            }
        }
        let (status, body) = self.door.get(&path("function")).await?;
        match status {
            StatusCode::OK => {
                *route = Route::Function;
                Seen::from_function(&body).map_err(|why| bad(&self.door, why))
            }
            StatusCode::NOT_FOUND => Err(OverlayError::NotDeployed {
                function: function.clone(),
                gateway: self.door.name(),
            }),
            status => Err(bad(&self.door, format!("it answered {status}"))),
        }
    }
}

impl Watched {
    fn note(&mut self, at: f64, seen: Seen) {
        self.min = seen.min;
        for told in &seen.decisions {
            let decided = Decided {
                at: at - told.seconds_ago,
                from: told.from,
                to: told.to,
                why: told.words(),
            };
            // Older ones belong to what was before this run.
            if decided.at >= -SAME_MOMENT
                && !self.knows(&decided)
                && self.decisions.len() < MOST_DECISIONS
            {
                self.decisions.push(decided);
            }
        }
        if !seen.tells_decisions
            && let Some(last) = self.samples.last().filter(|last| last.desired != seen.desired)
        {
            let (from, to) = (last.desired, seen.desired);
            self.decisions.push(Decided {
                at,
                from,
                to,
                why: "the gateway gives no reasons".to_owned(),
            });
        }
        let Seen { desired, ready, in_flight, waiting, .. } = seen;
        self.samples.push(Sample { at, desired, ready, in_flight, waiting });
        if self.samples.len() > MOST_SAMPLES {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    fn knows(&self, decided: &Decided) -> bool {
        let same = |known: &&Decided| {
            (known.at - decided.at).abs() < SAME_MOMENT
                && (known.from, known.to) == (decided.from, decided.to)
        };
        self.decisions.iter().rev().take(100).any(|known| same(&known))
    }
}

#[cfg(test)]
mod tests;
