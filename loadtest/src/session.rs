//! Carries out an order: watches, sends, shows, and tells what came of it.
//!
//! ```text
//! open gateway, page, metrics ─► run ∥ watch ∥ live ∥ /metrics ─► watch on ─► summary, page ─► exit code
//!   (what cannot work fails here)        (Ctrl-C ends it early; what there is so far is told)
//! ```

use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Uri};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::{Live, Output};
use crate::csv::Rows;
use crate::live::{self, Screen};
use crate::order::Order;
use crate::overlay::{LoadStep, OverlayError, Watch, Watcher};
use crate::plan::{Pace, Plan, Transport};
use crate::progress::Progress;
use crate::report::{self, About, Draft};
use crate::results::Results;
use crate::run::{Hooks, RunError, run};
use crate::{expect, metrics, text};

/// The screen is taken when a run has lasted so long.
const BEFORE_SCREEN: Duration = Duration::from_millis(300);

/// What the order needs from its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `Authorization` headers for the gateway, best first.
    pub credentials: Vec<HeaderValue>,
    /// Whether the screen may use colours.
    pub colour: bool,
}

/// Why an order could not be carried out: one sentence each.
#[derive(Debug, Error)]
pub enum SessionError {
    /// No load was sent.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Nothing can be watched.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// The gateway's address is none.
    #[error("--gateway: {0}")]
    Gateway(String),
    /// The port of `--metrics` cannot be had.
    #[error("--metrics: cannot listen on {address}: {source}")]
    Metrics {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The page cannot be written.
    #[error("--report: cannot write {}: {source}", path.display())]
    Report {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be listened to, or the screen cannot be drawn on.
    #[error("cannot use this terminal: {0}")]
    Terminal(io::Error),
    /// A second Ctrl-C.
    #[error("interrupted again: ended without a summary")]
    Impatient,
    /// The summary cannot be written to stdout.
    #[error("cannot write the results: {0}")]
    Stdout(io::Error),
}

/// How the session ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All done, all expectations met.
    Done,
    /// An expectation was missed.
    Missed,
    /// Ctrl-C; what there was has been told.
    Interrupted,
    /// SIGTERM; likewise.
    Terminated,
}

impl Ending {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Missed => 1,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl SessionError {
    /// The exit code: what could not be run is 2, what failed afterwards 1.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Impatient => 130,
            // A reader that has gone, such as `head`, wanted no more.
            Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Stdout(_) => 1,
            _ => 2,
        }
    }
}

/// The address of a gateway as people write it; `http` unless they say otherwise.
///
/// # Errors
/// When it is none.
pub fn gateway_uri(gateway: &str) -> Result<Uri, SessionError> {
    let full =
        if gateway.contains("://") { gateway.to_owned() } else { format!("http://{gateway}") };
    crate::targets::uri(&full).map_err(SessionError::Gateway)
}

/// Does all of it.
///
/// # Errors
/// When it cannot be run, or the results cannot be written.
pub async fn execute(order: Order, surroundings: Surroundings) -> Result<Ending, SessionError> {
    let mut signals = Signals::new()?;
    let draft = order.report.as_ref().map(|path| draft(path)).transpose()?;
    let listener = match order.metrics {
        Some(address) => Some(
            metrics::listen(address)
                .await
                .map_err(|source| SessionError::Metrics { address, source })?,
        ),
        None => None,
    };
    let mut watcher = watcher(&order, surroundings.credentials).await?;
    if !order.quiet {
        for note in &order.notes {
            say(note);
        }
    }
    let board = watcher.as_ref().map(Watcher::board).unwrap_or_default();
    let stop = CancellationToken::new();
    let mut screen = match order.live {
        Live::Always => Some(Screen::open(surroundings.colour).map_err(SessionError::Terminal)?),
        Live::Auto | Live::Never => None,
    };
    let progress = Progress::new(&order.plan, board.clone());
    let mut results = {
        let beside = async {
            let looking = async {
                match &mut watcher {
                    Some(watcher) => watcher.run(progress.start, CancellationToken::new()).await,
                    None => std::future::pending().await,
                }
            };
            let showing = async {
                if screen.is_none() && screen_wanted(&order) {
                    // A run that is over at once shall not flash.
                    tokio::time::sleep(BEFORE_SCREEN).await;
                    // Nobody asked for it in so many words: lines will do.
                    screen = Screen::open(surroundings.colour).ok();
                }
                match (&mut screen, lines_wanted(&order)) {
                    (Some(screen), _) => live::draw(screen, &progress).await,
                    (None, true) => live::lines(&progress).await,
                    (None, false) => std::future::pending().await,
                }
            };
            let serving = async {
                match listener {
                    Some(listener) => metrics::serve(listener, progress.clone()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::join!(looking, showing, serving);
        };
        let sending = send(&order, &progress, &stop);
        tokio::select! {
            sent = sending => sent?,
            // None of these ends before the load does.
            () = beside => return Err(SessionError::Terminal(io::Error::other("the view ended by itself"))),
            () = signals.twice(&stop) => return Err(SessionError::Impatient),
        }
    };
    drop(screen);
    results.overlays = board.overlays(&load_steps(&order.plan, &results));
    results.expectations = expect::evaluate(&order.criteria, &results);
    tell(&order, &results)?;
    if let Some(draft) = draft {
        let about = About { command: order.command.clone(), notes: order.notes.clone() };
        let path = order.report.clone().unwrap_or_default();
        let written = draft.finish(&report::page(&results, &about));
        written.map_err(|source| SessionError::Report { path: path.clone(), source })?;
        if !order.quiet {
            say(&format!("report: {}", path.display()));
        }
    }
    Ok(match signals.first {
        Some(ending) => ending,
        None if results.expectations.iter().all(|expectation| expectation.met) => Ending::Done,
        None => Ending::Missed,
    })
}

/// Sends the load, then waits while replicas are still watched.
async fn send(
    order: &Order,
    progress: &Progress,
    stop: &CancellationToken,
) -> Result<Results, SessionError> {
    let rows = (order.output == Output::Csv)
        .then(|| Arc::new(Mutex::new(Some(Rows::new(BufWriter::new(io::stdout()))))));
    let shown = progress.clone();
    let hooks = Hooks {
        on_second: Some(Box::new(move |second, total| shown.second(second, total))),
        on_call: rows.clone().map(|rows| {
            Box::new(move |call: &crate::run::Call| {
                if let Some(rows) = rows.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                    rows.write(call);
                }
            }) as crate::run::OnCall
        }),
    };
    let results = run(&order.plan, hooks, stop.clone()).await?;
    let rows = rows.and_then(|rows| rows.lock().unwrap_or_else(PoisonError::into_inner).take());
    rows.map(Rows::finish).transpose().map_err(SessionError::Stdout)?;
    progress.so_far().ended = true;
    if order.gateway.is_some() {
        let rest = watched_until(order, &results).saturating_sub(progress.elapsed());
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
    Ok(results)
}

/// A profile that ends with 0/s is watched to its end, though nothing is sent any more.
fn watched_until(order: &Order, results: &Results) -> Duration {
    let load = Duration::from_secs_f64(results.elapsed);
    let profile = match &order.plan.pace {
        Pace::Open(_) if order.plan.calls.is_none() => order.plan.end().unwrap_or_default(),
        _ => Duration::ZERO,
    };
    load.max(profile) + order.watch_after
}

/// Where the load changes, as far as it came.
fn load_steps(plan: &Plan, results: &Results) -> Vec<LoadStep> {
    let end = results.seconds.last().map_or(results.elapsed, |last| f64::from(last.at) + 1.0);
    let step = |at, text: String, up| LoadStep { at, text, up };
    let mut steps = match &plan.pace {
        Pace::Open(profile) => {
            let mut before = 0.0;
            let steps = profile.steps().into_iter().map(|(at, rate)| {
                let text = if rate > 0.0 {
                    format!("{before} → {rate} calls/s", before = round(before), rate = round(rate))
                } else {
                    "no more calls".to_owned()
                };
                let step = step(at.as_secs_f64(), text, rate > before);
                before = rate;
                step
            });
            steps.filter(|step| step.up || step.at > 0.0).collect()
        }
        Pace::Closed { .. } => vec![
            step(0.0, format!("{} workers begin", plan.connections), true),
            step(results.elapsed, "the load ends".to_owned(), false),
        ],
        Pace::Replay(_) => vec![
            step(0.0, "the recording begins".to_owned(), true),
            step(end, "the recording ends".to_owned(), false),
        ],
    };
    if matches!(plan.pace, Pace::Open(_)) {
        let cut = plan.end().is_none_or(|planned| end < planned.as_secs_f64().floor());
        if let (true, Some(last)) = (
            results.interrupted || plan.duration.is_some() || cut,
            plan.duration.map(|span| span.as_secs_f64().min(end)).or(Some(end)),
        ) && steps.last().is_some_and(|step| step.at > last || step.up)
        {
            steps.retain(|step| step.at < last);
            steps.push(step(last, "the load ends".to_owned(), false));
        }
    }
    steps
}

fn round(rate: f64) -> String {
    let text = format!("{rate:.1}");
    text.trim_end_matches(".0").to_owned()
}

fn draft(path: &std::path::Path) -> Result<Draft, SessionError> {
    Draft::new(path).map_err(|source| SessionError::Report { path: path.to_owned(), source })
}

async fn watcher(
    order: &Order,
    credentials: Vec<HeaderValue>,
) -> Result<Option<Watcher>, SessionError> {
    let Some(gateway) = &order.gateway else { return Ok(None) };
    let Transport { insecure, ca_file, .. } = order.plan.transport.clone();
    let transport = Transport { insecure, ca_file, ..Transport::default() };
    let watch = Watch {
        gateway: gateway_uri(gateway)?,
        functions: order.functions.clone(),
        credentials,
        transport,
    };
    Ok(Some(Watcher::open(watch).await?))
}

/// Nobody said anything of the view, and there is a terminal for it alone: rows on the same one would
/// vanish with the screen.
fn screen_wanted(order: &Order) -> bool {
    lines_wanted(order) && Screen::is_there()
}

fn lines_wanted(order: &Order) -> bool {
    let rows_on_terminal = order.output == Output::Csv && io::stdout().is_terminal();
    order.live == Live::Auto && !order.quiet && !(rows_on_terminal && Screen::is_there())
}

/// Results on stdout; rows of CSV are there already.
fn tell(order: &Order, results: &Results) -> Result<(), SessionError> {
    let told = match order.output {
        Output::Csv => return Ok(()),
        Output::Text => text::summary(results),
        Output::Json => serde_json::to_string_pretty(results)
            .map(|text| text + "\n")
            .map_err(|error| SessionError::Stdout(error.into()))?,
    };
    let mut out = io::stdout().lock();
    out.write_all(told.as_bytes()).and_then(|()| out.flush()).map_err(SessionError::Stdout)
}

/// A note for eyes.
fn say(note: &str) {
    // Nobody who reads stderr is no reason to stop.
    let _ = writeln!(io::stderr(), "{}", text::one_line(note));
}

/// Ctrl-C and SIGTERM: the first ends the load, the second everything.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    first: Option<Ending>,
}

impl Signals {
    fn new() -> Result<Self, SessionError> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(SessionError::Terminal)?,
            terminate: signal(SignalKind::terminate()).map_err(SessionError::Terminal)?,
            first: None,
        })
    }

    async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.interrupt.recv() => Ending::Interrupted,
            _ = self.terminate.recv() => Ending::Terminated,
        }
    }

    /// Returns at the second one.
    async fn twice(&mut self, stop: &CancellationToken) {
        let first = self.next().await;
        self.first = Some(first);
        stop.cancel();
        self.next().await;
    }
}
