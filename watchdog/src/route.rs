//! From a request to its answer: the two probes, or a call of the function.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{HeaderName, Method, Request, Response, StatusCode, request};
use hyper::body::Incoming;

use crate::app::{App, Function};
use crate::call::Call;
use crate::clock;
use crate::config::Mode;
use crate::deadline::Deadlines;
use crate::fault::{Fault, INTERNAL};
use crate::modes::{self, DURATION, duration_value, output_type};
use crate::proxy::{self, Tunnel};
use crate::reply::{Answer, Reply};
use crate::request_body::RequestBody;
use crate::static_files;

/// Answers a request.
pub async fn route(
    app: Arc<App>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let (parts, incoming) = request.into_parts();
    Ok(match parts.uri.path() {
        "/_/health" => Reply::alone(health(&app, &parts.method)),
        "/_/ready" => Reply::alone(ready(&app, parts).await),
        _ => call(&app, parts, incoming).await,
    })
}

fn health(app: &App, method: &Method) -> Response<Answer> {
    if !is_probe(method) {
        return method_not_allowed("GET, HEAD");
    }
    if !app.is_healthy() {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    }
    Response::new(Answer::Bytes("OK".into()))
}

async fn ready(app: &Arc<App>, mut parts: request::Parts) -> Response<Answer> {
    if !is_probe(&parts.method) {
        return method_not_allowed("GET, HEAD");
    }
    if !app.is_ready() {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    }
    if let Some(most) = app.inflight.full() {
        return refusal(app, &Fault::Busy(most));
    }
    let Some(path) = &app.config.ready_path else { return empty(StatusCode::OK) };
    let Ok(uri) = path.parse() else { return empty(StatusCode::SERVICE_UNAVAILABLE) };
    parts.uri = uri;
    parts.method = Method::GET;
    let timeouts = &app.config.timeouts;
    let deadlines = Deadlines::new(clock::now(), timeouts, app.config.mode, &parts.headers);
    match function(app, parts, RequestBody::empty(), deadlines).await {
        Ok((response, _)) => response,
        Err(fault) => refusal(app, &fault),
    }
}

async fn call(app: &Arc<App>, parts: request::Parts, incoming: Incoming) -> Response<Reply> {
    let mut call = Call::begin(app, &parts);
    let head = parts.method == Method::HEAD;
    if let Err(most) = call.take_slot() {
        return Reply::ending(call, refusal(app, &Fault::Busy(most)), head);
    }
    let timeouts = &app.config.timeouts;
    let deadlines = Deadlines::new(call.started(), timeouts, app.config.mode, &parts.headers);
    let body = RequestBody::arriving(incoming, deadlines.read());
    match function(app, parts, body, deadlines).await {
        Ok((response, Some(tunnel))) => {
            tunnel.carry(app, call);
            proxy::upgraded(response)
        }
        Ok((response, None)) => Reply::ending(call, response, head),
        Err(fault) => {
            let mut response = refusal(app, &fault);
            if app.config.mode != Mode::Classic {
                response.headers_mut().insert(DURATION, duration_value(call.elapsed()));
            }
            Reply::ending(call, response, head)
        }
    }
}

async fn function(
    app: &Arc<App>,
    parts: request::Parts,
    body: RequestBody,
    deadlines: Deadlines,
) -> Result<(Response<Answer>, Option<Tunnel>), Fault> {
    match &app.function {
        Function::Fork(fprocess) => {
            Ok((modes::answer(app, fprocess, &parts, body, deadlines).await?, None))
        }
        Function::Http(pool) => proxy::answer(app, pool, parts, body, deadlines).await,
        Function::Files(kept) => {
            Ok((static_files::answer(&app.config.static_path, kept, &parts).await, None))
        }
    }
}

/// The answer to a call that failed, in words.
fn refusal(app: &App, fault: &Fault) -> Response<Answer> {
    let status = fault.status();
    if status.is_server_error() && app.config.access.enabled {
        app.log.line(fault.to_string());
    }
    let mut response = Response::new(Answer::Bytes(format!("{fault}\n").into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = match (app.config.mode, fault) {
        (Mode::Serializing, Fault::Exited(_) | Fault::TimedOut { .. }) => output_type(app),
        (_, Fault::Busy(_)) => HeaderValue::from_static("text/plain"),
        _ => HeaderValue::from_static("text/plain; charset=utf-8"),
    };
    headers.insert(CONTENT_TYPE, kind);
    if let Some(mark) = fault.internal() {
        headers.insert(HeaderName::from_static(INTERNAL), HeaderValue::from_static(mark));
    }
    if matches!(fault, Fault::Method) {
        headers.insert(
            ALLOW,
            HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
    }
    response
}

fn is_probe(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

fn method_not_allowed(allowed: &'static str) -> Response<Answer> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn empty(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::EMPTY);
    *response.status_mut() = status;
    response
}
