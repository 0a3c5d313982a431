#![doc = include_str!("../README.md")]

pub mod generate;
mod hash;
mod histogram;
mod lane;
mod log;
mod model;
mod peers;
mod policy;
mod random;
pub mod record;
mod replay;
pub mod report;
mod run;
mod scaler;
mod span;
mod stage;
mod told;
pub mod trace;

pub use histogram::Histogram;
pub use model::{BadModel, ProviderModel};
pub use peers::{BadScaler, Kind};
pub use policy::{BadPolicy, Contender, PolicyFile};
pub use random::Random;
pub use replay::{Mismatch, Replayed, replay};
pub use run::{Options, Outcome, run};
pub use scaler::{Change, Scaler, Tidegate, Verdict};
pub use span::{BadSpan, Span};
