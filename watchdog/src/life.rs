//! A watchdog's life: start, ready, serve, drain.
//!
//! Everything that ends it comes together here: a signal, the end of an http child, the end of the
//! parent.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, Function};
use crate::call::Inflight;
use crate::child::{HttpChild, listening};
use crate::config::Config;
use crate::control::{self, Report};
use crate::fault::exit_text;
use crate::fprocess::Fprocess;
use crate::group::Groups;
use crate::listen::{Address, Listener};
use crate::lock::LockFile;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::serve::{serve, serve_metrics};

/// How long the callers of a dead child have to read their errors.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a watchdog could not start, or could not go on.
#[derive(Debug, Error)]
pub enum LifeError {
    /// fd 0 is not the control stream that was promised.
    #[error("TIDEGATE_CONTROL=stdin, but fd 0 is no connected socket: {0}")]
    Control(io::Error),
    /// No signal handler.
    #[error("cannot handle signals: {0}")]
    Signals(io::Error),
    /// The listener could not be bound.
    #[error("cannot listen on {address}: {fault}")]
    Listen {
        /// Where.
        address: Address,
        /// The system's word.
        fault: io::Error,
    },
    /// The lock file could not be written.
    #[error("cannot write the lock file {path}: {fault}")]
    Lock {
        /// Where.
        path: PathBuf,
        /// The system's word.
        fault: io::Error,
    },
    /// The program to run is not there.
    #[error("cannot find the program {0}")]
    NoProgram(String),
    /// The http child could not be started.
    #[error("cannot start {program}: {fault}")]
    Start {
        /// What was to be run.
        program: String,
        /// The system's word.
        fault: io::Error,
    },
    /// The http child ended.
    #[error("the function ended: {0}")]
    ChildEnded(String),
    /// The parent ended; nothing was drained.
    #[error("the parent is gone")]
    ParentGone,
}

/// Lives until told to stop.
///
/// # Errors
/// When the start fails, or the http child or the parent ends.
pub async fn live(config: Config, log: &Log) -> Result<(), LifeError> {
    let (parent, mut report) = control::take(config.control).map_err(LifeError::Control)?;
    let groups = Groups::default();
    let mut started = false;
    let result = tokio::select! {
        result = serve_until_end(config, log, &groups, &mut report, &mut started) => result,
        () = parent.gone() => Err(LifeError::ParentGone),
    };
    groups.kill_all();
    if let Err(fault) = &result
        && !started
    {
        report.failed(&fault.to_string()).await;
    }
    result
}

async fn serve_until_end(
    config: Config,
    log: &Log,
    groups: &Groups,
    report: &mut Report,
    started: &mut bool,
) -> Result<(), LifeError> {
    let mut stop = Stop::new().map_err(LifeError::Signals)?;
    let lock = LockFile::new(&config.temporary, config.suppress_lock);
    // First, so that whoever is answered over the port finds it there.
    let local = bind_local(config.local.as_ref(), log).await;
    let listener = bind(&config.listen).await?;
    let metrics = Metrics::new();
    if let Some(address) = &config.metrics {
        let listener = bind(address).await?;
        log.line(format!("Metrics listening on port: {}", listener.place()));
        tokio::spawn(serve_metrics(metrics.clone(), listener));
    }
    let (function, mut child) = start_function(&config, groups, log)?;
    lock.write().map_err(|fault| LifeError::Lock { path: lock.path().to_owned(), fault })?;
    log_start(&config, &lock, log, &listener.place());
    let app = Arc::new(App {
        inflight: Inflight::new(config.max_inflight),
        config,
        function,
        log: log.clone(),
        metrics,
        lock,
        groups: groups.clone(),
        tasks: TaskTracker::new(),
        closing: CancellationToken::new(),
        accepting: AtomicBool::new(true),
        ready: AtomicBool::new(false),
    });
    let servers = local.into_iter().chain([listener]).map(|one| serve(Arc::clone(&app), one));
    let server = tokio::spawn(join_all(servers.collect::<Vec<_>>()));
    tokio::select! {
        () = become_ready(&app) => {
            *started = true;
            report.ready().await;
        }
        ended = child_end(&mut child) => return Err(give_up(&app, ended).await),
        () = stop.asked() => return drain(&app, server, child).await,
    }
    tokio::select! {
        ended = child_end(&mut child) => Err(give_up(&app, ended).await),
        () = stop.asked() => drain(&app, server, child).await,
    }
}

async fn bind(address: &Address) -> Result<Listener, LifeError> {
    let bound = address.bind().await;
    bound.map_err(|fault| LifeError::Listen { address: address.clone(), fault })
}

/// Calls come over the port as well, so that a name which somebody has is no reason to give up.
async fn bind_local(address: Option<&Address>, log: &Log) -> Option<Listener> {
    let address = address?;
    let bound = address.bind().await;
    bound.map_err(|fault| log.line(format!("not listening on {address}: {fault}"))).ok()
}

fn start_function(
    config: &Config,
    groups: &Groups,
    log: &Log,
) -> Result<(Function, Option<HttpChild>), LifeError> {
    let Some(fprocess) = &config.fprocess else {
        return Ok((Function::Files(Arc::default()), None));
    };
    let Some(mut upstream) = config.upstream.clone() else {
        // Others let each call find out; a backend that waits for `ready` wants to know now.
        if config.control && !is_program(fprocess) {
            return Err(LifeError::NoProgram(fprocess.program.clone()));
        }
        return Ok((Function::Fork(fprocess.clone()), None));
    };
    let child = HttpChild::start(config, fprocess, &mut upstream, groups, log)
        .map_err(|fault| LifeError::Start { program: fprocess.program.clone(), fault })?;
    Ok((Function::Http(Pool::new(upstream)), Some(child)))
}

/// Whether the program can be found, as the system will look for it.
fn is_program(fprocess: &Fprocess) -> bool {
    let program = &fprocess.program;
    if program.contains('/') {
        return std::path::Path::new(program).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn log_start(config: &Config, lock: &LockFile, log: &Log, place: &str) {
    let Config { mode, timeouts, .. } = config;
    let show = |span: Option<Duration>| tidegate_core::format_duration(span.unwrap_or_default());
    log.line(format!(
        "Timeouts: read: {} write: {} hard: {} health: {}",
        show(timeouts.read),
        show(timeouts.write),
        show(timeouts.exec),
        show(Some(timeouts.healthcheck_interval)),
    ));
    let program = config.fprocess.as_ref().map_or("", |fprocess| fprocess.program.as_str());
    log.line(format!("OpenFaaS mode: {} {program}", format!("{mode:?}").to_lowercase()));
    if !config.suppress_lock {
        log.line(format!("Writing lock-file to: {}", lock.path().display()));
    }
    log.line(format!("Listening on port: {place}"));
}

async fn become_ready(app: &App) {
    if let Function::Http(pool) = &app.function {
        listening(pool, app.config.ready_path.as_deref()).await;
    }
    app.ready.store(true, Ordering::Relaxed);
}

/// The end of the http child; never without one.
async fn child_end(child: &mut Option<HttpChild>) -> String {
    let Some(child) = child else { return std::future::pending().await };
    child.ended().await.map_or_else(|fault| fault.to_string(), exit_text)
}

/// Ends after the http child: its callers get their errors, new ones are refused.
async fn give_up(app: &App, ended: String) -> LifeError {
    stop_accepting(app);
    app.closing.cancel();
    app.tasks.close();
    let _ = timeout(LAST_WORDS, app.tasks.wait()).await;
    LifeError::ChildEnded(ended)
}

fn stop_accepting(app: &App) {
    app.accepting.store(false, Ordering::Relaxed);
    app.lock.remove();
}

/// Drains: unhealthy first, calls served meanwhile; then no new connections; then the child ends.
async fn drain(
    app: &App,
    server: JoinHandle<Vec<()>>,
    mut child: Option<HttpChild>,
) -> Result<(), LifeError> {
    let interval = app.config.timeouts.healthcheck_interval;
    let span = tidegate_core::format_duration(interval);
    app.log.line(format!("SIGTERM: no new connections in {span}"));
    stop_accepting(app);
    app.log.line(format!("Removing lock-file: {}", app.lock.path().display()));
    tokio::select! {
        () = sleep(interval) => {}
        _ = child_end(&mut child) => {}
    }
    app.log.line(format!("Draining {} requests", app.inflight.count()));
    app.closing.cancel();
    app.tasks.close();
    let _ = server.await;
    match app.config.timeouts.write {
        None => app.tasks.wait().await,
        // Whoever is not done by then is cut, as the limit says.
        Some(write) => drop(timeout(write, app.tasks.wait()).await),
    }
    app.log.line(format!("Exiting with {} active requests", app.inflight.count()));
    if let Some(child) = child {
        child.stop().await;
    }
    Ok(())
}

/// SIGTERM or SIGINT; later ones change nothing.
struct Stop {
    term: Signal,
    int: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
