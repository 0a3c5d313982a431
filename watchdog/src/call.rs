//! One call: its slot among those in flight, its metrics and its line in the log.
//!
//! A call ends when the last byte of its answer is handed over, or when it is dropped before that
//! because the client went away; both are recorded, the second as 499.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::HeaderValue;
use http::{Method, StatusCode, Uri, request};
use tokio::time::Instant;

use crate::app::App;
use crate::clock;
use crate::config::Mode;
use crate::metrics::{Outcome, method_label};

/// Status in metrics and log of a call whose client went away.
const CLIENT_GONE: u16 = 499;

/// Calls in flight, and the most allowed.
#[derive(Debug, Default)]
pub struct Inflight {
    count: AtomicUsize,
    most: Option<usize>,
}

/// A call being served; dropping it ends it.
#[derive(Debug)]
pub struct Call {
    app: Arc<App>,
    method: Method,
    uri: Uri,
    call_id: Option<HeaderValue>,
    probe: bool,
    started: Instant,
    code: u16,
    length: Option<u64>,
    has_slot: bool,
}

impl Inflight {
    /// With the most calls allowed at once.
    pub fn new(most: Option<usize>) -> Self {
        Self { count: AtomicUsize::new(0), most }
    }

    /// Calls being served.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The limit, when it is reached.
    pub fn full(&self) -> Option<usize> {
        self.most.filter(|most| self.count() >= *most)
    }

    fn enter(&self) -> Result<(), usize> {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        match self.most {
            Some(most) if before >= most => {
                self.count.fetch_sub(1, Ordering::Relaxed);
                Err(most)
            }
            _ => Ok(()),
        }
    }

    fn leave(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Call {
    /// A call that just arrived.
    pub fn begin(app: &Arc<App>, parts: &request::Parts) -> Self {
        app.metrics.begin();
        let access = app.config.access;
        let agent = parts.headers.get(http::header::USER_AGENT);
        Self {
            app: Arc::clone(app),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            call_id: access.call_id.then(|| parts.headers.get("x-call-id").cloned()).flatten(),
            probe: agent.is_some_and(|agent| agent.as_bytes().starts_with(b"kube-probe")),
            started: clock::now(),
            code: CLIENT_GONE,
            length: None,
            has_slot: false,
        }
    }

    /// Takes a slot; `Err` is the limit that was reached.
    pub fn take_slot(&mut self) -> Result<(), usize> {
        self.app.inflight.enter()?;
        self.has_slot = true;
        Ok(())
    }

    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// How long it has been going on.
    pub fn elapsed(&self) -> Duration {
        clock::now() - self.started
    }

    /// The answer is complete with `status` and a body of `length` bytes, when known.
    pub fn finish(mut self, status: StatusCode, length: Option<u64>) {
        self.code = status.as_u16();
        self.length = length;
    }

    /// The answer broke off, for a reason that amounts to `status`.
    pub fn fail(mut self, status: StatusCode) {
        self.code = status.as_u16();
    }

    fn log_line(&self, took: Duration) -> Option<String> {
        let config = &self.app.config;
        if !config.access.enabled || (self.probe && config.mode != Mode::Classic) {
            return None;
        }
        let seconds = took.as_secs_f64();
        if config.mode == Mode::Classic {
            return Some(match (config.forks.write_debug, self.length) {
                (false, Some(bytes)) => format!("Wrote {bytes} Bytes - Duration: {seconds:.6}s"),
                _ => format!("Duration: {seconds:.6}s"),
            });
        }
        // Not the query: what is secret in it must not reach the log.
        let (method, path, code) = (&self.method, self.uri.path(), self.code);
        let size = self.length.map_or_else(|| "-1B".into(), human_size);
        let reason = StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason());
        match config.mode {
            Mode::Static => None,
            Mode::Http => {
                let reason = reason.unwrap_or("Client Gone");
                let mut line = format!(
                    "{method} {path} - {code} {reason} - ContentLength: {size} ({seconds:.4}s)"
                );
                if config.access.call_id {
                    let id = self.call_id.as_ref().and_then(|id| id.to_str().ok());
                    line = format!("{line} [{}]", id.unwrap_or("none"));
                }
                Some(line)
            }
            _ => Some(format!("{method} {path} - {code} - ContentLength: {size} ({seconds:.4}s)")),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let took = self.elapsed();
        if self.has_slot {
            self.app.inflight.leave();
        }
        let outcome = Outcome { code: self.code, method: method_label(&self.method) };
        self.app.metrics.end(outcome, took);
        if let Some(line) = self.log_line(took) {
            self.app.log.line(line);
        }
    }
}

/// Bytes in decimal units with up to four significant digits: `368B`, `1.2kB`, `104.9MB`.
fn human_size(bytes: u64) -> String {
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    let mut size = bytes as f64;
    while size >= 1000.0 {
        let Some(next) = units.next() else { break };
        size /= 1000.0;
        unit = next;
    }
    let places = if size < 10.0 {
        3
    } else if size < 100.0 {
        2
    } else {
        1
    };
    let text = format!("{size:.places$}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (bytes, text) in
            [(0, "0B"), (368, "368B"), (1200, "1.2kB"), (104_857_600, "104.9MB"), (900, "900B")]
        {
            assert_eq!(human_size(bytes), text);
        }
    }

    #[test]
    fn slots_are_counted_up_to_the_limit() {
        let inflight = Inflight::new(Some(1));
        assert_eq!(inflight.enter(), Ok(()));
        assert_eq!(inflight.enter(), Err(1));
        inflight.leave();
        assert_eq!(inflight.enter(), Ok(()));
    }
}
