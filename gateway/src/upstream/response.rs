//! The head of a replica's answer.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use thiserror::Error;

use super::decode::Decoder;

/// Fields that there is room for at first.
const USUAL_FIELDS: usize = 24;
/// Most header fields an answer may have.
const MOST_FIELDS: usize = 128;
/// Fields that the gateway adds.
const OWN_FIELDS: usize = 6;
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
    // Few answers have many fields, and the room for them has to be cleared for every answer.
    match parse::<USUAL_FIELDS>(input, method) {
        Err(BadAnswer::Syntax(httparse::Error::TooManyHeaders)) => {
            parse::<MOST_FIELDS>(input, method)
        }
        parsed => parsed,
    }
}

fn parse<const FIELDS: usize>(
    input: &mut BytesMut,
    method: &Method,
) -> Result<Option<Head>, BadAnswer> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
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
    let span = |bytes: &[u8]| {
        let start = (bytes.as_ptr() as usize - base) as u32;
        (start, bytes.len() as u32)
    };
    let mut spans = [((0_u32, 0_u32), (0_u32, 0_u32)); FIELDS];
    let count = answer.headers.len();
    for (to, field) in spans.iter_mut().zip(answer.headers.iter()) {
        *to = (span(field.name.as_bytes()), span(field.value));
    }
    let bytes = input.split_to(length).freeze();
    let mut headers = HeaderMap::with_capacity(count + OWN_FIELDS);
    let mut framing = Framing::default();
    for (name, value) in &spans[..count] {
        let name = HeaderName::from_bytes(&bytes[range(name)])
            .map_err(|_| BadAnswer::Syntax(httparse::Error::HeaderName))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice(range(value)))
            .map_err(|_| BadAnswer::Syntax(httparse::Error::HeaderValue))?;
        framing.read(&name, &value)?;
        // The body is framed anew for the client's own connection, and that one's end is not this one's.
        if name != TRANSFER_ENCODING && !(name == CONNECTION && is_plain(&value)) {
            headers.append(name, value);
        }
    }
    let body = framing.decoder(status, method);
    let keep_alive = framing.keeps_alive(version) && body != Decoder::UntilClose;
    Ok(Some(Head { status, headers, body, keep_alive }))
}

fn range((start, length): &(u32, u32)) -> std::ops::Range<usize> {
    *start as usize..(*start + *length) as usize
}

/// Whether a `Connection` says only what [`Framing`] has read.
fn is_plain(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

/// What the fields say about the body's end and the connection.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    /// Whether the last transfer coding is chunked, when there are any.
    chunked: Option<bool>,
    close: bool,
    keep_alive: bool,
}

impl Framing {
    fn read(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), BadAnswer> {
        if *name == CONTENT_LENGTH {
            self.read_length(value)?;
        } else if *name == TRANSFER_ENCODING {
            let last = value.to_str().unwrap_or_default().rsplit(',').next().unwrap_or_default();
            self.chunked = Some(last.trim().eq_ignore_ascii_case("chunked"));
        } else if *name == CONNECTION {
            for word in value.to_str().unwrap_or_default().split(',').map(str::trim) {
                self.close |= word.eq_ignore_ascii_case("close");
                self.keep_alive |= word.eq_ignore_ascii_case("keep-alive");
            }
        }
        Ok(())
    }

    fn read_length(&mut self, value: &HeaderValue) -> Result<(), BadAnswer> {
        for part in value.to_str().map_err(|_| BadAnswer::Length)?.split(',').map(str::trim) {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let number: u64 =
                digits.then(|| part.parse().ok()).flatten().ok_or(BadAnswer::Length)?;
            if self.length.is_some_and(|length| length != number) {
                return Err(BadAnswer::Length);
            }
            self.length = Some(number);
        }
        Ok(())
    }

    fn decoder(&self, status: StatusCode, method: &Method) -> Decoder {
        let bodiless = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
            || method == Method::HEAD;
        match (self.chunked, self.length) {
            _ if bodiless => Decoder::Ended,
            (Some(true), _) => Decoder::chunked(),
            (Some(false), _) | (None, None) => Decoder::UntilClose,
            (None, Some(length)) => Decoder::length(length),
        }
    }

    fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }
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
