#![doc = include_str!("../README.md")]

mod backoff;
mod cgroup;
mod clock;
mod config;
mod durable;
mod error;
mod exit;
mod function;
mod host;
mod identity;
mod launch;
mod layout;
mod limits;
mod logs;
mod names;
mod open;
mod plan;
mod processes;
mod procfs;
mod provider;
mod record;
mod replica;
mod revision;
mod slot;
mod usage;
mod watchers;

pub use config::Config;
pub use error::OpenError;
pub use provider::ProcessProvider;
