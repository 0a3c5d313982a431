//! See README.md.

use std::ffi::OsString;
use std::process::ExitCode;

use tidegate_core::Vars;

/// Runs a watchdog until it is told to stop.
pub fn main(_args: Vec<OsString>, _vars: Vars) -> ExitCode {
    ExitCode::FAILURE
}
