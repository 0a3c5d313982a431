//! The real binary, run on loopback with small shell and Python functions.
//!
//! Each file holds the promises of one part; `harness` starts watchdogs and speaks raw HTTP, so that
//! what goes over the wire is what is asserted.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod classic;
mod control;
mod harness;
mod http_mode;
mod life;
mod limits;
mod static_mode;
mod streaming;
