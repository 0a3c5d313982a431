//! The command line of `tidegate load`: hey's flags as people type them, and ours.
//!
//! hey is a Go program, so `-n 200`, `-n=200`, `--n 200`, `-h2` and `-disable-keepalive` all work. The words
//! are first rewritten (`args/go.rs`) and then read by clap; what the flags mean together is for
//! [`crate::order`].

mod go;
mod values;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use thiserror::Error;

pub use values::{Header, Login};

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// To be told what can be said.
    Help(String),
    /// A run.
    Run(Box<Flags>),
}

/// A command line that cannot be meant: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct BadArgs(pub String);

const EXAMPLES: &str = "\
Examples:
  tidegate load http://127.0.0.1:8080/function/cat           200 calls by 50 workers, as hey does
  tidegate load -z 30s -c 20 -m POST -d hello URL            a closed loop for 30 s
  tidegate load --rate 200/s -z 1m URL                       an open loop: latency counts from due
  tidegate load --profile steps:0/s@10s,200/s@30s,0/s@60s \\
      --gateway http://127.0.0.1:8080 --report out.html URL  a load step, replicas beside latency
  tidegate load --targets many.yml --rate 50/s -z 5m         many functions at once, by weight
  tidegate load --rate 100/s -z 1m \\
      --expect 'p99<200ms,errors<0.1%' URL                   exit code 1 when missed
";

const AFTER: &str = "\
Flags may be written as hey's users do: -n 200, -n=200, --n 200, -h2, -disable-keepalive.

Profiles: 200/s[@60s]  steps:0/s@10s,200/s@30s  ramp:0/s..500/s@60s
          spike:50/s,500/s@10s+5s,60s  poisson:200/s@60s  sine:100/s±50/s@30s,5m
Expect:   p50 to p99.99, mean, max, uncorrected.p99 … in ms or s; errors in % or counts;
          rate in /s; replicas, calls, answered, late; status.5xx, status.404

Exit codes:
    0  done
    1  an expectation was missed
    2  it cannot be run
  130  interrupted (Ctrl-C), after the summary so far";

/// How results are written to stdout.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// hey's summary, then ours.
    #[default]
    Text,
    /// A row for each answered call, with hey's columns.
    Csv,
    /// Everything, as one JSON object.
    Json,
}

/// When the live view is shown.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Live {
    /// A screen on a terminal, a line a second elsewhere.
    #[default]
    Auto,
    /// A screen.
    Always,
    /// Nothing.
    Never,
}

/// Sends load and tells what came of it: hey's flags, an open loop, and replicas beside latency
#[derive(Debug, Parser)]
#[command(
    name = "tidegate load",
    no_binary_name = true,
    disable_version_flag = true,
    max_term_width = 120
)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub struct Flags {
    /// Whom to call: http:// or https://
    pub url: Option<String>,

    /// Calls to send, exactly so many (default 200; ignored with -z)
    #[arg(short = 'n', long = "calls", alias = "n", value_name = "N", value_parser = values::calls, help_heading = "As in hey")]
    pub calls: Option<u64>,
    /// Workers; with an open loop the most calls open at once (default 50, open loop 1000)
    #[arg(short = 'c', long = "workers", alias = "c", value_name = "N", value_parser = values::workers, help_heading = "As in hey")]
    pub workers: Option<usize>,
    /// Calls a second for each worker
    #[arg(short = 'q', long = "each", alias = "q", value_name = "RATE", value_parser = values::each, help_heading = "As in hey")]
    pub each: Option<f64>,
    /// How long to send, such as 10s or 3m; -n is then ignored
    #[arg(short = 'z', long = "duration", alias = "z", value_name = "DURATION", value_parser = values::span, help_heading = "As in hey")]
    pub duration: Option<Duration>,
    /// What is written to stdout: text, csv or json
    #[arg(
        short = 'o',
        long = "output",
        alias = "o",
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true,
        help_heading = "As in hey"
    )]
    pub output: Output,
    /// Method of the calls (default GET)
    #[arg(short = 'm', long = "method", alias = "m", value_parser = values::method, help_heading = "As in hey")]
    pub method: Option<http::Method>,
    /// A header, 'Name: value'; may be repeated
    #[arg(short = 'H', long = "header", alias = "H", value_name = "HEADER", value_parser = values::header, help_heading = "As in hey")]
    pub headers: Vec<Header>,
    /// Longest time for one call, in seconds or such as 500ms; 0 is for ever (default 20)
    #[arg(short = 't', long = "timeout", alias = "t", value_name = "SECONDS", value_parser = values::timeout, help_heading = "As in hey")]
    pub timeout: Option<Duration>,
    /// The Accept header
    #[arg(short = 'A', long = "accept", alias = "A", value_name = "TYPE", value_parser = values::header_value, help_heading = "As in hey")]
    pub accept: Option<http::HeaderValue>,
    /// Body of the calls
    #[arg(
        short = 'd',
        long = "body",
        alias = "d",
        value_name = "TEXT",
        conflicts_with = "body_file",
        help_heading = "As in hey"
    )]
    pub body: Option<String>,
    /// File with the body of the calls
    #[arg(
        short = 'D',
        long = "body-file",
        alias = "D",
        value_name = "FILE",
        help_heading = "As in hey"
    )]
    pub body_file: Option<PathBuf>,
    /// The Content-Type header (default text/html, as in hey)
    #[arg(short = 'T', long = "content-type", alias = "T", value_name = "TYPE", value_parser = values::header_value, help_heading = "As in hey")]
    pub content_type: Option<http::HeaderValue>,
    /// Basic authentication, user:password
    #[arg(short = 'a', long = "auth", alias = "a", value_name = "USER:PASSWORD", value_parser = values::login, help_heading = "As in hey")]
    pub auth: Option<Login>,
    /// HTTP proxy, host:port
    #[arg(short = 'x', long = "proxy", alias = "x", value_name = "HOST:PORT", value_parser = values::proxy, help_heading = "As in hey")]
    pub proxy: Option<http::Uri>,
    /// HTTP/2
    #[arg(long = "h2", help_heading = "As in hey")]
    pub http2: bool,
    /// The Host header
    #[arg(long, value_parser = values::header_value, help_heading = "As in hey")]
    pub host: Option<http::HeaderValue>,
    /// Does not ask for compressed answers
    #[arg(long, help_heading = "As in hey")]
    pub disable_compression: bool,
    /// A new connection for every call
    #[arg(long, help_heading = "As in hey")]
    pub disable_keepalive: bool,
    /// Does not follow redirects
    #[arg(long, help_heading = "As in hey")]
    pub disable_redirects: bool,
    /// Threads that send (default: one for each core)
    #[arg(long, value_name = "N", value_parser = values::threads, help_heading = "As in hey")]
    pub cpus: Option<usize>,

    /// Open loop: calls are due at this rate, such as 200/s or 90/m, whatever becomes of them
    #[arg(long, value_name = "RATE", conflicts_with_all = ["profile", "replay", "each"], help_heading = "When to call")]
    pub rate: Option<String>,
    /// Open loop by a profile, in one line or as a YAML file
    #[arg(long, value_name = "PROFILE|FILE", conflicts_with_all = ["replay", "each"], help_heading = "When to call")]
    pub profile: Option<String>,
    /// Open loop by a recording: time,function,duration,body size
    #[arg(long, value_name = "FILE.csv", conflicts_with = "each", help_heading = "When to call")]
    pub replay: Option<PathBuf>,
    /// Seed of random profiles and of weights: the same sends the same (default 1)
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        hide_default_value = true,
        help_heading = "When to call"
    )]
    pub seed: u64,

    /// Many targets with weights, methods, bodies and what is right, from a YAML file
    #[arg(long, value_name = "FILE.yml", help_heading = "What to call")]
    pub targets: Option<PathBuf>,
    /// Does not check certificates
    #[arg(short = 'k', long, help_heading = "What to call")]
    pub insecure: bool,
    /// Trusts these certificates too (PEM)
    #[arg(long, value_name = "FILE", help_heading = "What to call")]
    pub cacert: Option<PathBuf>,
    /// Allows more than 1,000 calls a second to another machine
    #[arg(short = 'y', long, help_heading = "What to call")]
    pub yes: bool,

    /// What must hold, such as 'p99<200ms,errors<0.1%,replicas>=4'; exit code 1 when it does not
    #[arg(long, value_name = "CRITERIA", help_heading = "What to tell")]
    pub expect: Vec<String>,
    /// Watches replicas and decisions of the called functions at this gateway
    #[arg(short = 'g', long, value_name = "URL", help_heading = "What to tell")]
    pub gateway: Option<String>,
    /// Watches so much longer when the load has ended, to see replicas go
    #[arg(long, value_name = "DURATION", value_parser = values::span, help_heading = "What to tell")]
    pub watch_after: Option<Duration>,
    /// Writes a page with four charts over one time axis
    #[arg(long, value_name = "FILE.html", help_heading = "What to tell")]
    pub report: Option<PathBuf>,
    /// Serves /metrics for Prometheus while it runs
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::address, help_heading = "What to tell")]
    pub metrics: Option<SocketAddr>,
    /// Shows how it goes while it runs: auto, always or never
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true,
        help_heading = "What to tell"
    )]
    pub live: Live,
    /// Nothing but results and errors
    #[arg(long, help_heading = "What to tell")]
    pub quiet: bool,
    /// Reads the gateway's password from stdin
    #[arg(long, help_heading = "What to tell")]
    pub password_stdin: bool,
    /// Where `tidegate up` keeps its state, and the gateway's password
    #[arg(long, value_name = "DIR", help_heading = "What to tell")]
    pub state_dir: Option<PathBuf>,
}

/// Reads the words after `tidegate load`.
///
/// # Errors
/// When a flag is unknown, lacks its value or has one that it cannot have.
pub fn parse(words: Vec<OsString>) -> Result<Command, BadArgs> {
    let definition = Flags::command();
    let words = go::rewrite(&definition, words)?;
    if words.is_empty() {
        return Err(BadArgs(
            "nobody to call: give a URL, such as tidegate load http://127.0.0.1:8080/function/cat"
                .to_owned(),
        ));
    }
    let found =
        definition.try_get_matches_from(words).and_then(|found| Flags::from_arg_matches(&found));
    match found {
        Ok(flags) => Ok(Command::Run(Box::new(flags))),
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => {
            Ok(Command::Help(error.to_string()))
        }
        Err(error) => Err(BadArgs(sentence(&error))),
    }
}

/// clap's first paragraph on one line, with its tip.
fn sentence(error: &clap::Error) -> String {
    if let Some(second) = second_url(error) {
        return format!(
            "one URL is called, and {second:?} is a second; many stand in a file for --targets"
        );
    }
    let text = error.to_string();
    let text = text.trim_start_matches("error: ");
    let first: Vec<&str> =
        text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let first = as_typed(&first.join(" "));
    match tip {
        Some(tip) => format!("{first}; {tip}"),
        None => first,
    }
}

/// What stands behind the URL and is no flag.
fn second_url(error: &clap::Error) -> Option<&str> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) => {
            Some(word.as_str()).filter(|word| !word.starts_with('-'))
        }
        _ => None,
    }
}

/// clap names flags as `--workers <N>`; hey's users know them by their letter.
fn as_typed(sentence: &str) -> String {
    let mut text = sentence.to_owned();
    let mut definition = Flags::command();
    // Before, arguments do not know how they are written.
    definition.build();
    for arg in definition.get_arguments() {
        let (Some(long), Some(short)) = (arg.get_long(), arg.get_short()) else { continue };
        let full = format!("'{arg}'");
        text = text.replace(&full, &format!("-{short} (--{long})"));
    }
    text
}

/// The words again as one line for reports, without secrets.
#[must_use]
pub fn shown(words: &[OsString]) -> String {
    let definition = Flags::command();
    std::iter::once("tidegate load".to_owned())
        .chain(go::without_secrets(&definition, words).into_iter().map(|word| quoted(&word)))
        .collect::<Vec<_>>()
        .join(" ")
}

/// As a shell would read it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
