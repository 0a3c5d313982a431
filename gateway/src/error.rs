//! Every error of the gateway and its response: the only place where errors become statuses.
//!
//! `error/invoke.rs` is for calls of functions.

mod invoke;

pub use invoke::InvokeError;
