//! Counts and times the requests of the management API.
//!
//! Labels come from fixed sets: methods that are known, the templates of the routes, statuses.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Gateway;

/// Upper bounds of the histogram in seconds: those of OpenFaaS.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What is counted of the management API.
#[derive(Clone, Debug)]
pub(crate) struct ManageMetrics {
    requests: Family<Labels, Counter>,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    method: String,
    path: String,
    status: u16,
}

impl ManageMetrics {
    /// Registers them.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BOUNDS)),
        };
        registry.register(
            "http_requests",
            "Requests of the management API",
            metrics.requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "Time to the head of the answer of the management API",
            metrics.durations.clone(),
        );
        metrics
    }
}

/// Counts and times one request.
pub(super) async fn record(
    State(gateway): State<Arc<Gateway>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let started = gateway.clock.now();
    let method = known(request.method()).to_owned();
    let response = next.run(request).await;
    let path = path.as_str().to_owned();
    let labels = Labels { method, path, status: response.status().as_u16() };
    let took = gateway.clock.now().since(started);
    let metrics = &gateway.manage_metrics;
    metrics.durations.get_or_create(&labels).observe(took.as_secs_f64());
    metrics.requests.get_or_create(&labels).inc();
    response
}

/// A client can invent methods, and each label value is a series.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
