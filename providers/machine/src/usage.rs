//! How much CPU a replica used lately, from two looks at what it used so far.

use std::time::Duration;

use tokio::time::Instant;

/// Looks closer together than this say nothing, since the kernel counts in hundredths of a second.
const LEAST: Duration = Duration::from_millis(200);

/// One look at a replica.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sample {
    at: Instant,
    cpu_millis: u64,
    millicores: f64,
}

impl Sample {
    /// The start of a life, when nothing was used yet.
    pub(crate) fn start(at: Instant) -> Self {
        Self { at, cpu_millis: 0, millicores: 0.0 }
    }

    /// The first look at one that has run for some time.
    pub(crate) fn first(at: Instant, cpu_millis: u64) -> Self {
        Self { at, cpu_millis, millicores: 0.0 }
    }

    /// The look after this one; too soon after it, this one stands.
    pub(crate) fn next(self, at: Instant, cpu_millis: u64) -> Self {
        let span = at.saturating_duration_since(self.at);
        if span < LEAST {
            return self;
        }
        let used = cpu_millis.saturating_sub(self.cpu_millis) as f64;
        // Milliseconds of CPU in a second are thousandths of a core.
        Self { at, cpu_millis, millicores: used / span.as_secs_f64() }
    }

    /// Thousandths of a core.
    pub(crate) fn millicores(&self) -> f64 {
        self.millicores
    }
}
