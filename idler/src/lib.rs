#![doc = include_str!("../README.md")]

mod beat;
mod bins;
mod evict;
mod habits;
mod hybrid;
mod idle;
mod learnt;
mod plan;
mod population;
mod pressure;
mod price;
mod record;
mod tuning;

pub use beat::{Beat, Due};
pub use bins::SHORTEST;
pub use evict::{Eviction, Frozen, evict};
pub use habits::{Common, Habits};
pub use hybrid::Hybrid;
pub use idle::{IdleInput, Idleness, age, judge, judge_by};
pub use learnt::Learnt;
pub use plan::{Basis, Hazard, Plan, Span, Terms};
pub use pressure::{Limits, Pressure, Reading, Shortage, Verdict};
pub use price::Price;
pub use record::{CommonRecord, HabitsRecord};
pub use tuning::Tuning;
