//! The head of a replica's answer.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use thiserror::Error;

use super::decode::Decoder;

/// Most header fields an answer may have.
const MOST_FIELDS: usize = 128;
/// Largest head.
const LARGEST_HEAD: usize = 1 << 20;

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Reads the body that follows.
    pub(crate) body: Decoder,
    /// Whether the connection may carry another request afterwards.
    pub(crate) keep_alive: bool,
}

/// Bytes that are no HTTP/1.1 answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadAnswer {
    #[error("it is not an HTTP/1.1 answer: {0}")]
    Syntax(httparse::Error),
    #[error("its head is larger than {LARGEST_HEAD} bytes")]
    TooLarge,
    #[error("its Content-Length is not one number")]
    Length,
}

/// Takes a head from `input` if it is whole. Interim answers (1xx but 101) are skipped.
pub(super) fn take_head(input: &mut BytesMut, method: &Method) -> Result<Option<Head>, BadAnswer> {
    loop {
        let Some(head) = take_one(input, method)? else { return Ok(None) };
        if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some(head));
        }
    }
}

fn take_one(input: &mut BytesMut, method: &Method) -> Result<Option<Head>, BadAnswer> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut answer = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut answer, input, &mut fields)
        .map_err(BadAnswer::Syntax)?;
    let httparse::Status::Complete(length) = parsed else {
        let whole = input.len() < LARGEST_HEAD;
        return if whole { Ok(None) } else { Err(BadAnswer::TooLarge) };
    };
    let code = answer.code.unwrap_or_default();
    let status =
        StatusCode::from_u16(code).map_err(|_| BadAnswer::Syntax(httparse::Error::Status))?;
    let version = if answer.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };

    // Values become slices of the input without a copy, so where they lie is noted before it is split.
    let base = input.as_ptr() as usize;
    let span = |bytes: &[u8]| (bytes.as_ptr() as usize - base, bytes.len());
    let mut spans = [((0_usize, 0_usize), (0_usize, 0_usize)); MOST_FIELDS];
    let count = answer.headers.len();
    for (to, field) in spans.iter_mut().zip(answer.headers.iter()) {
        *to = (span(field.name.as_bytes()), span(field.value));
    }
    let bytes = input.split_to(length).freeze();
    let mut headers = HeaderMap::with_capacity(count + 6);
    for ((name_at, name_len), (value_at, value_len)) in spans.into_iter().take(count) {
        let name = HeaderName::from_bytes(&bytes[name_at..name_at + name_len])
            .map_err(|_| BadAnswer::Syntax(httparse::Error::HeaderName))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice(value_at..value_at + value_len))
            .map_err(|_| BadAnswer::Syntax(httparse::Error::HeaderValue))?;
        headers.append(name, value);
    }
    let body = decoder(status, &headers, method)?;
    let keep_alive = keeps_alive(version, &headers) && body != Decoder::UntilClose;
    Ok(Some(Head { status, headers, body, keep_alive }))
}

fn decoder(status: StatusCode, headers: &HeaderMap, method: &Method) -> Result<Decoder, BadAnswer> {
    let bodiless = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || method == Method::HEAD;
    if bodiless {
        return Ok(Decoder::Ended);
    }
    if let Some(coding) = headers.get_all(TRANSFER_ENCODING).iter().next_back() {
        let last = coding.to_str().unwrap_or_default().rsplit(',').next().unwrap_or_default();
        let chunked = last.trim().eq_ignore_ascii_case("chunked");
        return Ok(if chunked { Decoder::chunked() } else { Decoder::UntilClose });
    }
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for part in value.to_str().map_err(|_| BadAnswer::Length)?.split(',') {
            let part = part.trim();
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let number: u64 =
                digits.then(|| part.parse().ok()).flatten().ok_or(BadAnswer::Length)?;
            if length.is_some_and(|length| length != number) {
                return Err(BadAnswer::Length);
            }
            length = Some(number);
        }
    }
    Ok(length.map_or(Decoder::UntilClose, Decoder::length))
}

fn keeps_alive(version: Version, headers: &HeaderMap) -> bool {
    let says = |word: &str| {
        headers.get_all(CONNECTION).iter().any(|value| {
            let value = value.to_str().unwrap_or_default();
            value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
        })
    };
    if version == Version::HTTP_11 { !says("close") } else { says("keep-alive") && !says("close") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(text: &str, method: Method) -> Result<Option<Head>, BadAnswer> {
        take_head(&mut BytesMut::from(text), &method)
    }

    #[test]
    fn the_end_of_the_body_is_known_as_the_rules_say() {
        let cases = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Method::GET, Decoder::length(5), true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Method::HEAD, Decoder::Ended, true),
            ("HTTP/1.1 200 OK\r\n\r\n", Method::GET, Decoder::UntilClose, false),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\ncontent-length: 3\r\n\r\n",
                Method::GET,
                Decoder::chunked(),
                true,
            ),
            ("HTTP/1.1 204 No\r\nconnection: x, close\r\n\r\n", Method::GET, Decoder::Ended, false),
            ("HTTP/1.0 304 Not\r\n\r\n", Method::GET, Decoder::Ended, false),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                Method::POST,
                Decoder::Ended,
                true,
            ),
        ];
        for (text, method, body, keep_alive) in cases {
            let head = take(text, method).expect(text).expect(text);
            assert_eq!((head.body, head.keep_alive), (body, keep_alive), "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
            "HTTP/1.1 999999 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        ] {
            assert!(take(text, Method::GET).is_err(), "{text}");
        }
        assert!(take("HTTP/1.1 200 OK\r\nx: y\r\n", Method::GET).expect("a part").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = take_head(&mut BytesMut::from(&bytes[..]), &Method::GET);
        }

        #[test]
        fn no_lines_panic(lines in "(HTTP/1.[01] [0-9]{3} x\r\n)([a-z-]{1,9}: [ -~]{0,9}\r\n){0,5}(\r\n)?") {
            let _ = take_head(&mut BytesMut::from(&lines[..]), &Method::GET);
        }
    }
}
