//! The one place where this crate asks what time it is.
//!
//! Moments come from tokio's clock, so that tests can pause it; wall time is only for headers and is
//! an offset to moments, so that one reading serves both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_core::Moment;
use tokio::time::Instant;

/// Hands out moments. Made once when the process starts; clones share it.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    /// Unix time of the start in nanoseconds, corrected now and then since wall clocks are stepped.
    wall_start: Arc<AtomicU64>,
}

impl Clock {
    /// A clock whose moments begin now.
    pub fn new() -> Self {
        let clock = Self { start: instant_now(), wall_start: Arc::default() };
        clock.follow_wall();
        clock
    }

    /// This moment.
    pub fn now(&self) -> Moment {
        Moment::from_start(instant_now().duration_since(self.start))
    }

    /// The moment as an instant of tokio's timers.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.start + moment.since_start()
    }

    /// The moment as Unix time in nanoseconds.
    pub fn unix_nanos(&self, moment: Moment) -> u64 {
        self.wall_start.load(Ordering::Relaxed).wrapping_add(moment.as_nanos())
    }

    /// The moment as wall time.
    pub fn wall(&self, moment: Moment) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.unix_nanos(moment))
    }

    /// Looks at the wall clock again, which may have been stepped.
    pub(crate) fn follow_wall(&self) {
        let wall = wall_now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let wall = u64::try_from(wall).unwrap_or(u64::MAX);
        self.wall_start.store(wall.wrapping_sub(self.now().as_nanos()), Ordering::Relaxed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "the gateway's only reading of the monotonic clock")]
pub(crate) fn instant_now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the gateway's only reading of the wall clock")]
fn wall_now() -> SystemTime {
    SystemTime::now()
}
