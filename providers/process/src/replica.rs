//! One replica from its first start to its end: the only task that starts, watches and ends its processes.
//!
//! ```text
//! Starting ──ready──► Ready ──exit──► Backoff ──pause──► Starting …
//!     └──exit, failed, too late──────────►┘
//! any ──told to end──► Stopping: SIGTERM, grace, SIGKILL of all ──► gone
//! ```

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::format_duration;
use tidegate_provider::Phase;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::clock;
use crate::durable;
use crate::exit;
use crate::function::Function;
use crate::identity::ReplicaNames;
use crate::launch::{Launched, launch};
use crate::logs::{Log, Origin};
use crate::processes::Processes;
use crate::revision::Revision;
use crate::usage::Sample;

/// What is left in the pipes of an ended watchdog is read for this long.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A watchdog that said why it failed may take this long to end.
const FAILED_ENDS: Duration = Duration::from_secs(5);
/// A replica that starts counts as one of those that start at the same time for this long.
const SLOW_START: Duration = Duration::from_secs(1);
/// Longest word of the watchdog on the control stream.
const LONGEST_WORD: u64 = 4096;

/// How one life of a replica ended.
enum End {
    /// As it was told.
    Told,
    /// By itself; what a user should know, and how long it was ready.
    Crash(String, Option<Duration>),
}

impl End {
    fn why(&self) -> &str {
        match self {
            Self::Told => "",
            Self::Crash(why, _) => why,
        }
    }
}

struct Replica {
    function: Arc<Function>,
    revision: Arc<Revision>,
    names: ReplicaNames,
    /// Cancelled by the function when the replica should end.
    end: CancellationToken,
    log: Arc<Log>,
}

/// Runs a replica until it is told to end, starting it anew as often as it crashes.
pub(crate) async fn run(
    function: Arc<Function>,
    revision: Arc<Revision>,
    names: ReplicaNames,
    end: CancellationToken,
) {
    let host = function.host.clone();
    let folder = function.logs();
    match Log::open(&folder, names.id.as_str(), host.config.log_bytes, &function.board) {
        Ok(log) => {
            let log = Arc::new(log);
            Replica { function: function.clone(), revision, names: names.clone(), end, log }
                .live()
                .await;
        }
        Err(failure) => {
            // Without a log there is no telling what goes wrong; an operator must make room first.
            let detail = format!("cannot write its log in {}: {failure}", folder.display());
            warn!(function.name = %function.id, replica = %names.id, "{detail}");
            function.report(&names.id, |slot| {
                slot.phase = Phase::Backoff;
                slot.detail = detail;
            });
            end.cancelled().await;
        }
    }
    clean_up(&function, &names).await;
    function.ended(&names.id);
}

/// Removes what the replica had on disk, and logs beyond those that are kept.
async fn clean_up(function: &Arc<Function>, names: &ReplicaNames) {
    let place = function.host.layout.place(&names.place);
    let (function, id) = (function.clone(), names.id.clone());
    let host = function.host.clone();
    let work = move || {
        if let Err(failure) = durable::remove_folder(&place) {
            debug!("cannot remove {}: {failure}", place.display());
        }
        function.prune_logs(Some(&id));
    };
    // Fails only when the runtime ends, and then the next open cleans up.
    let _ = host.blocking(work).await;
}

impl Replica {
    async fn live(&self) {
        let config = &self.function.host.config;
        let mut backoff = Backoff::new(config);
        loop {
            let (why, ready_for) = match self.one_life().await {
                End::Told => return,
                End::Crash(why, ready_for) => (why, ready_for),
            };
            if self.was_frozen() || self.end.is_cancelled() {
                return;
            }
            let pause = backoff.after_crash(ready_for);
            self.crashed(why, pause);
            tokio::select! {
                () = self.end.cancelled() => return,
                () = sleep(pause) => {}
            }
            self.function.report(&self.names.id, |slot| {
                if slot.phase == Phase::Backoff {
                    slot.phase = Phase::Starting;
                    slot.restarts += 1;
                }
            });
        }
    }

    /// From start to end of its processes.
    async fn one_life(&self) -> End {
        let host = &self.function.host;
        let permit = tokio::select! {
            biased;
            () = self.end.cancelled() => return End::Told,
            permit = host.starts.clone().acquire_owned() => permit,
        };
        self.log.forget_last_error();
        let launched = {
            let (host, revision, names) = (host.clone(), self.revision.clone(), self.names.clone());
            let started = host.clone().blocking(move || launch(&host, &revision, &names)).await;
            match started {
                Ok(Ok(launched)) => launched,
                Ok(Err(failure)) => {
                    return End::Crash(format!("cannot be started: {failure}"), None);
                }
                Err(_) => return End::Told,
            }
        };
        let Launched { mut child, control, out, err, processes } = launched;
        let processes = Arc::new(processes);
        let pumps = self.pump(out, err, &processes);
        self.function.report(&self.names.id, |slot| {
            slot.processes = Some(processes.clone());
            slot.sample = Some(Sample::start(clock::running()));
        });
        let began = self.until_ready(control, &mut child, &processes, permit).await;
        let end = match began {
            Begin::Ready(control) => self.until_end(control, &mut child, &processes).await,
            Begin::Ended(end) => end,
        };
        self.function.report(&self.names.id, |slot| slot.lost_processes(end.why()));
        let left = processes.clone();
        let _ = host.blocking(move || left.sweep()).await;
        self.explain(end, pumps, &processes).await
    }

    /// Copies the watchdog's output to the log; done when the pipes are closed.
    fn pump(
        &self,
        out: Option<tokio::process::ChildStdout>,
        err: Option<tokio::process::ChildStderr>,
        processes: &Arc<Processes>,
    ) -> CancellationToken {
        let done = CancellationToken::new();
        let guard = done.clone().drop_guard();
        let (log, function, id) = (self.log.clone(), self.function.clone(), self.names.id.clone());
        let processes = processes.clone();
        let limit = self.revision.deployment.limits.clone();
        self.function.host.spawn(async move {
            let _guard = guard;
            let told = std::sync::atomic::AtomicU64::new(0);
            let look = || {
                let kills = processes.memory_kills();
                if told.swap(kills, std::sync::atomic::Ordering::Relaxed) < kills {
                    let memory =
                        limit.as_ref().and_then(|limit| limit.memory.as_deref()).unwrap_or("?");
                    let detail = exit::out_of_memory(kills, memory);
                    function.report(&id, |slot| slot.detail = detail);
                }
            };
            let board = &function.board;
            let out = async {
                if let Some(pipe) = out {
                    log.copy(pipe, Origin::Out, board, look).await;
                }
            };
            let err = async {
                if let Some(pipe) = err {
                    log.copy(pipe, Origin::Err, board, look).await;
                }
            };
            futures_util::join!(out, err);
        });
        done
    }

    async fn until_ready(
        &self,
        control: UnixStream,
        child: &mut Child,
        processes: &Arc<Processes>,
        permit: impl Send,
    ) -> Begin {
        let mut control = BufReader::new(control);
        let deadline = self.function.host.config.start_deadline;
        // One that takes long must not keep others from starting.
        let starting = async {
            sleep(SLOW_START).await;
            drop(permit);
            sleep(deadline.saturating_sub(SLOW_START)).await;
        };
        let word = tokio::select! {
            biased;
            () = self.end.cancelled() => return Begin::Ended(self.stop(child, processes).await),
            word = read_word(&mut control) => word,
            status = child.wait() => return Begin::Ended(End::Crash(exit::describe(status), None)),
            () = starting => {
                self.kill(child, processes).await;
                let why = format!("was not ready within {}", format_duration(deadline));
                return Begin::Ended(End::Crash(why, None));
            }
        };
        if word == "ready" {
            self.ready(processes);
            return Begin::Ready(control.into_inner());
        }
        // It ends by itself after telling why.
        let status = match timeout(FAILED_ENDS, child.wait()).await {
            Ok(status) => exit::describe(status),
            Err(_) => {
                self.kill(child, processes).await;
                "closed its control stream".to_owned()
            }
        };
        let why = word
            .strip_prefix("failed ")
            .map_or(status, |reason| format!("failed to start: {reason}"));
        Begin::Ended(End::Crash(why, None))
    }

    fn ready(&self, processes: &Processes) {
        self.function.report(&self.names.id, |slot| {
            // Told to end while it became ready, it stays so.
            if slot.phase == Phase::Starting {
                slot.phase = Phase::Ready;
                slot.detail.clone_from(&processes.note);
            }
        });
    }

    /// `control` is held until then: its end would end the watchdog.
    async fn until_end(
        &self,
        control: UnixStream,
        child: &mut Child,
        processes: &Arc<Processes>,
    ) -> End {
        let since = clock::running();
        let end = tokio::select! {
            biased;
            () = self.end.cancelled() => self.stop(child, processes).await,
            status = child.wait() => End::Crash(exit::describe(status), Some(since.elapsed())),
        };
        drop(control);
        end
    }

    /// SIGTERM, and after the grace SIGKILL to all.
    async fn stop(&self, child: &mut Child, processes: &Arc<Processes>) -> End {
        processes.terminate();
        if timeout(self.revision.grace, child.wait()).await.is_err() {
            info!(
                function.name = %self.function.id,
                replica = %self.names.id,
                "replica did not end within {}, killing it",
                format_duration(self.revision.grace)
            );
            self.kill(child, processes).await;
        }
        End::Told
    }

    async fn kill(&self, child: &mut Child, processes: &Arc<Processes>) {
        let all = processes.clone();
        let _ = self.function.host.blocking(move || all.kill()).await;
        let _ = child.wait().await;
    }

    /// Adds the last words of a crashed replica.
    async fn explain(&self, end: End, pumps: CancellationToken, processes: &Processes) -> End {
        let _ = timeout(LAST_WORDS, pumps.cancelled()).await;
        let End::Crash(mut why, ready_for) = end else { return End::Told };
        let kills = processes.memory_kills();
        if kills > 0 {
            let memory = self
                .revision
                .deployment
                .limits
                .as_ref()
                .and_then(|limits| limits.memory.as_deref());
            why = format!("{}; {why}", exit::out_of_memory(kills, memory.unwrap_or("?")));
        }
        let last = self.log.last_error();
        if !last.is_empty() && !why.contains(&last) {
            why = format!("{why}: {last}");
        }
        End::Crash(why, ready_for)
    }

    fn was_frozen(&self) -> bool {
        let state = self.function.state();
        state.slots.iter().any(|slot| slot.id == self.names.id && slot.phase == Phase::Frozen)
    }

    fn crashed(&self, why: String, pause: Duration) {
        let next = if pause.is_zero() {
            "now".to_owned()
        } else {
            format!("in {}", format_duration(pause))
        };
        warn!(function.name = %self.function.id, replica = %self.names.id, "replica {why}; starts again {next}");
        let line = format!("replica {why}; starts again {next}");
        self.log.line(clock::wall(), Origin::Provider, &line, &self.function.board);
        self.function.report(&self.names.id, |slot| {
            if slot.phase != Phase::Stopping {
                slot.phase = Phase::Backoff;
                slot.detail = why;
            }
        });
    }
}

/// How the start of a life went.
enum Begin {
    /// The control stream, to be held.
    Ready(UnixStream),
    Ended(End),
}

/// One line from the watchdog; empty when it closed the stream.
async fn read_word(control: &mut BufReader<UnixStream>) -> String {
    use tokio::io::AsyncReadExt;
    let mut line = Vec::new();
    let _ = control.take(LONGEST_WORD).read_until(b'\n', &mut line).await;
    String::from_utf8_lossy(&line).trim().to_owned()
}
