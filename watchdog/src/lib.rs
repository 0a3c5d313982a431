#![doc = include_str!("../README.md")]
//!
//! # How the files fit together
//!
//! `life` starts everything and ends it. `serve` accepts, `route` decides between probe and call;
//! `modes` over `fork`, `proxy` over `pool`, and `static_files` answer. `fault` alone turns a
//! failure into a status.

mod app;
mod call;
mod child;
mod clock;
mod command_line;
mod config;
mod content_type;
mod control;
mod deadline;
mod environment;
mod fault;
mod fork;
mod fprocess;
mod group;
mod headers;
mod life;
mod lines;
mod listen;
mod lock;
mod log;
mod metrics;
mod modes;
mod pool;
mod proxy;
mod reply;
mod request_body;
mod route;
mod serve;
mod static_files;

use std::ffi::OsString;
use std::process::ExitCode;

use tidegate_core::Vars;

use crate::command_line::{USAGE, Wish, wish};
use crate::lock::LockFile;
use crate::log::Log;

pub use crate::config::{AccessLog, Config, Forks, Mode, Timeouts, Upstream};
pub use crate::fprocess::{BadFprocess, Fprocess, Split};
pub use crate::lines::{LineStyle, Splitter};
pub use crate::listen::Address;

/// The parsers of what callers send, for fuzzing.
pub mod parsers {
    pub use crate::content_type::{by_name, sniffed};
    pub use crate::environment::{canonical, percent_decoded};
    pub use crate::static_files::{Wanted, relative_path, wanted};
}

/// Runs a watchdog until it is told to stop, and returns what the process shall exit with.
///
/// `args` is the whole command line, program name first; a first argument `fwatchdog` is passed
/// over, so that a program of many commands can hand on its own. `vars` is the environment; the
/// function's processes inherit that of this process.
pub fn main(args: Vec<OsString>, vars: Vars) -> ExitCode {
    match wish(args.get(1..).unwrap_or_default()) {
        Wish::Serve => run(&vars),
        Wish::Version => {
            println!("fwatchdog {}", version());
            ExitCode::SUCCESS
        }
        Wish::Healthcheck => healthcheck(&vars),
        Wish::Help => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Wish::Unknown(word) => {
            eprintln!("unknown argument {word:?}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), " (tidegate)")
}

/// Looks for the lock file alone, whatever the environment is worth otherwise.
fn healthcheck(vars: &Vars) -> ExitCode {
    let path = LockFile::path_in(vars.get("TMPDIR").unwrap_or("/tmp").as_ref());
    if path.exists() {
        return ExitCode::SUCCESS;
    }
    eprintln!("unable to find lock file {}", path.display());
    ExitCode::FAILURE
}

fn run(vars: &Vars) -> ExitCode {
    let config = match Config::from_vars(vars) {
        Ok(config) => config,
        Err(bad) => return refuse(vars, &bad.lines().join("; ")),
    };
    // One thread: a watchdog is one of many, and what it adds to a call is little.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (runtime, log) = match runtime.and_then(|runtime| Ok((runtime, Log::start()?))) {
        Ok(both) => both,
        Err(fault) => return refuse(vars, &format!("cannot start: {fault}")),
    };
    log.line(format!("Version: {}", version()));
    let result = runtime.block_on(life::live(config, &log));
    if let Err(fault) = &result {
        log.line(fault.to_string());
    }
    runtime.shutdown_background();
    log.close();
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A start that fails before there is a runtime; the parent, if any, is told too.
fn refuse(vars: &Vars, reason: &str) -> ExitCode {
    eprintln!("{reason}");
    if vars.get("TIDEGATE_CONTROL") == Some("stdin") {
        control::failed_early(reason);
    }
    ExitCode::FAILURE
}
