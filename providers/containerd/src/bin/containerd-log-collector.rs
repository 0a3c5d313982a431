//! The log collector by itself, for tests of this crate; in production it is a word of `tidegate`.

use std::process::ExitCode;

use tidegate_provider_containerd::{LOG_COLLECTOR, collect_logs};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.as_slice() {
        [word, rest] if word == LOG_COLLECTOR => match collect_logs(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("{failure}");
                ExitCode::FAILURE
            }
        },
        _ => ExitCode::from(64),
    }
}
