//! One life of a replica: its watchdog is started, listened to, and ended with all below it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::format_duration;
use tidegate_provider::CrashReason;
use tidegate_provider_machine::exit::Cause;
use tidegate_provider_machine::logs::Origin;
use tidegate_provider_machine::{End, Life as LifeOf, exit};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::launch::{Launched, launch};
use crate::processes::Processes;
use crate::runtime::{Inner, ProcessRuntime};

/// What is left in the pipes of an ended watchdog is read for this long.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A watchdog that said why it failed may take this long to end.
const FAILED_ENDS: Duration = Duration::from_secs(5);
/// Longest word of the watchdog on the control stream.
const LONGEST_WORD: u64 = 4096;

type Life = LifeOf<ProcessRuntime>;

struct Running<'a> {
    life: &'a Life,
    child: Child,
    processes: Arc<Processes>,
}

/// From start to end of its processes.
pub(crate) async fn live(inner: &Arc<Inner>, life: &Life) -> End {
    let launching = {
        let (inner, life) = (inner.clone(), life.clone());
        move || launch(&inner, life.revision(), life.replica())
    };
    let launched = match tokio::task::spawn_blocking(launching).await {
        Ok(Ok(launched)) => launched,
        Ok(Err(failure)) => {
            let why = format!("cannot be started: {failure}");
            return End::Crash(Cause::new(CrashReason::CannotStart, why));
        }
        // The runtime ends, and so do we.
        Err(_) => return End::Told,
    };
    let Launched { child, control, out, err, processes } = launched;
    let processes = Arc::new(processes);
    let pumps = pump(life, out, err, &processes);
    life.started(processes.clone());
    let mut running = Running { life, child, processes: processes.clone() };
    let end = match running.until_ready(control).await {
        Begin::Ready(control) => running.until_end(control).await,
        Begin::Ended(end) => end,
    };
    life.lost(match &end {
        End::Told => "",
        End::Crash(cause) => &cause.why,
    });
    let left = processes.clone();
    let _ = tokio::task::spawn_blocking(move || left.sweep()).await;
    let _ = timeout(LAST_WORDS, pumps.cancelled()).await;
    explain(life, end, &processes)
}

/// Copies the watchdog's output to the log; done when the pipes are closed.
fn pump(
    life: &Life,
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    processes: &Arc<Processes>,
) -> CancellationToken {
    let done = CancellationToken::new();
    let guard = done.clone().drop_guard();
    let (inside, processes) = (life.clone(), processes.clone());
    life.spawn(async move {
        let _guard = guard;
        let life = inside;
        let told = AtomicU64::new(0);
        let look = || {
            let kills = processes.memory_kills();
            if told.swap(kills, Ordering::Relaxed) < kills {
                life.detail(exit::out_of_memory(kills, memory_limit(&life)));
            }
        };
        let out = async {
            if let Some(pipe) = out {
                life.copy(pipe, Origin::Out, look).await;
            }
        };
        let err = async {
            if let Some(pipe) = err {
                life.copy(pipe, Origin::Err, look).await;
            }
        };
        futures_util::join!(out, err);
    });
    done
}

/// Adds what the kernel did to it.
fn explain(life: &Life, end: End, processes: &Processes) -> End {
    let End::Crash(cause) = end else { return End::Told };
    let kills = processes.memory_kills();
    if kills == 0 {
        return End::Crash(cause);
    }
    End::Crash(cause.after_memory_kills(&exit::out_of_memory(kills, memory_limit(life))))
}

fn memory_limit(life: &Life) -> &str {
    let limits = life.revision().deployment.limits.as_ref();
    limits.and_then(|limits| limits.memory.as_deref()).unwrap_or("?")
}

impl Running<'_> {
    async fn until_ready(&mut self, control: UnixStream) -> Begin {
        let mut control = BufReader::new(control);
        let word = tokio::select! {
            biased;
            () = self.life.told_to_end() => return Begin::Ended(self.stop().await),
            word = read_word(&mut control) => word,
            status = self.child.wait() => {
                return Begin::Ended(End::Crash(exit::describe(status)));
            }
            cause = self.life.too_late() => {
                self.kill().await;
                return Begin::Ended(End::Crash(cause));
            }
        };
        if word == "ready" {
            self.life.ready(None, &self.processes.note);
            return Begin::Ready(control.into_inner());
        }
        // It ends by itself after telling why.
        let status = match timeout(FAILED_ENDS, self.child.wait()).await {
            Ok(status) => exit::describe(status),
            Err(_) => {
                self.kill().await;
                Cause::new(CrashReason::Unknown, "closed its control stream")
            }
        };
        let cause = word.strip_prefix("failed ").map_or(status, |reason| {
            Cause::new(CrashReason::CannotStart, format!("failed to start: {reason}"))
        });
        Begin::Ended(End::Crash(cause))
    }

    /// `control` is held until then: its end would end the watchdog.
    async fn until_end(&mut self, control: UnixStream) -> End {
        let end = tokio::select! {
            biased;
            () = self.life.told_to_end() => self.stop().await,
            status = self.child.wait() => End::Crash(exit::describe(status)),
        };
        drop(control);
        end
    }

    /// SIGTERM, and after the grace SIGKILL to all.
    async fn stop(&mut self) -> End {
        self.processes.terminate();
        let grace = self.life.revision().grace;
        if timeout(grace, self.child.wait()).await.is_err() {
            info!(
                function.name = %self.life.function(),
                replica = %self.life.replica(),
                "replica did not end within {}, killing it",
                format_duration(grace)
            );
            self.kill().await;
        }
        End::Told
    }

    async fn kill(&mut self) {
        let all = self.processes.clone();
        let _ = tokio::task::spawn_blocking(move || all.kill()).await;
        let _ = self.child.wait().await;
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
