#![doc = include_str!("../README.md")]

mod cgroup;
mod config;
mod launch;
mod layout;
mod limits;
mod processes;
mod procfs;
mod replica;
mod runtime;
mod spec;

pub use config::Config;
pub use processes::Processes;
pub use runtime::{ProcessProvider, ProcessRuntime};
pub use spec::Spec;
pub use tidegate_provider_machine::OpenError;
