//! The words that all other crates speak.
//!
//! Parsing, comparing and printing only: no IO, no clock, no logging. What a label means, what a
//! function is called and what was seen of it at a moment are said here once.

pub mod annotations;
mod callee;
mod decimal;
mod duration;
mod function;
mod moment;
mod observation;
mod policy;
mod quantity;
mod replicas;
pub mod service;
mod vars;

pub use callee::Callee;
pub use decimal::{BadDecimal, Decimal};
pub use duration::{BadDuration, format_duration, parse_duration};
pub use function::{BadName, DEFAULT_NAMESPACE, FunctionId};
pub use moment::Moment;
pub use observation::{Load, Observation};
pub use policy::{
    BadLabel, BadPercentile, LoadType, Pace, Percentile, Policy, PolicyWarning, Rate, Seconds,
    Target, ZeroPolicy, ZeroRule, labels,
};
pub use quantity::{BadQuantity, Quantity};
pub use replicas::{BadBounds, Bounds, Replicas};
pub use service::Service;
pub use vars::{BadVar, Reader, Vars};
