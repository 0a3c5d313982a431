//! The `tidegate` binary: collects the environment once, hands over to the command line, and turns
//! what comes back into the process's exit code.
//!
//! `tidegate fwatchdog` is the function runtime that the process backend starts for each replica. It
//! is told apart before anything else is looked at, so that a replica starts as fast as it can; so is
//! the demo function that an empty tidegate starts with.

mod cli;
mod client;
mod doctor;
mod output;

use std::ffi::OsString;
use std::process::ExitCode;

use tidegate_core::Vars;

fn main() -> ExitCode {
    let vars = environment();
    let args: Vec<OsString> = std::env::args_os().collect();
    match args.get(1).and_then(|word| word.to_str()) {
        Some(cli::fwatchdog::WORD) => cli::fwatchdog::run(args, vars),
        Some(tidegate::up::DEMO_WORD) => cli::demo::run(),
        _ => cli::run(args, vars),
    }
}

/// The whole environment; a variable that is not Unicode is none of ours and is left out.
fn environment() -> Vars {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
