//! What happens to header fields on their way to a function and back.
//!
//! One pass finds what is there; only that is touched. Fields that belong to one connection, and those
//! that `Connection` names, stay behind in both directions.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
pub(crate) const START_TIME: HeaderName = HeaderName::from_static("x-start-time");
pub(crate) const DURATION: HeaderName = HeaderName::from_static("x-duration-seconds");
pub(crate) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
pub(crate) const WAITED: HeaderName = HeaderName::from_static("x-tidegate-waited");
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-tidegate-error");
pub(crate) const INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who served the call.
pub(crate) const SERVER: HeaderValue =
    HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")));

const HTTP: HeaderValue = HeaderValue::from_static("http");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// Fields that belong to one connection, besides those that are handled one by one.
const OF_ONE_CONNECTION: [&str; 5] =
    ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te"];

/// Which fields are there.
#[derive(Debug, Default)]
struct Seen {
    connection: bool,
    of_one_connection: bool,
    te: bool,
    upgrade: bool,
    expect: bool,
    host: bool,
    forwarded_for: bool,
    forwarded_host: bool,
    forwarded_proto: bool,
}

impl Seen {
    fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "connection" => seen.connection = true,
                "te" => (seen.te, seen.of_one_connection) = (true, true),
                "upgrade" => seen.upgrade = true,
                "expect" => seen.expect = true,
                "host" => seen.host = true,
                "x-forwarded-for" => seen.forwarded_for = true,
                "x-forwarded-host" => seen.forwarded_host = true,
                "x-forwarded-proto" => seen.forwarded_proto = true,
                "keep-alive"
                | "proxy-connection"
                | "proxy-authenticate"
                | "proxy-authorization" => seen.of_one_connection = true,
                _ => {}
            }
        }
        seen
    }
}

/// Whether `Connection` of `headers` has this word.
fn connection_says(headers: &HeaderMap, word: &str) -> bool {
    connection_words(headers).any(|one| one.eq_ignore_ascii_case(word))
}

fn connection_words(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// Removes what belongs to the connection the headers came over.
fn strip(headers: &mut HeaderMap, seen: &Seen) {
    if seen.connection {
        // Framing and host are ours to keep, whatever a peer says about them.
        let kept =
            |name: &HeaderName| [CONTENT_LENGTH, TRANSFER_ENCODING, HOST, TRAILER].contains(name);
        let named: Vec<HeaderName> = connection_words(headers)
            .filter_map(|word| HeaderName::from_bytes(word.as_bytes()).ok())
            .filter(|name| !kept(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if seen.of_one_connection {
        for name in OF_ONE_CONNECTION {
            headers.remove(name);
        }
    }
    if seen.upgrade {
        headers.remove(UPGRADE);
    }
}

/// What the headers of a request say about the connection.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The protocol the client wants to go on with.
    pub(crate) upgrade: bool,
}

/// Makes a client's headers those for the function. `client` is its address, `call_id` and `start` what
/// the function is told of the call.
pub(crate) fn to_function(
    headers: &mut HeaderMap,
    client: &HeaderValue,
    ids: &Ids,
    host: impl FnOnce() -> HeaderValue,
) -> Asked {
    let seen = Seen::of(headers);
    let upgrade = (seen.upgrade && connection_says(headers, "upgrade"))
        .then(|| headers.get(UPGRADE).cloned())
        .flatten();
    let trailers =
        seen.te
            && headers.get_all(TE).iter().filter_map(|value| value.to_str().ok()).any(|value| {
                value.split(',').any(|part| part.trim().eq_ignore_ascii_case("trailers"))
            });
    strip(headers, &seen);
    if seen.expect {
        // Answered by us when the function begins to take the body.
        headers.remove(EXPECT);
    }
    let asked = Asked { upgrade: upgrade.is_some() };
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    if trailers {
        headers.insert(TE, TRAILERS);
    }
    if !seen.host {
        headers.insert(HOST, host());
    }
    if !seen.forwarded_host
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(FORWARDED_HOST, host);
    }
    if seen.forwarded_for {
        append_client(headers, client);
    } else {
        headers.insert(FORWARDED_FOR, client.clone());
    }
    if !seen.forwarded_proto {
        headers.insert(FORWARDED_PROTO, HTTP);
    }
    headers.insert(CALL_ID, ids.call.clone());
    headers.insert(START_TIME, ids.start.clone());
    asked
}

/// Joins all that came and the client's address into one field, in order.
fn append_client(headers: &mut HeaderMap, client: &HeaderValue) {
    let mut joined = Vec::new();
    for value in headers.get_all(FORWARDED_FOR) {
        joined.extend_from_slice(value.as_bytes());
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(client.as_bytes());
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(FORWARDED_FOR, joined);
    }
}

/// Makes a function's headers those for the client; `switching` keeps the fields of an upgrade.
pub(crate) fn to_client(headers: &mut HeaderMap, switching: bool) {
    let seen = Seen::of(headers);
    let protocol = switching.then(|| headers.get(UPGRADE).cloned()).flatten();
    strip(headers, &seen);
    // The body is framed anew for the client's own connection.
    headers.remove(TRANSFER_ENCODING);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
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
        let call = headers.get(CALL_ID).filter(|id| !id.is_empty()).cloned();
        Self { call: call.unwrap_or_else(make_call_id), start: HeaderValue::from(unix_nanos) }
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
        let mut headers = map(fields);
        let ids = Ids::of(&headers, 1_700_000_000_000_000_000);
        let client = HeaderValue::from_static("10.0.0.9");
        let asked = to_function(&mut headers, &client, &ids, || {
            HeaderValue::from_static("cat.openfaas-fn")
        });
        (headers, asked.upgrade)
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
