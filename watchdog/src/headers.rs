//! Headers that belong to one connection and are not passed on.

use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};

/// Takes out what RFC 9110 (7.6.1) calls hop-by-hop: `Connection`, what it names, and the like.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> =
            tokens(headers, &CONNECTION).filter_map(|name| name.parse().ok()).collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
    for name in [TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

/// The protocol that a message asks to change to, whatever the case of its words.
pub fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers.get(UPGRADE)?;
    tokens(headers, &CONNECTION)
        .any(|token| token.eq_ignore_ascii_case("upgrade"))
        .then(|| wanted.clone())
}

/// Puts an upgrade back after stripping.
pub fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Whether the sender understands trailers.
pub fn takes_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"))
}

/// Whether the caller wants a stream of events, which may last.
pub fn wants_event_stream(headers: &HeaderMap) -> bool {
    headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(
        |accept| {
            let accept = accept.to_ascii_lowercase();
            accept.contains("text/event-stream") || accept.contains("application/x-ndjson")
        },
    )
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers
                .append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn what_belongs_to_the_connection_goes() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Private"),
            ("connection", "x-other"),
            ("x-private", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-kept", "1"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-kept", "1")]));
    }

    #[test]
    fn an_upgrade_is_seen_in_any_case() {
        let headers = map(&[("connection", "keep-alive, UPGRADE"), ("upgrade", "WebSocket")]);
        assert_eq!(upgrade_of(&headers), Some(HeaderValue::from_static("WebSocket")));
        assert_eq!(upgrade_of(&map(&[("upgrade", "websocket")])), None);
    }

    proptest! {
        #[test]
        fn no_connection_header_panics(value in "[ -~]{0,60}") {
            let mut headers = map(&[("x-kept", "1")]);
            headers.insert(CONNECTION, HeaderValue::from_str(&value).unwrap());
            strip_hop_by_hop(&mut headers);
            prop_assert!(!headers.contains_key(CONNECTION));
        }
    }
}
