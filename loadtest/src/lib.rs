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
