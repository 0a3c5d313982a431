//! The only reading of clocks in this crate: wall time for logs and records, running time for usage.

use std::time::SystemTime;

use tokio::time::Instant;

/// Wall time.
#[expect(clippy::disallowed_methods, reason = "the one place that reads wall time")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Time that only runs forwards.
#[expect(clippy::disallowed_methods, reason = "the one place that reads running time")]
pub(crate) fn running() -> Instant {
    Instant::now()
}
