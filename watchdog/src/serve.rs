//! Accepts connections and serves HTTP/1.1 on them, and metrics on a listener of their own.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::app::App;
use crate::listen::{Connection, Listener};
use crate::metrics::Metrics;
use crate::route::route;

/// Most bytes of a request's headers, as Go's servers have it.
const LONGEST_HEAD: usize = (1 << 20) + 4096;
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Serves calls until [`App::closing`] is cancelled.
pub async fn serve(app: Arc<App>, listener: Listener) {
    let builder = builder(&app, listener.is_local());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.closing.cancelled() => return,
        };
        match accepted {
            Ok(stream) => {
                app.tasks.spawn(connection(Arc::clone(&app), builder.clone(), stream));
            }
            Err(fault) => {
                app.log.line(format!("cannot accept a connection: {fault}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn builder(app: &App, local: bool) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).max_buf_size(LONGEST_HEAD).max_headers(256);
    // On a Unix socket the other end is the gateway, which keeps connections as it likes.
    builder.header_read_timeout(app.config.timeouts.read.filter(|_| !local));
    builder
}

async fn connection(app: Arc<App>, builder: http1::Builder, stream: Connection) {
    let ends_with_connection = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        ends_with_connection.store(request.version() == Version::HTTP_10, Ordering::Relaxed);
        route(Arc::clone(&app), request)
    });
    let mut serving = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = app.closing.cancelled() => {
            std::pin::Pin::new(&mut serving).graceful_shutdown();
            (&mut serving).await
        }
    };
    // An answer to HTTP/1.0 ends where the connection does. When ours broke off, only a reset tells.
    if ended.is_err_and(|fault| fault.is_user())
        && ends_with_connection.load(Ordering::Relaxed)
        && let Some(parts) = serving.into_parts()
    {
        parts.io.into_inner().reset();
    }
}

/// Serves `/metrics` for as long as the process lives.
pub async fn serve_metrics(metrics: Metrics, listener: Listener) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(5));
    loop {
        let Ok(stream) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let metrics = metrics.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let response = metrics_answer(&metrics, &request);
            async move { Ok::<_, Infallible>(response) }
        });
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move { serving.await.ok() });
    }
}

fn metrics_answer(metrics: &Metrics, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if request.uri().path() == "/metrics" {
        *response.body_mut() = Full::from(metrics.text());
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
