#![doc = include_str!("../README.md")]

mod ask;
mod autoscaler;
mod by_target;
mod community;
mod config;
mod decide;
mod decision;
mod experience;
mod explain;
mod flow;
mod formula;
mod function;
mod functions;
mod habits;
mod history;
mod kept;
mod latency;
mod measured;
mod memory;
mod rule;
mod rules;
mod stamp;
mod why_not;
mod window;
mod wishes;
mod zero;

pub use autoscaler::Autoscaler;
pub use config::Config;
pub use decision::{Action, Ask, Decision, Depth, Hold, Reason, Unmeasured};
pub use explain::{Explanation, Past, Policy};
pub use formula::{Average, MeasuredValue};
pub use functions::Handle;
pub use habits::Habit;
pub use measured::{CustomRule, Source, Trouble};
pub use memory::{LastDecision, Memory};
pub use why_not::WhyNot;
