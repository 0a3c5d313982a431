//! `tidegate fwatchdog`: the function runtime, started for each replica by the process backend.
//! Nothing of the rest of the command line runs before it.

use std::ffi::OsString;
use std::process::ExitCode;

use tidegate_core::Vars;

/// The word that selects it.
pub const WORD: &str = "fwatchdog";

/// Runs the watchdog until its replica ends. `args` are the arguments of the whole program; the
/// watchdog gets them without the word, as its own binary would.
pub fn run(mut args: Vec<OsString>, vars: Vars) -> ExitCode {
    args.remove(1);
    tidegate_watchdog::main(args, vars)
}
