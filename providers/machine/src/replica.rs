//! One replica from its first start to its end: the only task that starts it, starts it anew, and ends it.
//!
//! ```text
//! Starting ──ready──► Ready ──crash──► Backoff ──pause──► Starting …
//!     └──crash, too late──────────────────►┘
//! Created ──woken──► Starting            made, its program not started; lost, it is not made anew
//! any ──told to end──► Stopping ──► gone
//! ```

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::format_duration;
use tidegate_provider::{Crash, Phase, ReplicaId};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::warn;

use crate::backoff::Backoff;
use crate::clock;
use crate::exit::Cause;
use crate::function::Function;
use crate::life::Life;
use crate::logs::Log;
use crate::revision::Revision;
use crate::runtime::{End, Found, Runtime};

/// A replica that starts counts as one of those that start at the same time for this long.
const SLOW_START: Duration = Duration::from_secs(1);

/// What a replica's task begins with.
pub(crate) struct Beginning<R: Runtime> {
    id: ReplicaId,
    seat: R::Seat,
    /// Whether it runs already.
    runs: bool,
    /// Why it does not run any more.
    crashed: Option<Cause>,
    /// Cancelled when its program may start; none when it may at once.
    held: Option<CancellationToken>,
}

impl<R: Runtime> Beginning<R> {
    /// One that was never started.
    pub(crate) fn new(id: ReplicaId, held: Option<CancellationToken>) -> Self {
        Self { id, seat: R::Seat::default(), runs: false, crashed: None, held }
    }

    /// One of an earlier run.
    pub(crate) fn found(found: Found<R>, held: Option<CancellationToken>) -> Self {
        let runs = found.cause.is_none();
        Self { id: found.replica, seat: found.seat, runs, crashed: found.cause, held }
    }
}

/// Runs a replica until it is told to end, starting it anew as often as it crashes; `presence` is let go last.
///
/// One of these rests in memory for each frozen replica. Written as a block it works on the seat where it is
/// captured; an `async fn` would move what it takes, and keep room for both places.
pub(crate) fn run<R: Runtime>(
    function: Arc<Function<R>>,
    revision: Arc<Revision<R>>,
    end: CancellationToken,
    beginning: Beginning<R>,
    presence: TaskTrackerToken,
) -> impl Future<Output = ()> + Send + 'static {
    let Beginning { id, mut seat, runs, mut crashed, held } = beginning;
    async move {
        if let Some(life) = begin(&function, revision, &id, &end, held, runs) {
            tokio::select! {
                biased;
                () = function.host.let_go.cancelled() => return,
                () = live(&life, &mut seat, runs, &mut crashed) => {}
            }
        } else {
            // Without a log there is no telling what goes wrong; an operator must make room first.
            tokio::select! {
                biased;
                () = function.host.let_go.cancelled() => return,
                () = end.cancelled() => {}
            }
        }
        function.host.runtime.clear(&id, seat).await;
        prune_logs(&function, &id).await;
        function.ended(&id);
        drop(presence);
    }
}

/// None, and said why, when it cannot have a log.
fn begin<R: Runtime>(
    function: &Arc<Function<R>>,
    revision: Arc<Revision<R>>,
    id: &ReplicaId,
    end: &CancellationToken,
    held: Option<CancellationToken>,
    runs: bool,
) -> Option<Life<R>> {
    match open_log(function, id, runs) {
        Ok(log) => Some(Life::new(function.clone(), revision, id.clone(), end.clone(), held, log)),
        Err(detail) => {
            warn!(function.name = %function.id, replica = %id, "{detail}");
            function.report(id, |slot| {
                slot.phase = Phase::Backoff;
                slot.detail = detail;
            });
            None
        }
    }
}

fn open_log<R: Runtime>(
    function: &Arc<Function<R>>,
    id: &ReplicaId,
    runs: bool,
) -> Result<Log, String> {
    let folder = function.logs();
    let by_others = function.host.runtime.logs_by_others();
    let limit = function.host.settings.log_bytes;
    match Log::open(&folder, id.as_str(), limit, by_others, &function.board) {
        Ok(log) => Ok(log),
        // One that serves goes on without.
        Err(_) if runs => Ok(Log::of_others(&folder, id.as_str())),
        Err(failure) => Err(format!("cannot write its log in {}: {failure}", folder.display())),
    }
}

/// Removes logs beyond those that are kept.
async fn prune_logs<R: Runtime>(function: &Arc<Function<R>>, id: &ReplicaId) {
    let (inside, id) = (function.clone(), id.clone());
    // Fails only when the runtime ends, and then a later open cleans up.
    let _ = function.host.blocking(move || inside.prune_logs(Some(&id))).await;
}

/// One life after another; one that `crashed` before this begins with the pause after that.
///
/// What takes room for a moment only is boxed here and below.
#[expect(clippy::manual_async_fn, reason = "a block has one place for what it takes, see `run`")]
fn live<'a, R: Runtime>(
    life: &'a Life<R>,
    seat: &'a mut R::Seat,
    mut runs: bool,
    crashed: &'a mut Option<Cause>,
) -> impl Future<Output = ()> + Send + 'a {
    async move {
        let mut backoff = Backoff::default();
        loop {
            if crashed.is_none() {
                *crashed = one_life(life, seat, runs).await;
            }
            runs = false;
            let Some(cause) = crashed.take() else { return };
            if rested(life) || life.is_told_to_end() {
                return;
            }
            let pause = backoff.after_crash(life.settings(), life.served());
            report_crash(life, cause, pause);
            if Box::pin(timeout(pause, life.told_to_end())).await.is_ok() {
                return;
            }
            life.report(|slot| {
                if slot.phase == Phase::Backoff {
                    slot.phase = Phase::Starting;
                    slot.restarts += 1;
                }
            });
        }
    }
}

/// From start to end; why it ended, unless it was told to.
#[expect(clippy::manual_async_fn, reason = "a block has one place for what it takes, see `run`")]
fn one_life<'a, R: Runtime>(
    life: &'a Life<R>,
    seat: &'a mut R::Seat,
    runs: bool,
) -> impl Future<Output = Option<Cause>> + Send + 'a {
    async move {
        // One that takes long must not keep others from starting.
        let mut slow = None;
        if !runs {
            if !Box::pin(may_start(life)).await {
                return None;
            }
            slow = Some(Box::pin(sleep(SLOW_START)));
        }
        let mut living = life.owner().host.runtime.live(seat, life);
        let end = loop {
            tokio::select! {
                biased;
                end = &mut living => break end,
                () = passed(&mut slow) => {
                    slow = None;
                    life.let_others_start();
                }
            }
        };
        drop(living);
        life.let_others_start();
        match end {
            End::Told => {
                life.lost("");
                None
            }
            End::Crash(cause) => {
                life.lost(&cause.why);
                let why = Box::pin(with_last_words(life, cause.why)).await;
                Some(Cause::new(cause.reason, why))
            }
        }
    }
}

/// Waits for its turn to start; not when it is told to end before that.
async fn may_start<R: Runtime>(life: &Life<R>) -> bool {
    let permit = tokio::select! {
        biased;
        () = life.told_to_end() => return false,
        permit = life.owner().host.starts.clone().acquire_owned() => permit,
    };
    life.may_start(permit.expect("starts are never closed"));
    life.log().begin_life();
    true
}

/// Waits until its time has passed, if there is any.
async fn passed(timer: &mut Option<Pin<Box<Sleep>>>) {
    match timer {
        Some(timer) => timer.await,
        None => pending().await,
    }
}

/// Adds the last error line of a crashed replica.
async fn with_last_words<R: Runtime>(life: &Life<R>, why: String) -> String {
    let inside = life.clone();
    let last = life.owner().host.blocking(move || inside.log().last_error()).await;
    match last {
        Ok(last) if !last.is_empty() && !why.contains(&last) => format!("{why}: {last}"),
        _ => why,
    }
}

/// Whether nobody wants it now: it was frozen, or its program had not been started.
fn rested<R: Runtime>(life: &Life<R>) -> bool {
    let state = life.owner().state();
    let slot = state.slots.iter().find(|slot| slot.id == *life.replica());
    slot.is_some_and(|slot| matches!(slot.phase, Phase::Frozen | Phase::Created))
}

fn report_crash<R: Runtime>(life: &Life<R>, cause: Cause, pause: Duration) {
    let Cause { reason, why } = cause;
    let next =
        if pause.is_zero() { "now".to_owned() } else { format!("in {}", format_duration(pause)) };
    let line = format!("replica {why}; starts again {next}");
    warn!(function.name = %life.function(), replica = %life.replica(), "{line}");
    life.say(&line);
    let at = clock::wall();
    let crash = Crash { at, replica: life.replica().clone(), reason, detail: why.clone() };
    life.owner().crashed(crash);
    life.report(|slot| {
        if slot.phase != Phase::Stopping {
            slot.phase = Phase::Backoff;
            slot.detail = why;
        }
    });
}
