//! Runs replicas as local child processes: see README.md.

mod config;
mod error;
mod provider;

pub use config::Config;
pub use error::OpenError;
pub use provider::ProcessProvider;
