//! The only reading of clocks in this crate: wall time for names, leases and logs, running time for usage.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// Wall time.
#[expect(clippy::disallowed_methods, reason = "the one place that reads wall time")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Running time, which nobody sets.
#[expect(clippy::disallowed_methods, reason = "the one place that reads running time")]
pub(crate) fn running() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Wall time as a stamp.
pub(crate) fn stamp() -> Timestamp {
    Timestamp::try_from(wall()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Wall time since 1970.
pub(crate) fn since_epoch() -> Duration {
    wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
