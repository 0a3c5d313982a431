#![doc = include_str!("../README.md")]

mod ask;
mod autoscaler;
mod by_target;
mod community;
mod config;
mod decide;
mod decision;
mod explain;
mod function;
mod habits;
mod history;
mod memory;
mod rule;
mod why_not;
mod window;
mod wishes;
mod zero;

pub use autoscaler::Autoscaler;
pub use config::Config;
pub use decision::{Action, Ask, Decision, Depth, Hold, Reason};
pub use explain::{Average, Explanation, Past, Policy};
pub use habits::Habit;
pub use memory::{LastDecision, Memory};
pub use why_not::WhyNot;
