//! The `tidegate` binary: collects the environment once, hands over to the command line, and turns
//! what comes back into the process's exit code.
//!
//! `tidegate fwatchdog` is the function runtime that the process backend starts for each replica. It
//! is told apart before anything else is looked at, so that a replica starts as fast as it can; so are
//! the demo function that an empty tidegate starts with, and what containerd starts to look after
//! containers and to write their logs.

mod allocator;
mod cli;
mod client;
mod doctor;
mod output;

use std::ffi::OsString;
use std::process::ExitCode;

use tidegate_core::Vars;
use tidegate_provider_containerd::{LOG_COLLECTOR, is_shim};

fn main() -> ExitCode {
    let vars = environment();
    let args: Vec<OsString> = std::env::args_os().collect();
    match args.get(1).and_then(|word| word.to_str()) {
        Some(cli::fwatchdog::WORD) => cli::fwatchdog::run(args, vars),
        Some(tidegate::up::DEMO_WORD) => cli::demo::run(),
        Some(LOG_COLLECTOR) => collect_logs(&args),
        Some(_) if is_shim(&args) => run_shim(&args),
        _ => cli::run(args, vars),
    }
}

fn collect_logs(args: &[OsString]) -> ExitCode {
    let word = args.get(2).and_then(|word| word.to_str()).unwrap_or_default();
    match tidegate_provider_containerd::collect_logs(word) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{LOG_COLLECTOR}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_shim(args: &[OsString]) -> ExitCode {
    let words: Vec<String> = args.iter().map(|it| it.to_string_lossy().into_owned()).collect();
    match tidegate_provider_containerd::run_shim(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidegate shim: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The whole environment; a variable that is not Unicode is none of ours and is left out.
fn environment() -> Vars {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
