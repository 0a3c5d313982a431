#![doc = include_str!("../README.md")]

mod autoscaler;
mod config;
mod decide;
mod decision;
mod explain;
mod function;
mod memory;
mod rule;
mod window;

pub use autoscaler::Autoscaler;
pub use config::Config;
pub use decision::{Action, Ask, Decision, Depth, Hold, Reason};
pub use explain::{Explanation, Past};
pub use memory::Memory;
