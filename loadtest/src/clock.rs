//! The one place that reads clocks: moments, wall time, CPU time, and a timer finer than a millisecond.

use std::io;
use std::time::{Duration, Instant};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// Now.
#[expect(clippy::disallowed_methods, reason = "the one reading of the clock of this crate")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Wall time, RFC 3339.
pub(crate) fn wall() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// CPU seconds this process has used.
pub(crate) fn cpu_seconds() -> f64 {
    let used = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// A timer on a file descriptor: tokio's own waits in whole milliseconds, too coarse for a schedule.
pub(crate) struct Timer {
    /// Not a pipe, but read like one: 8 bytes when the time has come.
    fd: Receiver,
}

impl Timer {
    /// On the runtime of the calling thread.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { fd: Receiver::from_owned_fd_unchecked(fd)? })
    }

    /// Returns at `moment` or as soon after it as this thread gets to run; at once when it has passed.
    pub(crate) async fn until(&mut self, moment: Instant) {
        let span = moment.saturating_duration_since(now());
        if span.is_zero() {
            return;
        }
        // Setting it takes back an expiry that nobody waited for.
        let spec = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(span) };
        let set = rustix::time::timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &spec);
        // Room for more than the 8 bytes: a short read tells tokio that nothing is left.
        if set.is_err() || self.fd.read(&mut [0; 16]).await.is_err() {
            tokio::time::sleep_until(moment.into()).await;
        }
    }
}

fn timespec(span: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(span.subsec_nanos()),
    }
}
