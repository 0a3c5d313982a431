//! What happens to header fields on their way to a function and back.
//!
//! One pass finds what is there; only that is looked at again. Fields that belong to one connection, and those
//! that `Connection` names, stay behind in both directions.

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
pub(crate) const START_TIME: HeaderName = HeaderName::from_static("x-start-time");
pub(crate) const DURATION: HeaderName = HeaderName::from_static("x-duration-seconds");
pub(crate) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
pub(crate) const WAITED: HeaderName = HeaderName::from_static("x-tidegate-waited");
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-tidegate-error");
pub(crate) const INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who served the call.
pub(crate) const SERVER: HeaderValue =
    HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")));

/// Which fields are there that need more than a copy.
#[derive(Debug, Default)]
struct Seen {
    connection: bool,
    upgrade: bool,
    te: bool,
    host: bool,
    forwarded_for: bool,
    forwarded_host: bool,
    forwarded_proto: bool,
    /// Any other that belongs to one connection.
    of_one_connection: bool,
}

/// Whether a field belongs to one connection by its name.
fn is_of_one_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "te"
            | "upgrade"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
}

impl Seen {
    fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "connection" => seen.connection = true,
                "te" => seen.te = true,
                "upgrade" => seen.upgrade = true,
                "host" => seen.host = true,
                "x-forwarded-for" => seen.forwarded_for = true,
                "x-forwarded-host" => seen.forwarded_host = true,
                "x-forwarded-proto" => seen.forwarded_proto = true,
                name => seen.of_one_connection |= is_of_one_connection(name),
            }
        }
        seen
    }
}

/// Whether a field of `headers` that is a list has this word.
fn list_has(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    list(headers, name).any(|one| one.eq_ignore_ascii_case(word))
}

fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// The fields that `Connection` names. Framing and host are ours to keep, whatever a peer says of them.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    // What nearly every peer sends, if anything, names none.
    let plain = |value: &HeaderValue| {
        let value = value.as_bytes();
        value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
    };
    if headers.get_all(CONNECTION).iter().all(plain) {
        return Vec::new();
    }
    list(headers, CONNECTION)
        .filter(|word| !["keep-alive", "close", "upgrade", "te"].contains(word))
        .filter_map(|word| HeaderName::from_bytes(word.as_bytes()).ok())
        .filter(|name| ![CONTENT_LENGTH, TRANSFER_ENCODING, HOST, TRAILER].contains(name))
        .collect()
}

// --- to the function

/// How a client's fields go to the function. They are written as they are passed over, never changed:
/// that costs a fraction of changing the map.
#[derive(Debug)]
pub(crate) struct Forwarding<'a> {
    headers: &'a HeaderMap,
    seen: Seen,
    /// Fields that `Connection` names.
    named: Vec<HeaderName>,
    /// The protocol the client wants to go on with.
    upgrade: Option<&'a HeaderValue>,
    trailers: bool,
    client: &'a HeaderValue,
    ids: &'a Ids,
    /// The host for a client that names none.
    host: &'a str,
}

impl<'a> Forwarding<'a> {
    /// Of `headers`, which `client` sent; `host` is for a client that names none.
    pub(crate) fn new(
        headers: &'a HeaderMap,
        client: &'a HeaderValue,
        ids: &'a Ids,
        host: &'a str,
    ) -> Self {
        let seen = Seen::of(headers);
        let named = if seen.connection { named_by_connection(headers) } else { Vec::new() };
        let upgrade = (seen.upgrade && list_has(headers, CONNECTION, "upgrade"))
            .then(|| headers.get(UPGRADE))
            .flatten();
        let trailers = seen.te && list_has(headers, TE, "trailers");
        Self { headers, seen, named, upgrade, trailers, client, ids, host }
    }

    /// Whether the client wants to go on with another protocol.
    pub(crate) fn asks_for_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }

    /// Writes all fields.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        for (name, value) in self.headers {
            if self.passes(name) {
                write_field(out, name.as_str(), value.as_bytes());
            }
        }
        self.write_own(out);
    }

    fn passes(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        // Expectations are met by us, when the function begins to take the body.
        let ours = matches!(text, "x-call-id" | "x-start-time" | "x-forwarded-for" | "expect");
        !ours && !is_of_one_connection(text) && !self.named.contains(name)
    }

    fn write_own(&self, out: &mut BytesMut) {
        if let Some(protocol) = self.upgrade {
            write_field(out, "connection", b"upgrade");
            write_field(out, "upgrade", protocol.as_bytes());
        }
        if self.trailers {
            write_field(out, "te", b"trailers");
        }
        let host = self.headers.get(HOST).map_or(self.host.as_bytes(), HeaderValue::as_bytes);
        if !self.seen.host {
            write_field(out, "host", host);
        }
        if !self.seen.forwarded_host {
            write_field(out, "x-forwarded-host", host);
        }
        if !self.seen.forwarded_proto {
            write_field(out, "x-forwarded-proto", b"http");
        }
        // All that came and the client's own address, in order, in one field.
        out.extend_from_slice(b"x-forwarded-for: ");
        if self.seen.forwarded_for && !self.named.contains(&FORWARDED_FOR) {
            for value in self.headers.get_all(FORWARDED_FOR) {
                out.extend_from_slice(value.as_bytes());
                out.extend_from_slice(b", ");
            }
        }
        out.extend_from_slice(self.client.as_bytes());
        out.extend_from_slice(b"\r\n");
        write_field(out, "x-call-id", self.ids.call.as_bytes());
        write_field(out, "x-start-time", self.ids.start.as_bytes());
    }
}

fn write_field(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

// --- to the client

/// Makes a function's headers those for the client; `switching` keeps the fields of an upgrade.
pub(crate) fn to_client(headers: &mut HeaderMap, switching: bool) {
    let seen = Seen::of(headers);
    if seen.connection {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if seen.of_one_connection || seen.te {
        for name in
            ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te"]
        {
            headers.remove(name);
        }
    }
    if switching {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else if seen.upgrade {
        headers.remove(UPGRADE);
    }
}

// --- what a call is known by

/// What a call is known by, as header values.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    /// `X-Call-Id`: the client's, or made.
    pub(crate) call: HeaderValue,
    /// `X-Start-Time`: Unix time in nanoseconds.
    pub(crate) start: HeaderValue,
}

impl Ids {
    /// Of a call that arrived at `unix_nanos`.
    pub(crate) fn of(headers: &HeaderMap, unix_nanos: u64) -> Self {
        let given = headers.get(CALL_ID).filter(|id| !id.is_empty());
        // Copied, since a clone would keep the buffer that the head was read into.
        let given = given.and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
        Self { call: given.unwrap_or_else(make_call_id), start: HeaderValue::from(unix_nanos) }
    }

    /// Puts them on an answer.
    pub(crate) fn put_on(self, headers: &mut HeaderMap) {
        headers.insert(CALL_ID, self.call);
        headers.insert(START_TIME, self.start);
        headers.insert(SERVED_BY, SERVER);
    }
}

/// A UUID of version 4.
fn make_call_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random =
        (u128::from(crate::balance::random()) << 64) | u128::from(crate::balance::random());
    let bits = random & !(0xf_u128 << 76) & !(0x3_u128 << 62) | (0x4_u128 << 76) | (0x2_u128 << 62);
    let mut text = [b'-'; 36];
    let mut shift = 128;
    for (at, byte) in text.iter_mut().enumerate() {
        if ![8, 13, 18, 23].contains(&at) {
            shift -= 4;
            *byte = DIGITS[(bits >> shift) as usize & 0xf];
        }
    }
    HeaderValue::from_bytes(&text).expect("digits and dashes are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    fn forwarded(fields: &[(&'static str, &str)]) -> (HeaderMap, bool) {
        let headers = map(fields);
        let ids = Ids::of(&headers, 1_700_000_000_000_000_000);
        let client = HeaderValue::from_static("10.0.0.9");
        let forwarding = Forwarding::new(&headers, &client, &ids, "cat.openfaas-fn");
        let mut out = BytesMut::new();
        forwarding.write(&mut out);
        let written = std::str::from_utf8(&out).expect("text");
        let read = written
            .split_terminator("\r\n")
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                (name, value.parse().expect("a value"))
            })
            .collect();
        (read, forwarding.asks_for_upgrade())
    }

    #[test]
    fn fields_of_the_connection_and_those_it_names_stay_behind() {
        let (headers, upgrade) = forwarded(&[
            ("host", "x.example"),
            ("connection", "keep-alive, X-Secret"),
            ("connection", "content-length"),
            ("x-secret", "1"),
            ("content-length", "5"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip, trailers"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic eA=="),
            ("authorization", "Bearer y"),
            ("expect", "100-continue"),
        ]);
        assert!(!upgrade);
        for gone in
            ["connection", "x-secret", "keep-alive", "upgrade", "proxy-authorization", "expect"]
        {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["content-length"], "5");
        assert_eq!(headers["authorization"], "Bearer y");
        assert_eq!(headers["host"], "x.example");
        assert_eq!(headers["x-forwarded-host"], "x.example");
        assert_eq!(headers["x-forwarded-for"], "10.0.0.9");
        assert_eq!(headers["x-forwarded-proto"], "http");
    }

    #[test]
    fn the_client_is_appended_to_those_it_spoke_for() {
        let (headers, _) = forwarded(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a"),
        ]);
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.0.0.9");
        assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "a");
        assert_eq!(headers["host"], "cat.openfaas-fn");
    }

    #[test]
    fn an_upgrade_is_passed_on_when_connection_names_it() {
        let (headers, upgrade) =
            forwarded(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert!(upgrade);
        assert_eq!(
            (&headers["connection"], &headers["upgrade"]),
            (&"upgrade".parse().expect("x"), &"websocket".parse().expect("x"))
        );
    }

    #[test]
    fn a_call_id_is_kept_or_made_as_a_uuid() {
        let (headers, _) = forwarded(&[("x-call-id", "mine")]);
        assert_eq!(headers["x-call-id"], "mine");
        let (headers, _) = forwarded(&[]);
        let id = headers["x-call-id"].to_str().expect("text");
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_eq!(headers["x-start-time"], "1700000000000000000");
    }
}
