#![doc = include_str!("../README.md")]

pub mod auth;
mod clock;
mod config;
mod entry;
mod error;
mod gateway;
mod limits;
mod nudge;
mod scaling;
mod system;
mod table;

pub use clock::Clock;
pub use config::Config;
pub use entry::{Entry, ZeroTicket};
pub use error::InvokeError;
pub use gateway::Gateway;
pub use limits::{BadAnnotation, Limits};
pub use nudge::Nudges;
pub use scaling::{ScaleError, Scaling};
pub use table::Table;
