#![doc = include_str!("../README.md")]

mod backoff;
mod clock;
pub mod durable;
mod error;
pub mod exit;
mod files;
mod function;
mod host;
mod identity;
mod life;
mod limits;
pub mod logs;
mod names;
mod open;
mod plan;
mod provider;
mod record;
mod replica;
mod revision;
mod runtime;
mod settings;
mod slot;
mod state;
mod usage;
mod watchers;

pub use error::{OpenError, disk, failed};
pub use files::Files;
pub use identity::place;
pub use life::Life;
pub use limits::Limits;
pub use provider::MachineProvider;
pub use record::{BadGeneration, FunctionRecord, Generation, KeptRevision};
pub use revision::Revision;
pub use runtime::{End, Found, Kept, Live, Runtime, Used};
pub use settings::Settings;
pub use state::StateDir;
