//! Every error of the gateway and its response: the only place where errors become statuses.
//!
//! `error/invoke.rs` is for calls of functions, `error/manage.rs` for the management API.

mod invoke;
mod manage;

pub use invoke::InvokeError;
pub(crate) use manage::ManageError;
