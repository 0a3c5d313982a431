//! http mode: one long-lived child, to which every request is passed on as it is.
//!
//! Bodies and trailers stream both ways; headers that belong to a connection stay on it; an upgrade
//! becomes a tunnel that no limit in time applies to.

use std::sync::Arc;

use http::header::{EXPECT, HOST, HeaderValue, TE};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri, Version, request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::app::App;
use crate::call::Call;
use crate::clock;
use crate::deadline::Deadlines;
use crate::fault::Fault;
use crate::headers::{
    set_upgrade, strip_hop_by_hop, takes_trailers, upgrade_of, wants_event_stream,
};
use crate::modes::{DURATION, duration_value};
use crate::pool::{Lease, Pool};
use crate::reply::{Answer, Proxied, Reply};
use crate::request_body::RequestBody;

/// Both ends of a connection that changes its protocol.
pub struct Tunnel {
    client: OnUpgrade,
    child: OnUpgrade,
}

/// Passes a request on; a tunnel comes back when the child agreed to an upgrade.
pub async fn answer(
    app: &Arc<App>,
    pool: &Arc<Pool>,
    mut parts: request::Parts,
    mut body: RequestBody,
    deadlines: Deadlines,
) -> Result<(Response<Answer>, Option<Tunnel>), Fault> {
    let started = clock::now();
    if app.config.buffer_request {
        body = RequestBody::bytes(body.collect().await?.to_bytes());
    }
    let client = parts.extensions.remove::<OnUpgrade>();
    let upgrade = upgrade_of(&parts.headers).filter(|_| client.is_some());
    let streams = wants_event_stream(&parts.headers);
    let request = outgoing(pool, parts, body, upgrade.as_ref())?;
    let (response, lease) = deadlines.within(pool.send(request)).await??;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switched(response, client.filter(|_| upgrade.is_some()));
    }
    let rest = if streams { deadlines.without_exec() } else { deadlines };
    let mut response = incoming(response, lease, rest);
    if !streams {
        response.headers_mut().insert(DURATION, duration_value(clock::now() - started));
    }
    Ok((response, None))
}

fn outgoing(
    pool: &Pool,
    parts: request::Parts,
    body: RequestBody,
    upgrade: Option<&HeaderValue>,
) -> Result<Request<RequestBody>, Fault> {
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = outgoing_uri(&pool.upstream().prefix, parts.uri)?;
    *request.version_mut() = Version::HTTP_11;
    let mut headers = parts.headers;
    let trailers = takes_trailers(&headers);
    strip_hop_by_hop(&mut headers);
    // We have answered, or will, with 100 ourselves.
    headers.remove(EXPECT);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        set_upgrade(&mut headers, protocol.clone());
    }
    if !headers.contains_key(HOST) {
        let host = format!("{}:{}", pool.upstream().host, pool.upstream().port);
        headers.insert(HOST, HeaderValue::from_str(&host).map_err(|_| Fault::NoPath)?);
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// The path and query as they came, behind the prefix of `upstream_url`.
fn outgoing_uri(prefix: &str, uri: Uri) -> Result<Uri, Fault> {
    let path = uri.into_parts().path_and_query.ok_or(Fault::NoPath)?;
    let path = if prefix.is_empty() {
        path
    } else {
        PathAndQuery::try_from(format!("{prefix}{path}")).map_err(|_| Fault::NoPath)?
    };
    Ok(Uri::from(path))
}

fn incoming(response: Response<Incoming>, lease: Lease, rest: Deadlines) -> Response<Answer> {
    let (mut parts, body) = response.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Answer::Proxied(Proxied::new(body, lease, rest)))
}

fn switched(
    mut response: Response<Incoming>,
    client: Option<OnUpgrade>,
) -> Result<(Response<Answer>, Option<Tunnel>), Fault> {
    let Some(client) = client else {
        let fault = std::io::Error::other("it changed the protocol without being asked");
        return Err(Fault::Unreachable(fault));
    };
    let protocol = upgrade_of(response.headers());
    let child = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    if let Some(protocol) = protocol {
        set_upgrade(&mut parts.headers, protocol);
    }
    Ok((Response::from_parts(parts, Answer::EMPTY), Some(Tunnel { client, child })))
}

impl Tunnel {
    /// Carries bytes both ways until both sides are done; `call` lasts as long.
    pub fn carry(self, app: &App, call: Call) {
        app.tasks.spawn(async move {
            let ends = futures_util::future::try_join(self.client, self.child).await;
            if let Ok((client, child)) = ends {
                let (mut client, mut child) = (TokioIo::new(client), TokioIo::new(child));
                // Either side may go away at any time; that is how tunnels end.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut child).await;
            }
            call.finish(StatusCode::SWITCHING_PROTOCOLS, None);
        });
    }
}

/// The answer to an upgrade, whose call goes on in the tunnel.
pub fn upgraded(response: Response<Answer>) -> Response<Reply> {
    Reply::alone(response)
}
