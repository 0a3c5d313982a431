//! The bytes of requests, built once for each target before the run.

use std::fmt::Write as _;

use base64::Engine as _;
use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, Method, Uri, header};

use crate::plan::{Due, Target, Transport};

/// Where a connection goes: calls with the same origin share connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// None when the URL is not absolute, or neither `http` nor `https`.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { tls, host, port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// One target, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Index into the origins of the run.
    pub(crate) origin: usize,
    /// Head and body as HTTP/1.1, in one piece: one write.
    pub(crate) bytes: Vec<u8>,
    pub(crate) find: Option<String>,
    pub(crate) statuses: Vec<u16>,
}

/// Headers that frame the message: what is given by hand would lie.
const FRAMING: [HeaderName; 2] = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

impl Prepared {
    pub(crate) fn new(target: &Target, transport: &Transport, origin: usize) -> Self {
        let mut headers = target.headers.clone();
        for name in FRAMING {
            headers.remove(name);
        }
        if !headers.contains_key(header::USER_AGENT) {
            headers.insert(
                header::USER_AGENT,
                header::HeaderValue::from_static(concat!(
                    "tidegate-load/",
                    env!("CARGO_PKG_VERSION")
                )),
            );
        }
        // Go's rule, and hey is Go: not for HEAD and ranges. Nor when the body is searched: it would come packed.
        let plain = transport.no_compression
            || target.check.body_contains.is_some()
            || target.method == Method::HEAD
            || headers.contains_key(header::RANGE);
        if !plain && !headers.contains_key(header::ACCEPT_ENCODING) {
            headers.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("gzip"));
        }
        if let Some(user) = user_info(&target.uri)
            && !headers.contains_key(header::AUTHORIZATION)
        {
            headers.insert(header::AUTHORIZATION, user);
        }
        let mut prepared = Self {
            method: target.method.clone(),
            uri: target.uri.clone(),
            headers,
            body: target.body.clone(),
            origin,
            bytes: Vec::new(),
            find: target.check.body_contains.clone(),
            statuses: target.check.statuses.clone(),
        };
        prepared.bytes = prepared.write(transport, &[], prepared.body.len() as u64);
        prepared.bytes.extend_from_slice(&target.body);
        prepared
    }

    /// Head and body of one call of a recording, which has its own body length or `X-Sleep`.
    pub(crate) fn recorded(&self, transport: &Transport, due: &Due) -> Vec<u8> {
        let length = due.body.unwrap_or(self.body.len() as u64);
        let sleep = due.takes.map(tidegate_core::format_duration);
        let extra: Vec<(&str, &str)> =
            sleep.iter().map(|sleep| ("X-Sleep", sleep.as_str())).collect();
        let mut bytes = self.write(transport, &extra, length);
        bytes.extend_from_slice(&self.recorded_body(due));
        bytes
    }

    /// The target's body, or so many `x` as the recording says.
    pub(crate) fn recorded_body(&self, due: &Due) -> Bytes {
        match due.body {
            Some(length) => vec![b'x'; usize::try_from(length).unwrap_or(usize::MAX)].into(),
            None => self.body.clone(),
        }
    }

    /// The same call where a redirect points to, by the rules of browsers and Go's client: 301, 302 and
    /// 303 ask with GET (or HEAD), 307 and 308 repeat; credentials do not go to another host.
    pub(crate) fn redirected(
        &self,
        status: u16,
        uri: Uri,
        origin: usize,
        same_host: bool,
        transport: &Transport,
    ) -> Self {
        let mut next = Self { uri, origin, ..self.clone() };
        if !matches!(status, 307 | 308) {
            if next.method != Method::HEAD {
                next.method = Method::GET;
            }
            next.body = Bytes::new();
            next.headers.remove(header::CONTENT_TYPE);
        }
        if !same_host {
            next.headers.remove(header::AUTHORIZATION);
            next.headers.remove(header::COOKIE);
            next.headers.remove(header::HOST);
        }
        next.bytes = next.write(transport, &[], next.body.len() as u64);
        let body = next.body.clone();
        next.bytes.extend_from_slice(&body);
        next
    }

    fn write(&self, transport: &Transport, extra: &[(&str, &str)], length: u64) -> Vec<u8> {
        let path = self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let path = if path.is_empty() { "/" } else { path };
        let authority = host_and_port(&self.uri);
        let mut head = String::with_capacity(256);
        // Writing to a string cannot fail.
        let _ = match &transport.proxy {
            Some(_) if self.uri.scheme() == Some(&Scheme::HTTP) => {
                write!(head, "{} http://{authority}{path} HTTP/1.1\r\n", self.method)
            }
            _ => write!(head, "{} {path} HTTP/1.1\r\n", self.method),
        };
        let mut bytes = head.into_bytes();
        let mut line = |name: &[u8], value: &[u8]| {
            for part in [name, b": ", value, b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        };
        let host =
            self.headers.get(header::HOST).map_or(authority.as_bytes(), |host| host.as_bytes());
        line(b"Host", host);
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != header::HOST) {
            line(name.as_str().as_bytes(), value.as_bytes());
        }
        for (name, value) in extra {
            line(name.as_bytes(), value.as_bytes());
        }
        if length > 0 || matches!(self.method, Method::POST | Method::PUT | Method::PATCH) {
            line(b"Content-Length", length.to_string().as_bytes());
        }
        if let Some(user) = self.proxy_user(transport) {
            line(b"Proxy-Authorization", user.as_bytes());
        }
        if transport.no_keepalive {
            line(b"Connection", b"close");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    fn proxy_user(&self, transport: &Transport) -> Option<header::HeaderValue> {
        let proxy =
            transport.proxy.as_ref().filter(|_| self.uri.scheme() == Some(&Scheme::HTTP))?;
        user_info(proxy)
    }
}

/// The authority of a URL without its user.
pub(crate) fn host_and_port(uri: &Uri) -> &str {
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// `user:password@` of a URL as a `Basic` value.
pub(crate) fn user_info(uri: &Uri) -> Option<header::HeaderValue> {
    let (user, _) = uri.authority()?.as_str().rsplit_once('@')?;
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user));
    header::HeaderValue::from_str(&text).ok()
}

/// Where a `Location` points, seen from the URL that was asked.
pub(crate) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    if let Ok(uri) = location.parse::<Uri>()
        && uri.scheme().is_some()
    {
        return Some(uri);
    }
    let scheme = base.scheme_str()?;
    let text = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{}{location}", host_and_port(base))
    } else if location.starts_with('?') {
        format!("{scheme}://{}{}{location}", host_and_port(base), base.path())
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{}{folder}/{location}", host_and_port(base))
    };
    text.split('#').next()?.parse().ok()
}
