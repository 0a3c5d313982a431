//! A load tester: what to send and when ([`plan`], [`profile`]), sending it and timing every call
//! (`run`), what came of it ([`results`]), and how that is shown (text, CSV, JSON, HTML, live).
//!
//! ```text
//! args / file ─► Plan ─► workers (one thread each, no shared lock) ─► Results ─► summary, report
//!                                 gateway's API ─► overlay ──────────────┘
//! ```

pub mod plan;
pub mod profile;
pub mod results;

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
pub use run::{Call, Hooks, RunError, run, run_blocking};
pub use tls::TlsError;
