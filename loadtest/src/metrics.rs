//! `--metrics ADDRESS:PORT`: the run so far as Prometheus reads it, for as long as it goes on.
//!
//! Counters follow the tally of the run; latencies are those of the whole run so far.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;

use crate::progress::Progress;
use crate::results::Latency;

/// Longest that one scrape may hold the door.
const PATIENCE: Duration = Duration::from_secs(5);
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Quantile {
    quantile: &'static str,
    from: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Replicas {
    function_name: String,
    state: &'static str,
}

/// The metrics of one run.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: Counter,
    answered: Counter,
    errors: Counter,
    responses: Family<Code, Counter>,
    offered: FloatGauge,
    latency: Family<Quantile, FloatGauge>,
    replicas: Family<Replicas, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("tidegate_load"),
            calls: Counter::default(),
            answered: Counter::default(),
            errors: Counter::default(),
            responses: Family::default(),
            offered: FloatGauge::default(),
            latency: Family::default(),
            replicas: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("calls", "Calls begun", metrics.calls.clone());
        registry.register("answered", "Calls that got a whole answer", metrics.answered.clone());
        registry.register(
            "errors",
            "Calls without a whole or right answer",
            metrics.errors.clone(),
        );
        registry.register("responses", "Answers by status", metrics.responses.clone());
        registry.register(
            "offered_rate",
            "Calls a second that are due now; 0 in a closed loop",
            metrics.offered.clone(),
        );
        registry.register_with_unit(
            "latency",
            "Latency so far, from when calls were due or sent",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        registry.register("replicas", "Replicas of a watched function", metrics.replicas.clone());
        metrics
    }
}

impl Metrics {
    /// Takes over what the run is like now.
    pub fn update(&self, progress: &Progress) {
        let so_far = progress.so_far();
        let total = &so_far.total;
        let follow =
            |counter: &Counter, count: u64| counter.inc_by(count.saturating_sub(counter.get()));
        follow(&self.calls, total.calls);
        follow(&self.answered, total.answered);
        follow(&self.errors, total.errors);
        for (code, count) in &total.statuses {
            follow(&self.responses.get_or_create_owned(&Code { code: *code }), *count);
        }
        self.latencies("due", &total.corrected);
        self.latencies("sent", &total.uncorrected);
        self.offered.set(progress.offered_at(progress.elapsed()).unwrap_or(0.0));
        drop(so_far);
        for watched in progress.board.lock().iter() {
            let Some(last) = watched.samples.last() else { continue };
            for (state, count) in [("desired", last.desired), ("ready", last.ready)] {
                let labels = Replicas { function_name: watched.function.clone(), state };
                self.replicas.get_or_create_owned(&labels).set(count.into());
            }
        }
    }

    fn latencies(&self, from: &'static str, latency: &Latency) {
        for (percent, seconds) in &latency.percentiles {
            let quantile = match *percent {
                50.0 => "0.5",
                90.0 => "0.9",
                99.0 => "0.99",
                99.9 => "0.999",
                _ => continue,
            };
            self.latency.get_or_create_owned(&Quantile { quantile, from }).set(*seconds);
        }
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// When a value cannot be written, which formatting to memory never does.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Listens where it was asked to.
///
/// # Errors
/// When the port is taken or the address is not of this machine.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves `/metrics`, one scrape after the other; never ends.
pub async fn serve(listener: TcpListener, progress: Progress) {
    let metrics = Metrics::default();
    loop {
        // Too many open files, for one: the load has them and gives them back.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        metrics.update(&progress);
        let answer = service_fn(|request| {
            let response = respond(&metrics, &request);
            async { Ok::<_, Infallible>(response) }
        });
        let mut server = http1::Builder::new();
        server.keep_alive(false).timer(TokioTimer::new());
        let served = server.serve_connection(TokioIo::new(stream), answer);
        // A scraper that goes away or dawdles is its own loss.
        let _ = tokio::time::timeout(PATIENCE, served).await;
    }
}

fn respond(metrics: &Metrics, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, content, text) = match (request.uri().path(), metrics.text()) {
        ("/metrics", Ok(text)) => (StatusCode::OK, TEXT, text),
        ("/metrics", Err(error)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string())
        }
        _ => (StatusCode::NOT_FOUND, "text/plain", "see /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content));
    response
}
