//! The path of a call: route, admit, pick a replica, send, answer. No provider is asked, no lock is
//! shared between functions, and the clock is read once at each end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tidegate_core::Moment;

use crate::body::Body;
use crate::call::Call;
use crate::door::HostName;
use crate::entry::Waited;
use crate::error::InvokeError;
use crate::headers::{self, Forwarding, Ids};
use crate::proxy::Download;
use crate::replica::Handle;
use crate::room::Place;
use crate::server::Client;
use crate::splice::splice;
use crate::upstream::{
    ConnectError, Exchange, ExchangeError, Fault, Framing, Head, Outbound, Target, Upload,
};
use crate::{Entry, Gateway};

/// Where functions are called.
const PREFIX: &str = "/function/";

/// How a call says which function it means.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By its path, `/function/NAME/…`.
    Path,
    /// By its host, through the functions' door; the path is all the function's.
    Host,
}

impl Way {
    /// How a request is a call; none when it is for management.
    pub(crate) fn of(client: &Client, request: &Request<Incoming>) -> Option<Self> {
        if client.inside.is_some() && HostName::of(request).is_some() {
            return Some(Self::Host);
        }
        request.uri().path().starts_with(PREFIX).then_some(Self::Path)
    }

    /// What goes to the function of a request's path and query.
    fn target(self, path: &str) -> Result<Target<'_>, InvokeError> {
        match self {
            Self::Path => split(path).map(|(_, target)| target),
            Self::Host => Ok(Target { text: path, needs_slash: !path.starts_with('/') }),
        }
    }
}

/// Why one attempt failed.
enum Attempt {
    /// No connection; the body is untouched.
    NotConnected(ConnectError, Upload),
    /// No answer.
    NotAnswered(ExchangeError),
    /// The replica is full.
    Full(Upload),
}

impl Gateway {
    /// Serves a call.
    pub(crate) async fn invoke(
        &self,
        client: &Client,
        request: Request<Incoming>,
        way: Way,
    ) -> Response<Body> {
        let now = self.clock.now();
        let ids = Ids::of(request.headers(), self.clock.unix_nanos(now));
        let mut response = match self.route(client, request, way, &ids, now).await {
            Ok(response) => response,
            Err(error) => error.respond(),
        };
        ids.put_on(response.headers_mut());
        response
    }

    async fn route(
        &self,
        client: &Client,
        request: Request<Incoming>,
        way: Way,
        ids: &Ids,
        now: Moment,
    ) -> Result<Response<Body>, InvokeError> {
        let entry = self.find(client, &request, way)?;
        if let Some(limiter) = entry.limiter() {
            limiter.check(client.address).map_err(|refusal| {
                entry.record_limited();
                InvokeError::TooFast {
                    function: entry.id().clone(),
                    annotation: refusal.annotation,
                    retry_after: refusal.retry_after,
                }
            })?;
        }
        let mut call = Call::arrive(entry, now);
        match self.serve_call(client, request, way, ids, &mut call).await {
            Ok((head, exchange, waited, upgrade)) => {
                self.answer(head, exchange, waited, upgrade, call)
            }
            Err(error) => {
                call.set_code(error.status().as_u16());
                Err(error)
            }
        }
    }

    /// The entry of the function that a call means.
    fn find(
        &self,
        client: &Client,
        request: &Request<Incoming>,
        way: Way,
    ) -> Result<Arc<Entry>, InvokeError> {
        if way == Way::Path {
            let (name, _) = split(path_of(request))?;
            let unknown = || {
                let name = name.chars().take(130).collect();
                self.unknown(InvokeError::UnknownFunction(name))
            };
            return self.table.lookup(name).ok_or_else(unknown);
        }
        let (Some(inside), Some(host)) = (&client.inside, HostName::of(request)) else {
            return Err(InvokeError::NoName);
        };
        host.find(inside, |name| self.table.lookup(name))
            .ok_or_else(|| self.unknown(InvokeError::UnknownHost(host.text().to_owned())))
    }

    fn unknown(&self, error: InvokeError) -> InvokeError {
        if !self.table.is_synced() {
            return InvokeError::NotSynced;
        }
        self.counters.unknown_function();
        error
    }

    /// Sends the request, to more than one replica if need be, until one answers.
    async fn serve_call(
        &self,
        client: &Client,
        mut request: Request<Incoming>,
        way: Way,
        ids: &Ids,
        call: &mut Call,
    ) -> Result<(Head, Exchange, Waited, Option<OnUpgrade>), InvokeError> {
        let upgrade =
            request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        let entry = Arc::clone(call.entry());
        let mut now = call.started();
        let mut waited = Waited::Not;
        if !call.take(Place::Back, now) {
            let_go_of_the_buffer(&mut parts);
            waited = call.wait(Place::Back, now).await?;
            now = self.clock.now();
        }

        let forwarding =
            Forwarding::new(&parts.headers, &client.forwarded, ids, entry.id().as_str());
        let upgrade = upgrade.filter(|_| forwarding.asks_for_upgrade());
        let mut upload = Upload::new(body, Framing::of(&parts.headers));
        let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
        let target = way.target(path)?;
        let outbound = Outbound { method: &parts.method, target, forwarding };
        let deadline = now + self.config.upstream_timeout;
        let mut tries = self.config.retries;
        loop {
            let failed = match self.attempt(&outbound, upload, call, deadline).await {
                Ok((head, exchange)) => return Ok((head, exchange, waited, upgrade)),
                Err(failed) => failed,
            };
            now = self.clock.now();
            upload = self.judge(failed, call, &outbound, &mut tries, now)?;
            if !call.take(Place::Front, now) {
                waited = call.wait(Place::Front, now).await?;
            }
        }
    }

    /// One attempt on the replica that the call has a slot on.
    async fn attempt(
        &self,
        outbound: &Outbound<'_>,
        upload: Upload,
        call: &Call,
        deadline: Moment,
    ) -> Result<(Head, Exchange), Attempt> {
        let replica = call.replica().expect("a slot was acquired");
        let deadline = self.clock.instant(deadline);
        let settings = call.entry().pool_settings();
        let connection = match replica.pool.take(&replica.address, settings, deadline).await {
            Ok(connection) => connection,
            Err(error) => return Err(Attempt::NotConnected(error, upload)),
        };
        let (head, exchange) = Exchange::begin(connection, outbound, upload, deadline)
            .await
            .map_err(Attempt::NotAnswered)?;
        // A replica with a limit of its own says 429 when it is full: that is no answer of the function.
        let full = head.status == StatusCode::TOO_MANY_REQUESTS
            && call.entry().has_replica_limit()
            && exchange.may_repeat();
        if full { Err(Attempt::Full(exchange.into_upload())) } else { Ok((head, exchange)) }
    }

    /// Whether there is another attempt, and with which body.
    fn judge(
        &self,
        failed: Attempt,
        call: &mut Call,
        outbound: &Outbound<'_>,
        tries: &mut u32,
        now: Moment,
    ) -> Result<Upload, InvokeError> {
        let entry = Arc::clone(call.entry());
        let Some(replica) = call.replica().cloned() else {
            return Err(InvokeError::ClientLeft);
        };
        let age = now.since(call.started());
        match failed {
            // Nobody is there (any more, or yet). That costs no try, but has its limit in time.
            Attempt::NotConnected(ConnectError::Refused, upload)
                if age < self.config.connect_timeout + self.config.wake_timeout =>
            {
                tracing::debug!(function = %entry.id(), replica = %replica.id, "refuses connections");
                call.turned_away(now);
                Ok(upload)
            }
            Attempt::Full(upload) => {
                call.turned_away(now);
                Ok(upload)
            }
            Attempt::NotConnected(_, upload) if *tries > 0 => {
                *tries -= 1;
                entry.record_retry();
                call.turned_away(now);
                Ok(upload)
            }
            Attempt::NotConnected(error, _) => Err(broken(&entry, &replica, &error)),
            Attempt::NotAnswered(error)
                if *tries > 0 && error.may_repeat(is_idempotent(outbound.method)) =>
            {
                *tries -= 1;
                entry.record_retry();
                call.release();
                Ok(error.upload)
            }
            Attempt::NotAnswered(error) => {
                Err(not_answered(error, &entry, &replica, self.config.upstream_timeout))
            }
        }
    }

    /// Makes a replica's answer the client's.
    fn answer(
        &self,
        head: Head,
        exchange: Exchange,
        waited: Waited,
        upgrade: Option<OnUpgrade>,
        mut call: Call,
    ) -> Result<Response<Body>, InvokeError> {
        let switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
        call.set_code(head.status.as_u16());
        let mut response = Response::new(Body::empty());
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        let fields = response.headers_mut();
        headers::to_client(fields, switching);
        if !fields.contains_key(headers::DURATION) {
            let span = self.clock.now().since(call.started());
            fields.insert(headers::DURATION, seconds(span));
        }
        if let Waited::ForStart(span) = waited {
            fields.insert(headers::WAITED, seconds(span));
        }
        if switching {
            let Some(upgrade) = upgrade else {
                let replica = call.replica().cloned().expect("it answered");
                let error = broken(call.entry(), &replica, &"it switched protocols unasked");
                call.set_code(error.status().as_u16());
                return Err(error);
            };
            self.tasks.spawn(splice(upgrade, exchange.into_connection(), call, self.cut.clone()));
            return Ok(response);
        }
        *response.body_mut() =
            Body::Replica(Download::new(head.body, exchange, head.keep_alive, call));
        Ok(response)
    }
}

fn path_of(request: &Request<Incoming>) -> &str {
    request.uri().path_and_query().map_or("", |path| path.as_str())
}

/// A call that waits keeps its head, copied, but not the buffer it was read into, which is many times
/// larger and in which the server keeps nothing else.
fn let_go_of_the_buffer(parts: &mut Parts) {
    let mut headers = HeaderMap::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.append(name.clone(), value);
        }
    }
    parts.headers = headers;
    let path = parts.uri.path_and_query().map(|path| path.as_str().as_bytes());
    if let Ok(uri) = Uri::from_maybe_shared(Bytes::copy_from_slice(path.unwrap_or_default())) {
        parts.uri = uri;
    }
}

/// Splits `/function/NAME/rest?query` into the name and the function's own target, byte for byte.
fn split(path: &str) -> Result<(&str, Target<'_>), InvokeError> {
    let rest = path.strip_prefix(PREFIX).unwrap_or_default();
    let (name, text) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if name.is_empty() {
        return Err(InvokeError::NoName);
    }
    Ok((name, Target { text, needs_slash: !text.starts_with('/') }))
}

/// Whether doing it twice is the same as doing it once (RFC 9110, 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

fn broken(entry: &Entry, replica: &Handle, why: &impl std::fmt::Display) -> InvokeError {
    let (function, replica) = (entry.id().clone(), replica.id.clone());
    tracing::warn!(%function, %replica, %why, "replica failed");
    InvokeError::UpstreamBroken { function, replica, why: why.to_string() }
}

fn not_answered(
    error: ExchangeError,
    entry: &Entry,
    replica: &Handle,
    limit: Duration,
) -> InvokeError {
    match error.fault {
        Fault::Client => InvokeError::ClientLeft,
        Fault::TooSlow => {
            let (function, replica) = (entry.id().clone(), replica.id.clone());
            InvokeError::UpstreamTooSlow { function, replica, limit }
        }
        fault => broken(entry, replica, &fault),
    }
}

/// Seconds with six places. Every answer carries one, so it is written by hand.
fn seconds(span: Duration) -> HeaderValue {
    let mut text = [b'0'; 28];
    let mut rest = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let mut at = text.len();
    let point = text.len() - 7;
    while rest > 0 || at >= point {
        at -= 1;
        if at == point {
            text[at] = b'.';
        } else {
            text[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
    }
    // Beyond the point there is at least one digit.
    let at = at.min(point - 1);
    HeaderValue::from_bytes(&text[at..]).expect("a number is a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_six_places() {
        for (micros, text) in
            [(0, "0.000000"), (7, "0.000007"), (1_500_000, "1.500000"), (61_000_001, "61.000001")]
        {
            assert_eq!(seconds(Duration::from_micros(micros)), text);
        }
        assert_eq!(seconds(Duration::MAX), "18446744073709.551615");
    }

    #[test]
    fn a_path_is_split_without_touching_a_byte() {
        let cases = [
            ("/function/cat", "cat", "", true),
            ("/function/cat/", "cat", "/", false),
            ("/function/cat.ns/a/../b//c%2F?x=%zz&y", "cat.ns", "/a/../b//c%2F?x=%zz&y", false),
            ("/function/cat?q=/a", "cat", "?q=/a", true),
        ];
        for (path, name, text, needs_slash) in cases {
            let (found, target) = split(path).expect(path);
            assert_eq!((found, target), (name, Target { text, needs_slash }), "{path}");
        }
        assert!(split("/function/").is_err());
        assert!(split("/function//x").is_err());
    }
}
