//! A bare watchdog, so that this crate's tests have one to start; `tidegate fwatchdog` is the same.

use std::process::ExitCode;

use tidegate_core::Vars;

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "the only reading of the environment here")]
    let vars: Vars = std::env::vars().collect();
    tidegate_watchdog::main(std::env::args_os().collect(), vars)
}
