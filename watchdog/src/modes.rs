//! The three modes that start a process per call, as different shapes of one answer.
//!
//! Classic and serializing gather the output, because the exit status decides; streaming holds the
//! headers back until the first byte, and breaks the connection when the process fails after it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode, request};
use http_body_util::BodyExt as _;

use crate::app::App;
use crate::clock;
use crate::config::Mode;
use crate::content_type;
use crate::deadline::Deadlines;
use crate::environment::canonical;
use crate::fault::Fault;
use crate::fork::{Errors, Running};
use crate::fprocess::Fprocess;
use crate::log::Stream;
use crate::reply::{Answer, Cut};
use crate::request_body::RequestBody;

/// Name of the header that tells how long the function took.
pub const DURATION: HeaderName = HeaderName::from_static("x-duration-seconds");

/// Seconds with six decimals.
pub fn duration_value(took: Duration) -> HeaderValue {
    HeaderValue::from_str(&format!("{:.6}", took.as_secs_f64()))
        .expect("digits and a point make a header value")
}

/// Answers a request in a mode that starts a process.
pub async fn answer(
    app: &Arc<App>,
    fprocess: &Fprocess,
    parts: &request::Parts,
    body: RequestBody,
    deadlines: Deadlines,
) -> Result<Response<Answer>, Fault> {
    debug_headers(app, "in", &parts.headers);
    let response = match app.config.mode {
        Mode::Classic => classic(app, fprocess, parts, body, deadlines).await,
        Mode::Serializing => serializing(app, fprocess, parts, body, deadlines).await,
        _ => streaming(app, fprocess, parts, body, deadlines).await,
    }?;
    debug_headers(app, "out", response.headers());
    Ok(response)
}

fn debug_headers(app: &App, way: &str, headers: &HeaderMap) {
    if app.config.forks.debug_headers {
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            let line = format!("[{way}] {}: {value}\n", canonical(name.as_str()));
            app.log.raw_or_drop(Stream::Out, line.as_bytes());
        }
    }
}

async fn classic(
    app: &Arc<App>,
    fprocess: &Fprocess,
    parts: &request::Parts,
    mut body: RequestBody,
    deadlines: Deadlines,
) -> Result<Response<Answer>, Fault> {
    if !matches!(
        parts.method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE
            | Method::OPTIONS
    ) {
        return Err(Fault::Method);
    }
    let started = clock::now();
    if app.config.forks.marshal_request {
        body = marshalled(parts, body).await?;
    }
    if app.config.access.enabled {
        app.log.line("Forking fprocess.");
    }
    let errors = if app.config.forks.combine_output { Errors::Answer } else { Errors::Log };
    let mut running = Running::start(app, fprocess, parts, body, errors, deadlines)?;
    let (output, end) = gather(&mut running).await;
    write_debug(app, &output);
    match end {
        Ok(()) => {}
        Err(Fault::Exited(status)) => {
            let mut text = BytesMut::from(format!("{}\n", Fault::Exited(status)).as_bytes());
            text.put(output);
            let mut response = Response::new(Answer::Bytes(text.freeze()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Ok(typed(response, HeaderValue::from_static("text/plain; charset=utf-8")));
        }
        Err(fault) => return Err(fault),
    }
    let kind = app
        .config
        .content_type
        .clone()
        .or_else(|| parts.headers.get(CONTENT_TYPE).cloned())
        .unwrap_or_else(|| HeaderValue::from_static(content_type::sniffed(&output)));
    let mut response = typed(Response::new(Answer::Bytes(output)), kind);
    response.headers_mut().insert(DURATION, duration_value(clock::now() - started));
    Ok(response)
}

async fn serializing(
    app: &Arc<App>,
    fprocess: &Fprocess,
    parts: &request::Parts,
    body: RequestBody,
    deadlines: Deadlines,
) -> Result<Response<Answer>, Fault> {
    let started = clock::now();
    let mut running = Running::start(app, fprocess, parts, body, Errors::Log, deadlines)?;
    let (output, end) = gather(&mut running).await;
    end?;
    let mut response = typed(Response::new(Answer::Bytes(output)), output_type(app));
    response.headers_mut().insert(DURATION, duration_value(clock::now() - started));
    Ok(response)
}

async fn streaming(
    app: &Arc<App>,
    fprocess: &Fprocess,
    parts: &request::Parts,
    body: RequestBody,
    deadlines: Deadlines,
) -> Result<Response<Answer>, Fault> {
    let mut running = Running::start(app, fprocess, parts, body, Errors::Log, deadlines)?;
    let answer = match running.piece().await? {
        None => Answer::EMPTY,
        Some(first) => Answer::Pieces(Box::pin(stream::try_unfold(
            (Some(first), running),
            |(first, mut running)| async move {
                if let Some(first) = first {
                    return Ok(Some((first, (None, running))));
                }
                let piece = running.piece().await.map_err(Cut::Function)?;
                Ok(piece.map(|piece| (piece, (None, running))))
            },
        ))),
    };
    Ok(typed(Response::new(answer), output_type(app)))
}

fn typed(mut response: Response<Answer>, kind: HeaderValue) -> Response<Answer> {
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Content type of streaming and serializing answers.
pub fn output_type(app: &App) -> HeaderValue {
    let plain = HeaderValue::from_static("application/octet-stream");
    app.config.content_type.clone().unwrap_or(plain)
}

/// All output, and how it ended.
async fn gather(running: &mut Running) -> (Bytes, Result<(), Fault>) {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        match running.piece().await {
            // The usual answer is one piece and needs no copy.
            Ok(Some(piece)) if first.is_empty() && all.is_empty() => first = piece,
            Ok(Some(piece)) => {
                all.put(std::mem::take(&mut first));
                all.put(piece);
            }
            end => {
                let output = if all.is_empty() { first } else { all.freeze() };
                return (output, end.map(|_| ()));
            }
        }
    }
}

fn write_debug(app: &App, output: &[u8]) {
    if app.config.forks.write_debug {
        app.log.raw_or_drop(Stream::Out, output);
    }
}

/// Headers and body as one JSON object.
async fn marshalled(parts: &request::Parts, body: RequestBody) -> Result<RequestBody, Fault> {
    use base64::Engine as _;

    let body = body.collect().await?.to_bytes();
    let mut headers = serde_json::Map::new();
    for name in parts.headers.keys() {
        let values = parts.headers.get_all(name).iter();
        let values: Vec<_> =
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        headers.insert(canonical(name.as_str()), values.into());
    }
    let raw = base64::engine::general_purpose::STANDARD.encode(&body);
    let json = serde_json::json!({ "header": headers, "body": { "raw": raw } });
    Ok(RequestBody::bytes(json.to_string().into()))
}
