//! HTTP/2 calls through hyper: many calls share one connection.
//!
//! hyper does not say when a request has left, so the write phase is 0 and counts as waiting.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;

use crate::clock::now;
use crate::connection::answer::{Answer, Broken, Finder};
use crate::connection::request::{Prepared, host_and_port};
use crate::connection::stream::Stream;
use crate::plan::Due;

/// A handle to a shared connection.
pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// Calls on one connection at once: what servers usually allow.
pub(crate) const STREAMS: usize = 100;

#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Greets the server; the connection then runs beside until its handles are gone.
pub(crate) async fn greet(stream: Stream) -> Result<Sender, Broken> {
    let mut builder = hyper::client::conn::http2::Builder::new(Local);
    builder.initial_stream_window_size(1 << 20).initial_connection_window_size(1 << 24);
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    tokio::task::spawn_local(async move {
        // Its calls hear of an error themselves.
        let _ = connection.await;
    });
    Ok(sender)
}

/// One call.
pub(crate) async fn exchange(
    sender: &mut Sender,
    target: &Prepared,
    due: &Due,
) -> Result<Answer, Broken> {
    let request = request(target, due)?;
    sender.ready().await.map_err(|error| broken(&error))?;
    let written = now();
    let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
    let first = now();
    let (head, mut body) = answer.into_parts();
    let mut finder = target.find.as_deref().map(Finder::new);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        if let Some(data) = frame.data_ref() {
            bytes += data.len() as u64;
            if let Some(finder) = &mut finder {
                finder.push(data);
            }
        }
    }
    let location = head.headers.get(header::LOCATION).filter(|_| head.status.is_redirection());
    Ok(Answer {
        status: head.status.as_u16(),
        bytes,
        keep: true,
        location: location.map(|value| String::from_utf8_lossy(value.as_bytes()).into()),
        found: finder.is_none_or(|finder| finder.found()),
        written,
        first,
        done: now(),
    })
}

fn request(target: &Prepared, due: &Due) -> Result<Request<Full<Bytes>>, Broken> {
    let bad = |error: http::Error| Broken::Http2(error.to_string());
    // `:authority` is what would be `Host`.
    let host = target.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let uri = Uri::builder()
        .scheme(target.uri.scheme_str().unwrap_or("http"))
        .authority(host.unwrap_or_else(|| host_and_port(&target.uri)))
        .path_and_query(target.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str))
        .build()
        .map_err(bad)?;
    let mut request = Request::builder().method(target.method.clone()).uri(uri);
    if let Some(headers) = request.headers_mut() {
        headers.clone_from(&target.headers);
        for name in [header::HOST, header::CONNECTION, header::UPGRADE, header::TE] {
            headers.remove(name);
        }
    }
    if let Some(takes) = due.takes {
        request = request.header("x-sleep", tidegate_core::format_duration(takes));
    }
    request.body(Full::new(target.recorded_body(due))).map_err(bad)
}

fn broken(error: &hyper::Error) -> Broken {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    Broken::Http2(text)
}
