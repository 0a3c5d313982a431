//! The composition root: where the gateway, the loops and a provider become one program.
//!
//! ```text
//! up.rs ─► Config ─► App::bind ─► App::run ─┬─ gateway: API and metrics listeners
//!                                           ├─ loops/watch.rs: provider ─► table
//!                                           └─ loops/scale.rs: the one writer of replica counts
//! ```
//!
//! The command line is the binary's own (`main.rs`); what the stories start is all here.

pub mod boot;
pub mod causes;
pub mod config;
pub mod durable;
pub mod kernel;
pub mod loops;
pub mod memory;
pub mod metrics;
pub mod password;
pub mod recording;
pub mod rules;
pub mod schedule;
pub mod tasks;
pub mod up;

mod app;
mod asking;

pub use app::{App, AppError, Bound};
pub use config::Config;
