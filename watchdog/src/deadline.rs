//! When a call must have ended, and which limit says so.
//!
//! `X-Timeout` shortens a call's `exec_timeout` and never lengthens it.

use std::future::Future;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tidegate_core::{format_duration, parse_duration};
use tokio::time::{Instant, timeout_at};

use crate::config::{Mode, Timeouts};
use crate::fault::{Fault, Limit};

/// The moments at which a call is cut; none means never.
#[derive(Copy, Clone, Debug)]
pub struct Deadlines {
    started: Instant,
    exec: Option<Duration>,
    write: Option<Duration>,
    read: Option<Duration>,
    mode: Mode,
}

impl Deadlines {
    /// The deadlines of a call that began at `started`.
    pub fn new(started: Instant, limits: &Timeouts, mode: Mode, headers: &HeaderMap) -> Self {
        Self {
            started,
            exec: shortened(limits.exec, headers),
            write: limits.write,
            read: limits.read,
            mode,
        }
    }

    /// When the request body must be complete.
    pub fn read(&self) -> Option<Instant> {
        self.read.map(|span| self.started + span)
    }

    /// The first limit that the function runs into.
    pub fn first(&self) -> Option<(Instant, Limit)> {
        let exec = self.exec.map(|span| (self.started + span, Limit::Exec));
        let write = self.write.map(|span| (self.started + span, Limit::Write));
        match (exec, write) {
            (Some(exec), Some(write)) => Some(if exec.0 <= write.0 { exec } else { write }),
            (exec, write) => exec.or(write),
        }
    }

    /// These without the limit for the function: what holds once an event stream has begun.
    pub fn without_exec(self) -> Self {
        Self { exec: None, ..self }
    }

    /// `work`, unless a limit comes first.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Fault> {
        match self.first() {
            None => Ok(work.await),
            Some((at, limit)) => timeout_at(at, work).await.map_err(|_| self.fault(limit)),
        }
    }

    /// What the caller is told when `limit` has struck.
    pub fn fault(&self, limit: Limit) -> Fault {
        let (name, span) = match limit {
            Limit::Exec => ("exec_timeout", self.exec),
            Limit::Write => ("write_timeout", self.write),
        };
        let (status, words) = match (self.mode, limit) {
            (Mode::Classic, Limit::Exec) => (StatusCode::REQUEST_TIMEOUT, "Killed process.".into()),
            (Mode::Serializing, Limit::Exec) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "signal: killed".into())
            }
            _ => {
                let span = span.map(format_duration).unwrap_or_default();
                (StatusCode::GATEWAY_TIMEOUT, format!("the call took longer than {name}, {span}"))
            }
        };
        Fault::TimedOut { words, status }
    }
}

fn shortened(exec: Option<Duration>, headers: &HeaderMap) -> Option<Duration> {
    let wish = headers
        .get("x-timeout")
        .and_then(|text| parse_duration(text.to_str().ok()?.trim()).ok())
        .filter(|span| !span.is_zero());
    match (exec, wish) {
        (Some(exec), Some(wish)) => Some(exec.min(wish)),
        (exec, wish) => exec.or(wish),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn x_timeout_only_shortens() {
        let minute = Some(Duration::from_secs(60));
        let cases = [
            ("1s", minute, Some(1)),
            ("2m", minute, Some(60)),
            ("0", minute, Some(60)),
            ("-1s", minute, Some(60)),
            ("soon", minute, Some(60)),
            ("1s", None, Some(1)),
            ("0s", None, None),
        ];
        for (text, exec, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("x-timeout", HeaderValue::from_static(text));
            assert_eq!(shortened(exec, &headers), expected.map(Duration::from_secs), "{text}");
        }
    }
}
