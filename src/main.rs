//! The `tidegate` binary: collects the environment once, hands over to the command line, and turns
//! what comes back into the process's exit code.
//!
//! `tidegate fwatchdog` is the function runtime that the process backend starts for each replica. It
//! is told apart before anything else is looked at, so that a replica starts as fast as it can.

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
    if args.get(1).is_some_and(|command| command == cli::fwatchdog::WORD) {
        return cli::fwatchdog::run(args, vars);
    }
    cli::run(args, vars)
}

/// The whole environment; a variable that is not Unicode is none of ours and is left out.
fn environment() -> Vars {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
