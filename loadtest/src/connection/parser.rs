//! Reads an HTTP/1 answer from bytes that come in any pieces; knows no socket.
//!
//! Content-Length, chunked with trailers, until the connection closes; 1xx skipped; HEAD, 204 and 304
//! without a body. Bodies are counted, not kept, and not decoded.

#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

use thiserror::Error;

const USUAL_HEADERS: usize = 64;
const MOST_HEADERS: usize = 1024;
/// Longest line of a chunk's size or of a trailer.
const LONGEST_LINE: usize = 16 * 1024;

/// Bytes that are no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadAnswer {
    #[error("the answer is not HTTP: {0}")]
    Head(httparse::Error),
    #[error("the answer's head is longer than 256 KiB")]
    HeadTooLong,
    #[error("the answer has a Content-Length that is no number, or several that differ")]
    Length,
    #[error("the answer has a broken chunk")]
    Chunk,
    #[error("the connection was closed within the answer")]
    Short,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Head,
    Fixed(u64),
    Size {
        value: u64,
        digits: u8,
    },
    /// After the size: extensions up to the line's end.
    SizeRest {
        value: u64,
        length: usize,
    },
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    Trailer {
        line: usize,
        length: usize,
    },
    UntilClose,
    Done,
}

/// One answer being read.
#[derive(Clone, Debug)]
pub(crate) struct Parser {
    state: State,
    to_head: bool,
    status: u16,
    keep_alive: bool,
    bytes: u64,
    location: Option<Box<str>>,
}

/// What the head says of the rest.
struct Framing {
    length: Option<u64>,
    chunked: bool,
    other_coding: bool,
}

impl Parser {
    /// For the answer to one request; `to_head` when that was a HEAD.
    pub(crate) fn new(to_head: bool) -> Self {
        Self { state: State::Head, to_head, status: 0, keep_alive: false, bytes: 0, location: None }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Whether the connection may carry another call.
    pub(crate) fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Bytes of body so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn into_location(self) -> Option<Box<str>> {
        self.location
    }

    /// The stream has ended.
    pub(crate) fn end(&mut self) -> Result<(), BadAnswer> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BadAnswer::Short),
        }
    }

    /// Takes bytes, hands pieces of body to `sink`, and returns how many were used: all but what follows
    /// the answer, or a head that is not whole yet and has to be given again with more.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<usize, BadAnswer> {
        let mut used = 0;
        while used < input.len() && self.state != State::Done {
            let rest = &input[used..];
            used += match self.state {
                State::Head => match self.head(rest)? {
                    Some(length) => length,
                    None => break,
                },
                State::Fixed(left) => self.body(rest, left, State::Fixed, State::Done, sink),
                State::Chunk(left) => self.body(rest, left, State::Chunk, State::ChunkEnd, sink),
                State::UntilClose => {
                    self.body(rest, u64::MAX, |_| State::UntilClose, State::Done, sink)
                }
                _ => {
                    self.line_byte(rest[0])?;
                    1
                }
            };
        }
        Ok(used)
    }

    fn body(
        &mut self,
        rest: &[u8],
        left: u64,
        more: impl Fn(u64) -> State,
        after: State,
        sink: &mut impl FnMut(&[u8]),
    ) -> usize {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        sink(&rest[..count]);
        self.bytes += count as u64;
        let left = left - count as u64;
        self.state = if left == 0 { after } else { more(left) };
        count
    }

    fn line_byte(&mut self, byte: u8) -> Result<(), BadAnswer> {
        self.state = match (&self.state, byte) {
            (State::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = u64::from((byte as char).to_digit(16).ok_or(BadAnswer::Chunk)?);
                if *digits >= 16 {
                    return Err(BadAnswer::Chunk);
                }
                State::Size { value: value << 4 | digit, digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(BadAnswer::Chunk),
            (State::Size { value, .. } | State::SizeRest { value, .. }, b'\n') => match value {
                0 => State::Trailer { line: 0, length: 0 },
                value => State::Chunk(*value),
            },
            (State::Size { value, .. }, b'\r' | b';' | b' ' | b'\t') => {
                State::SizeRest { value: *value, length: 0 }
            }
            (State::SizeRest { value, length }, _) if *length < LONGEST_LINE => {
                State::SizeRest { value: *value, length: length + 1 }
            }
            (State::ChunkEnd, b'\r') => State::ChunkEnd,
            (State::ChunkEnd, b'\n') => State::Size { value: 0, digits: 0 },
            (State::Trailer { line: 0, .. }, b'\n') => State::Done,
            (State::Trailer { length, .. }, b'\n') => {
                State::Trailer { line: 0, length: length + 1 }
            }
            (State::Trailer { line, length }, b'\r') => {
                State::Trailer { line: *line, length: length + 1 }
            }
            (State::Trailer { line, length }, _) if *length < LONGEST_LINE => {
                State::Trailer { line: line + 1, length: length + 1 }
            }
            _ => return Err(BadAnswer::Chunk),
        };
        Ok(())
    }

    /// The length of the head, or none when it is not whole.
    fn head(&mut self, input: &[u8]) -> Result<Option<usize>, BadAnswer> {
        let mut headers = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
        match self.head_with(input, &mut headers) {
            Err(BadAnswer::Head(httparse::Error::TooManyHeaders)) => {
                let mut headers = vec![MaybeUninit::uninit(); MOST_HEADERS];
                self.head_with(input, &mut headers)
            }
            result => result,
        }
    }

    fn head_with<'b>(
        &mut self,
        input: &'b [u8],
        headers: &mut [MaybeUninit<httparse::Header<'b>>],
    ) -> Result<Option<usize>, BadAnswer> {
        let mut answer = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parsed = config.parse_response_with_uninit_headers(&mut answer, input, headers);
        let httparse::Status::Complete(length) = parsed.map_err(BadAnswer::Head)? else {
            return Ok(None);
        };
        let status = answer.code.unwrap_or(0);
        // Hints and 100 come before the answer; 101 is one.
        if (100..200).contains(&status) && status != 101 {
            return Ok(Some(length));
        }
        self.status = status;
        self.keep_alive = answer.version == Some(1) && status != 101;
        let framing = self.headers(answer.headers)?;
        self.frame(&framing);
        Ok(Some(length))
    }

    fn headers(&mut self, headers: &[httparse::Header<'_>]) -> Result<Framing, BadAnswer> {
        let mut framing = Framing { length: None, chunked: false, other_coding: false };
        for header in headers {
            // By length first: most headers are none of these.
            match header.name.len() {
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let length = content_length(header.value).ok_or(BadAnswer::Length)?;
                    if framing.length.is_some_and(|other| other != length) {
                        return Err(BadAnswer::Length);
                    }
                    framing.length = Some(length);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    framing.chunked = words(header.value)
                        .last()
                        .is_some_and(|word| word.eq_ignore_ascii_case(b"chunked"));
                    framing.other_coding = !framing.chunked;
                }
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    for word in words(header.value) {
                        if word.eq_ignore_ascii_case(b"close") {
                            self.keep_alive = false;
                        } else if word.eq_ignore_ascii_case(b"keep-alive") && self.status != 101 {
                            self.keep_alive = true;
                        }
                    }
                }
                8 if header.name.eq_ignore_ascii_case("location")
                    && (300..400).contains(&self.status) =>
                {
                    self.location = Some(String::from_utf8_lossy(header.value).into());
                }
                _ => {}
            }
        }
        Ok(framing)
    }

    fn frame(&mut self, framing: &Framing) {
        let bodiless = self.to_head || matches!(self.status, 101 | 204 | 304);
        self.state = match framing {
            _ if bodiless => State::Done,
            Framing { chunked: true, .. } => State::Size { value: 0, digits: 0 },
            Framing { other_coding: false, length: Some(0), .. } => State::Done,
            Framing { other_coding: false, length: Some(length), .. } => State::Fixed(*length),
            _ => {
                self.keep_alive = false;
                State::UntilClose
            }
        };
    }
}

fn content_length(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    // `parse` would take a plus sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}
