#![doc = include_str!("../README.md")]

pub mod auth;
mod balance;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod body;
mod call;
mod clock;
mod config;
mod door;
mod drain;
mod durations;
mod entry;
mod error;
#[cfg(feature = "loom")]
#[doc(hidden)]
pub mod gate;
#[cfg(not(feature = "loom"))]
mod gate;
mod gateway;
mod headers;
mod invoke;
mod label_check;
mod limits;
mod meter;
mod metrics;
mod nudge;
mod outcomes;
mod proxy;
mod replica;
mod room;
mod scaling;
mod server;
mod splice;
mod system;
mod table;
mod timer;
mod ui;
mod upstream;
mod workers;

pub use clock::Clock;
pub use config::Config;
pub use door::Door;
pub use durations::Durations;
pub use entry::{Entry, ZeroTicket};
pub use error::InvokeError;
pub use gateway::Gateway;
pub use label_check::LabelCheck;
pub use limits::{BadAnnotation, Limits};
pub use nudge::Nudges;
pub use scaling::{ScaleError, Scaling};
pub use table::Table;
