//! `fwatchdog`: the function runtime as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let vars = std::env::vars_os()
        .map(|(name, text)| {
            (name.to_string_lossy().into_owned(), text.to_string_lossy().into_owned())
        })
        .collect();
    tidegate_watchdog::main(std::env::args_os().collect(), vars)
}
