//! A load tester: what to send and when ([`plan`], [`profile`]), sending it and timing every call
//! (`run`), what came of it ([`results`]), and how that is shown (text, CSV, JSON, HTML, live).
//!
//! ```text
//! args / file ─► Plan ─► workers (one thread each, no shared lock) ─► Results ─► summary, report
//!                                 gateway's API ─► overlay ──────────────┘
//! ```

pub mod args;
pub mod csv;
pub mod expect;
pub mod live;
pub mod metrics;
pub mod order;
pub mod overlay;
pub mod plan;
pub mod profile;
pub mod progress;
pub mod report;
pub mod results;
pub mod session;
pub mod targets;
pub mod text;
pub mod trace;

mod clock;
mod collect;
mod connection;
mod h2;
mod record;
mod run;
mod schedule;
mod tally;
mod tls;
mod worker;

pub use connection::dial::ConnectError;
pub use run::{Call, Hooks, OnCall, OnSecond, RunError, run, run_blocking};
pub use tls::TlsError;
