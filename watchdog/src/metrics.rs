//! The metrics of a watchdog: the names, labels and buckets that dashboards already know.
//!
//! Registered once, served as Prometheus text 0.0.4 on a port of their own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Labels of a finished call.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Status, or 499 when the client went away.
    pub code: u16,
    /// Verb in lower case.
    pub method: &'static str,
}

/// All metrics; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Outcome, Counter>,
    durations: Family<Outcome, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    registry: Arc<Registry>,
}

impl EncodeLabelSet for Outcome {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        let mut code = *b"000";
        for (place, digit) in code.iter_mut().zip([self.code / 100, self.code / 10, self.code]) {
            *place = b'0' + u8::try_from(digit % 10).unwrap_or(0);
        }
        [("code", str::from_utf8(&code).unwrap_or("000")), ("method", self.method)].encode(encoder)
    }
}

impl Metrics {
    /// Registers all of them.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        registry.register("http_requests", "Calls served, by status and verb", requests.clone());
        let durations = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register(
            "http_request_duration_seconds",
            "Time from a call's headers to the last byte of its answer",
            durations.clone(),
        );
        let in_flight = Gauge::default();
        registry.register("http_requests_in_flight", "Calls being served", in_flight.clone());
        Self { requests, durations, in_flight, registry: Arc::new(registry) }
    }

    /// A call began.
    pub fn begin(&self) {
        self.in_flight.inc();
    }

    /// A call ended.
    pub fn end(&self, outcome: Outcome, took: Duration) {
        self.in_flight.dec();
        self.requests.get_or_create(&outcome).inc();
        self.durations.get_or_create(&outcome).observe(took.as_secs_f64());
    }

    /// All of them as text 0.0.4.
    pub fn text(&self) -> String {
        let mut open_metrics = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode_registry(&mut open_metrics, &self.registry);
        classic_text(&open_metrics)
    }
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// OpenMetrics names a counter's family without `_total`; the older text names it with.
fn classic_text(open_metrics: &str) -> String {
    let counters: Vec<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open_metrics.len() + 64);
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), rest) if counters.contains(&name) => {
                text.push_str(&format!("# {what} {name}_total {}", rest.unwrap_or_default()));
            }
            (Some("#"), Some("EOF"), ..) => continue,
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// The verb as a label: lower case, and one word for all that are unusual.
pub fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::HEAD => "head",
        Method::OPTIONS => "options",
        Method::TRACE => "trace",
        Method::CONNECT => "connect",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_dashboards_expect() {
        let metrics = Metrics::new();
        metrics.begin();
        metrics.begin();
        metrics.end(Outcome { code: 200, method: "get" }, Duration::from_millis(20));
        let text = metrics.text();
        for line in [
            "# TYPE http_requests_total counter",
            "http_requests_total{code=\"200\",method=\"get\"} 1",
            "# TYPE http_request_duration_seconds histogram",
            "http_request_duration_seconds_bucket{le=\"0.025\",code=\"200\",method=\"get\"} 1",
            "http_requests_in_flight 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("EOF"));
    }
}
