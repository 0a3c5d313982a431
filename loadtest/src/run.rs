//! Runs a plan: starts the threads, gathers their seconds, and makes results of them.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::collect::Collector;
use crate::connection::dial::{ConnectError, Dialer};
use crate::connection::request::{Origin, Prepared};
use crate::plan::{Pace, Plan};
use crate::record::{Batch, Setup};
use crate::results::{Results, Second, Tally};
use crate::schedule::{Picker, Schedule};
use crate::tls::{self, TlsError};
use crate::worker::{self, Budget, Part, Shared};

/// Takes the second that is over and all so far.
pub type OnSecond = Box<dyn FnMut(&Second, &Tally) + Send>;
/// Takes a call that ended.
pub type OnCall = Box<dyn FnMut(&Call) + Send>;

/// Told of what happens while a run goes on. Both are called on the task of [`run`], not where calls are sent.
#[derive(Default)]
pub struct Hooks {
    /// About once a second: the second that is over, and all so far.
    pub on_second: Option<OnSecond>,
    /// Every call that ended, in batches, in order within a thread only; without it none is kept.
    pub on_call: Option<OnCall>,
}

/// One call that ended; durations after the start of the run, or of a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Index into the plan's targets.
    pub target: u32,
    /// When it was due; in a closed loop, when it was sent.
    pub due: Duration,
    /// When it was begun: before a connection was dialed, if it needed one.
    pub sent: Duration,
    /// When its last byte had come, or it had failed.
    pub done: Duration,
    /// Name lookup, TCP, proxy and TLS together; zero on a connection that was open.
    pub dial: Duration,
    /// Name lookup.
    pub dns: Duration,
    /// Until the request was written.
    pub write: Duration,
    /// Until the first byte of the answer.
    pub wait: Duration,
    /// Until its last.
    pub read: Duration,
    /// Bytes of the answer's body, as they arrived.
    pub bytes: u64,
    /// Status of a right answer, or why it is an error.
    pub end: Result<u16, Arc<str>>,
}

/// Why there are no results.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RunError {
    /// The plan has nobody to call.
    #[error("there is nothing to call; give a URL")]
    NoTarget,
    /// A target's URL is not one.
    #[error("{0:?} is not an http:// or https:// address with a host")]
    Url(String),
    /// A recording names a target that is not there.
    #[error("the recording calls target {0}, which the plan does not have")]
    Recording(u32),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No call got a connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// So many files may not be open.
    #[error(
        "{wanted} connections need more open files than the {limit} this process may have; raise `ulimit -n` or use fewer connections"
    )]
    Files {
        /// Connections of the plan.
        wanted: usize,
        /// The hard limit.
        limit: u64,
    },
    /// A thread or its reactor could not be made.
    #[error("cannot start a sending thread: {0}")]
    Thread(String),
}

/// Runs the plan to its end, or until `stop`: then open calls are cut off and count neither as answered
/// nor as errors.
///
/// Sending happens on threads of its own; the calling task only gathers. Dropping the future stops them.
///
/// # Errors
/// When the plan cannot be run, or no call ever got a connection: then with the first reason.
pub async fn run(plan: &Plan, hooks: Hooks, stop: CancellationToken) -> Result<Results, RunError> {
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    raise_file_limit(plan.connections)?;
    // A child, so that a run that gives up does not stop its caller.
    let stop_threads = stop.child_token();
    let _stop_when_dropped = stop_threads.clone().drop_guard();
    let shared = Arc::new(shared(plan, stop_threads.clone())?);
    let tls = tls(plan)?;
    let (out, mut batches) = tokio::sync::mpsc::unbounded_channel();
    let mut lanes = Vec::with_capacity(threads);
    for thread in 0..threads {
        let (back_in, back) = std::sync::mpsc::channel();
        let (go, start) = tokio::sync::oneshot::channel();
        let setup = Setup {
            thread,
            targets: plan.targets.len(),
            open_loop: plan.is_open(),
            keep_calls: hooks.on_call.is_some(),
            out: out.clone(),
            back,
        };
        let part = Part {
            shared: Arc::clone(&shared),
            dialer: dialer(plan, Arc::clone(&tls))?,
            slots: share(plan.connections.max(1), thread, threads),
            schedule: Schedule::new(plan, thread, threads),
            end: plan.end(),
            setup,
            start,
        };
        let name = format!("load-{thread}");
        let handle = std::thread::Builder::new()
            .name(name)
            .spawn(move || worker::run(part))
            .map_err(|error| RunError::Thread(error.to_string()))?;
        lanes.push(Lane { back: back_in, go: Some(go), handle });
    }
    drop(out);
    let cpu = clock::cpu_seconds();
    let started = clock::wall();
    let start = clock::now();
    for lane in &mut lanes {
        // A thread that is gone says why when it is joined.
        let _ = lane.go.take().map(|go| go.send(start));
    }
    let mut collector = Collector::new(plan, hooks, start, threads);
    while let Some(batch) = batches.recv().await {
        let empty = collector.take(batch);
        if let Some(error) = collector.hopeless() {
            return Err(error.into());
        }
        give_back(&lanes, empty);
    }
    for lane in lanes {
        let ended =
            lane.handle.join().unwrap_or_else(|_| Err(std::io::Error::other("it panicked")));
        ended.map_err(|error| RunError::Thread(error.to_string()))?;
    }
    let mut results = collector.finish(stop.is_cancelled());
    results.started = started;
    results.cpu_seconds = clock::cpu_seconds() - cpu;
    Ok(results)
}

/// [`run`] for callers without a runtime.
///
/// # Errors
/// As [`run`].
pub fn run_blocking(
    plan: &Plan,
    hooks: Hooks,
    stop: CancellationToken,
) -> Result<Results, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| RunError::Thread(error.to_string()))?.block_on(run(plan, hooks, stop))
}

/// A thread as its starter sees it.
struct Lane {
    back: std::sync::mpsc::Sender<Box<Batch>>,
    go: Option<tokio::sync::oneshot::Sender<std::time::Instant>>,
    handle: std::thread::JoinHandle<std::io::Result<()>>,
}

fn give_back(lanes: &[Lane], batch: Box<Batch>) {
    if let Some(lane) = lanes.get(batch.thread) {
        // A thread that has ended needs none.
        let _ = lane.back.send(batch);
    }
}

/// The part of `count` that one of `of` gets.
fn share(count: usize, part: usize, of: usize) -> usize {
    count / of + usize::from(part < count % of)
}

fn shared(plan: &Plan, stop: CancellationToken) -> Result<Shared, RunError> {
    if plan.targets.is_empty() {
        return Err(RunError::NoTarget);
    }
    if let Pace::Replay(recording) = &plan.pace
        && let Some(due) = recording.iter().find(|due| due.target as usize >= plan.targets.len())
    {
        return Err(RunError::Recording(due.target));
    }
    let mut origins: Vec<Origin> = Vec::new();
    let mut targets = Vec::with_capacity(plan.targets.len());
    for target in &plan.targets {
        let origin =
            Origin::of(&target.uri).ok_or_else(|| RunError::Url(target.uri.to_string()))?;
        let known = origins.iter().position(|known| *known == origin);
        let index = known.unwrap_or_else(|| {
            origins.push(origin);
            origins.len() - 1
        });
        targets.push(Prepared::new(target, &plan.transport, index));
    }
    let gap = match plan.pace {
        Pace::Closed { each: Some(each) } if each > 0.0 => {
            Some(Duration::from_secs_f64(1.0 / each))
        }
        _ => None,
    };
    Ok(Shared {
        targets,
        origins,
        transport: plan.transport.clone(),
        timeout: plan.timeout,
        gap,
        picker: Picker::new(&plan.targets, plan.seed),
        budget: Budget::new(plan.calls, plan.connections.max(1)),
        stop,
    })
}

fn dialer(plan: &Plan, tls: Arc<tls::Lazy>) -> Result<Dialer, RunError> {
    let proxy = match &plan.transport.proxy {
        Some(uri) => {
            let origin = Origin::of(uri).filter(|origin| !origin.tls);
            Some((origin.ok_or_else(|| RunError::Url(uri.to_string()))?, uri.clone()))
        }
        None => None,
    };
    Ok(Dialer { connect_to: plan.transport.connect_to, proxy, tls })
}

/// TLS for all threads; ready before the run when it is sure to be needed, so that errors come first.
fn tls(plan: &Plan) -> Result<Arc<tls::Lazy>, RunError> {
    let tls = Arc::new(tls::Lazy::new(&plan.transport));
    if plan.targets.iter().any(|target| target.uri.scheme_str() == Some("https")) {
        tls.config()?;
    }
    Ok(tls)
}

/// Descriptors a process needs beside its connections.
const OTHER_FILES: u64 = 64;

fn raise_file_limit(connections: usize) -> Result<(), RunError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let need = connections as u64 * 2 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= need) {
        return Ok(());
    }
    let current = limit.maximum.map_or(need, |maximum| maximum.min(need));
    if current < connections as u64 + OTHER_FILES {
        return Err(RunError::Files { wanted: connections, limit: current });
    }
    // Without the raise calls still say what went wrong.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
    Ok(())
}
