//! The metrics listener: OpenFaaS's names byte for byte, ours beside them.
//!
//! `metrics/functions.rs` walks the function table when scraped, so a series lives exactly as long as its
//! function; `metrics/text.rs` turns OpenMetrics into the text format 0.0.4, which most scrapers of
//! OpenFaaS expect.

mod functions;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::body::Body;

pub(crate) use functions::FunctionMetrics;
use text::{Pieces, Rewriter};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What is counted of no function in particular.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    unknown_function: AtomicU64,
}

impl Counters {
    /// A call of a function that is not deployed; its name makes no series.
    pub(crate) fn unknown_function(&self) {
        self.unknown_function.fetch_add(1, Ordering::Relaxed);
    }

    fn unknown_functions(&self) -> u64 {
        self.unknown_function.load(Ordering::Relaxed)
    }
}

/// Answers a request on the metrics port.
pub(crate) fn respond<B>(registry: &Registry, request: &Request<B>) -> Response<Body> {
    match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET | &Method::HEAD) => scrape(registry, request),
        ("/healthz", &Method::GET) => Response::new(Body::text("OK")),
        ("/metrics" | "/healthz", _) => status(StatusCode::METHOD_NOT_ALLOWED, ""),
        _ => status(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

fn scrape<B>(registry: &Registry, request: &Request<B>) -> Response<Body> {
    let written = if wants_open_metrics(request) {
        let mut text = Pieces::default();
        encode(&mut text, registry).map(|()| (text.finish(), OPEN_METRICS))
    } else {
        let mut text = Rewriter::default();
        encode(&mut text, registry).map(|()| (text.finish(), TEXT))
    };
    let Ok((text, kind)) = written else {
        return status(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n");
    };
    let mut response = Response::new(Body::Pieces(text));
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Whether OpenMetrics is accepted, and no less than the text format.
fn wants_open_metrics<B>(request: &Request<B>) -> bool {
    let (mut open_metrics, mut text) = (0_u32, 0_u32);
    for value in request.headers().get_all(ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let weight = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1.0, |text| text.parse::<f64>().unwrap_or(0.0));
            let weight = (weight.clamp(0.0, 1.0) * 1000.0) as u32;
            match kind.to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => open_metrics = open_metrics.max(weight),
                "text/plain" => text = text.max(weight),
                _ => {}
            }
        }
    }
    open_metrics > 0 && open_metrics >= text
}

fn status(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::text(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_served_to_those_who_prefer_it() {
        let asks = |accept: &str| {
            let request = Request::builder().header(ACCEPT, accept).body(()).expect("a request");
            wants_open_metrics(&request)
        };
        assert!(asks(
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(!asks("text/plain, application/openmetrics-text;q=0.5"));
        assert!(!asks("*/*"));
        assert!(!asks("application/openmetrics-text;q=0"));
    }
}
