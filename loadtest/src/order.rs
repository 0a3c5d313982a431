//! From flags to what is to be done: the plan, what is shown and written, what is watched and expected.
//!
//! Files are read here, defaults are filled in as hey has them, bounds and safety are settled; whoever
//! runs the order has nothing left to decide.

mod calls;
mod safety;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_core::{FunctionId, format_duration};

use crate::args::{BadArgs, Flags, Live, Output};
use crate::expect::{self, Criterion};
use crate::plan::{Pace, Plan, Target, Transport};
use crate::profile::Profile;

/// hey's defaults.
const CALLS: u64 = 200;
const WORKERS: usize = 50;
const TIMEOUT: Duration = Duration::from_secs(20);
/// Calls open at once in an open loop when nobody says otherwise: a slow target shall not hold it back.
const OPEN_WORKERS: usize = 1000;
/// An open loop ends after this when nothing else ends it.
const OPEN_BOUND: Duration = Duration::from_secs(60);

/// One thing to do, settled in every detail.
#[derive(Debug)]
pub struct Order {
    /// What is sent.
    pub plan: Plan,
    /// How results are written to stdout.
    pub output: Output,
    /// When the live view is shown.
    pub live: Live,
    /// Nothing but results and errors.
    pub quiet: bool,
    /// Where the page goes.
    pub report: Option<PathBuf>,
    /// Where `/metrics` is served.
    pub metrics: Option<SocketAddr>,
    /// What must hold.
    pub criteria: Vec<Criterion>,
    /// The gateway to watch, as given.
    pub gateway: Option<String>,
    /// Functions to watch there.
    pub functions: Vec<FunctionId>,
    /// How much longer it is watched.
    pub watch_after: Duration,
    /// Whether the gateway's password comes from stdin.
    pub password_stdin: bool,
    /// What was settled that nobody asked for, one sentence each.
    pub notes: Vec<String>,
    /// The command line, without secrets.
    pub command: String,
}

fn bad(text: impl Into<String>) -> BadArgs {
    BadArgs(text.into())
}

/// Reads a small file that a flag names.
fn read_text(flag: &str, path: &Path) -> Result<String, BadArgs> {
    std::fs::read_to_string(path)
        .map_err(|error| bad(format!("{flag}: cannot read {}: {error}", path.display())))
}

impl Order {
    /// Settles what the flags mean.
    ///
    /// # Errors
    /// When they do not go together, or a file they name cannot be used: one sentence.
    pub fn new(flags: Flags, command: String) -> Result<Self, BadArgs> {
        let mut notes = Vec::new();
        let criteria = criteria(&flags)?;
        let targets = calls::targets(&flags)?;
        let (pace, targets) = pace(&flags, targets)?;
        let open = !matches!(pace, Pace::Closed { .. });
        let calls = calls_of(&flags, open)?;
        let mut plan = Plan {
            connections: workers(&flags, open, calls),
            targets,
            pace,
            calls,
            duration: flags.duration,
            timeout: Some(flags.timeout.unwrap_or(TIMEOUT)).filter(|timeout| !timeout.is_zero()),
            threads: flags.cpus.unwrap_or_else(cores),
            transport: transport(&flags),
            seed: flags.seed,
        };
        notes.extend(bounded(&mut plan));
        notes.extend(plain_http2(&plan));
        notes.extend(safety::guard(&mut plan, flags.yes)?);
        if flags.watch_after.is_some() && flags.gateway.is_none() {
            return Err(bad("--watch-after watches replicas at a gateway; add --gateway URL"));
        }
        if criteria.iter().any(Criterion::needs_gateway) && flags.gateway.is_none() {
            return Err(bad("--expect: replicas are seen only at a gateway; add --gateway URL"));
        }
        let functions = functions(&plan.targets);
        if flags.gateway.is_some() && functions.is_empty() {
            return Err(bad(
                "--gateway: no target is a function; their URLs have no /function/NAME",
            ));
        }
        Ok(Self {
            plan,
            output: flags.output,
            live: flags.live,
            quiet: flags.quiet,
            report: flags.report,
            metrics: flags.metrics,
            criteria,
            gateway: flags.gateway,
            functions,
            watch_after: flags.watch_after.unwrap_or_default(),
            password_stdin: flags.password_stdin,
            notes,
            command,
        })
    }
}

fn criteria(flags: &Flags) -> Result<Vec<Criterion>, BadArgs> {
    let mut all = Vec::new();
    for text in &flags.expect {
        all.extend(expect::parse(text).map_err(|error| bad(format!("--expect: {error}")))?);
    }
    Ok(all)
}

/// When calls are due, and to whom; a recording may name its own targets.
fn pace(flags: &Flags, targets: Vec<Target>) -> Result<(Pace, Vec<Target>), BadArgs> {
    if let Some(path) = &flags.replay {
        let (recording, targets) = calls::recording(flags, path, targets)?;
        return Ok((Pace::Replay(recording), targets));
    }
    let profile = match (&flags.rate, &flags.profile) {
        (Some(rate), _) => Some(rate_of(rate)?),
        (None, Some(profile)) => Some(profile_of(profile)?),
        (None, None) => None,
    };
    let closed = Pace::Closed { each: flags.each.filter(|each| *each > 0.0) };
    Ok((profile.map_or(closed, Pace::Open), targets))
}

/// `200/s`, perhaps with `@60s`.
fn rate_of(text: &str) -> Result<Profile, BadArgs> {
    if text.contains(':') {
        return Err(bad(format!("--rate: {text:?} is a profile; give it to --profile")));
    }
    if !text.trim_start().starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Err(bad(format!("--rate: {text:?} is not a rate such as 200/s, 90/m or 1000/h")));
    }
    Profile::parse(text).map_err(|error| bad(format!("--rate: {error}")))
}

/// In one line, or a file.
fn profile_of(text: &str) -> Result<Profile, BadArgs> {
    let file = text.ends_with(".yml") || text.ends_with(".yaml") || Path::new(text).is_file();
    if !file {
        return Profile::parse(text).map_err(|error| bad(format!("--profile: {error}")));
    }
    let content = read_text("--profile", Path::new(text))?;
    let read = Profile::from_yaml(&content);
    read.map_err(|error| {
        bad(format!("--profile: {text}: {}", crate::targets::first_line(&error.to_string())))
    })
}

/// hey's rules: a duration beats a count, and there are no fewer calls than workers.
fn calls_of(flags: &Flags, open: bool) -> Result<Option<u64>, BadArgs> {
    if flags.duration.is_some() {
        return Ok(None);
    }
    if open {
        return Ok(flags.calls);
    }
    let calls = flags.calls.unwrap_or(CALLS);
    match flags.workers {
        Some(workers) if workers as u64 > calls => Err(bad(format!(
            "-n cannot be less than -c: {workers} workers for {calls} calls leave some without any"
        ))),
        _ => Ok(Some(calls)),
    }
}

fn workers(flags: &Flags, open: bool, calls: Option<u64>) -> usize {
    let most = calls.map_or(usize::MAX, |calls| usize::try_from(calls).unwrap_or(usize::MAX));
    let default = if open { OPEN_WORKERS.min(safety::connections_at_most()) } else { WORKERS };
    flags.workers.unwrap_or_else(|| default.min(most))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn transport(flags: &Flags) -> Transport {
    Transport {
        http2: flags.http2,
        no_keepalive: flags.disable_keepalive,
        no_compression: flags.disable_compression,
        no_redirects: flags.disable_redirects,
        insecure: flags.insecure,
        ca_file: flags.cacert.clone(),
        proxy: flags.proxy.clone(),
        connect_to: None,
    }
}

/// Nothing runs for ever: an open loop that nothing ends gets an end, and that is said.
fn bounded(plan: &mut Plan) -> Option<String> {
    let endless = matches!(&plan.pace, Pace::Open(profile) if profile.length().is_none());
    if !endless || plan.calls.is_some() || plan.duration.is_some() {
        return None;
    }
    plan.duration = Some(OPEN_BOUND);
    Some(format!(
        "ends after {}; say how long with -z, or how many calls with -n",
        format_duration(OPEN_BOUND)
    ))
}

/// As in hey, `-h2` says nothing to a plain target; who asks for it should know.
fn plain_http2(plan: &Plan) -> Option<String> {
    let plain = |target: &&Target| target.uri.scheme_str() == Some("http");
    let target = plan.targets.iter().find(plain).filter(|_| plan.transport.http2)?;
    Some(format!("-h2 needs https://, as in hey: {} is called with HTTP/1.1", target.name))
}

/// The functions that targets call, each once.
fn functions(targets: &[Target]) -> Vec<FunctionId> {
    let found: BTreeSet<FunctionId> =
        targets.iter().filter_map(|target| function_of(&target.uri)).collect();
    found.into_iter().collect()
}

/// `…/function/NAME` and `…/async-function/NAME`, with or without more behind it.
fn function_of(uri: &http::Uri) -> Option<FunctionId> {
    let mut parts = uri.path().split('/');
    parts.find(|part| matches!(*part, "function" | "async-function"))?;
    let name = parts.next()?;
    match name.contains('.') {
        true => FunctionId::parse(name).ok(),
        false => FunctionId::new(name, tidegate_core::DEFAULT_NAMESPACE).ok(),
    }
}

#[cfg(test)]
mod tests;
