//! What containerd starts for us, as a program of its own: the shim and the log collector. Both are words of `tidegate` as well,
//! which is many times as large.

use std::io::{self, Write};
use std::process::ExitCode;

use tidegate_provider_containerd::{LOG_COLLECTOR, SHIM_VERSION, collect_logs, is_shim, run_shim};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let done = match words.as_slice() {
        _ if is_shim(&words) => run_shim(&words),
        [_, word, rest] if word == LOG_COLLECTOR => collect_logs(rest),
        [_, word] if word == "--version" => writeln!(io::stdout(), "{SHIM_VERSION}"),
        _ => Err(io::Error::other("only containerd starts this")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
