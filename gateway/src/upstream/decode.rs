//! Reads the body of an answer out of the input, whichever way its end is marked.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

/// Longest line of a chunk's size, with its extensions.
const LONGEST_SIZE_LINE: usize = 4 * 1024;
/// Largest block of trailers.
const LARGEST_TRAILERS: usize = 16 * 1024;

/// Where in the body we are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decoder {
    /// All was read.
    Ended,
    /// This many bytes are to come.
    Length(u64),
    /// Until the connection is closed.
    UntilClose,
    /// A chunk's size line comes next.
    ChunkSize,
    /// This many bytes of a chunk are to come.
    ChunkData(u64),
    /// The line end after a chunk comes next.
    ChunkEnd,
    /// Trailers, or the empty line that ends all, come next.
    Trailers,
}

/// What was read.
#[derive(Debug, PartialEq)]
pub(crate) enum Decoded {
    /// A piece of the body.
    Data(Bytes),
    /// Trailers; the body has ended.
    Trailers(HeaderMap),
    /// The body has ended.
    End,
    /// The input holds no more than what was taken.
    NeedsMore,
}

/// Bytes that are no chunked body.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
#[error("the chunked body is malformed")]
pub(crate) struct BadChunk;

impl Decoder {
    /// A body of this length.
    pub(crate) fn length(length: u64) -> Self {
        if length == 0 { Self::Ended } else { Self::Length(length) }
    }

    /// A chunked body.
    pub(crate) const fn chunked() -> Self {
        Self::ChunkSize
    }

    /// Whether nothing is to come.
    pub(crate) fn has_ended(self) -> bool {
        self == Self::Ended
    }

    /// Takes the next piece from `input`.
    pub(crate) fn decode(&mut self, input: &mut BytesMut) -> Result<Decoded, BadChunk> {
        loop {
            match *self {
                Self::Ended => return Ok(Decoded::End),
                Self::Length(left) => {
                    let Some(data) = take(input, left) else { return Ok(Decoded::NeedsMore) };
                    *self = Self::length(left - data.len() as u64);
                    return Ok(Decoded::Data(data));
                }
                Self::UntilClose => {
                    let data = take(input, u64::MAX);
                    return Ok(data.map_or(Decoded::NeedsMore, Decoded::Data));
                }
                Self::ChunkSize => {
                    let Some(size) = take_size(input)? else { return Ok(Decoded::NeedsMore) };
                    *self = if size == 0 { Self::Trailers } else { Self::ChunkData(size) };
                }
                Self::ChunkData(left) => {
                    let Some(data) = take(input, left) else { return Ok(Decoded::NeedsMore) };
                    let left = left - data.len() as u64;
                    *self = if left == 0 { Self::ChunkEnd } else { Self::ChunkData(left) };
                    return Ok(Decoded::Data(data));
                }
                Self::ChunkEnd => {
                    let Some(line) = take_line(input, 0)? else { return Ok(Decoded::NeedsMore) };
                    if !line.is_empty() {
                        return Err(BadChunk);
                    }
                    *self = Self::ChunkSize;
                }
                Self::Trailers => return self.decode_trailers(input),
            }
        }
    }

    fn decode_trailers(&mut self, input: &mut BytesMut) -> Result<Decoded, BadChunk> {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let (length, trailers) = match httparse::parse_headers(input, &mut fields) {
            Err(_) => return Err(BadChunk),
            Ok(httparse::Status::Partial) if input.len() > LARGEST_TRAILERS => {
                return Err(BadChunk);
            }
            Ok(httparse::Status::Partial) => return Ok(Decoded::NeedsMore),
            Ok(httparse::Status::Complete((length, fields))) => {
                let mut trailers = HeaderMap::with_capacity(fields.len());
                for field in fields {
                    let name =
                        HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BadChunk)?;
                    let value = HeaderValue::from_bytes(field.value).map_err(|_| BadChunk)?;
                    trailers.append(name, value);
                }
                (length, trailers)
            }
        };
        input.advance(length);
        *self = Self::Ended;
        Ok(if trailers.is_empty() { Decoded::End } else { Decoded::Trailers(trailers) })
    }
}

/// Up to `most` bytes; `None` when there are none.
fn take(input: &mut BytesMut, most: u64) -> Option<Bytes> {
    if input.is_empty() {
        return None;
    }
    let count = usize::try_from(most).map_or(input.len(), |most| most.min(input.len()));
    Some(input.split_to(count).freeze())
}

/// A line without its end, if it is there and no longer than `longest`.
fn take_line(input: &mut BytesMut, longest: usize) -> Result<Option<BytesMut>, BadChunk> {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return if input.len() > longest + 1 { Err(BadChunk) } else { Ok(None) };
    };
    if end > longest + 1 {
        return Err(BadChunk);
    }
    let mut line = input.split_to(end + 1);
    // A bare line feed is how requests get smuggled, so only the full line end counts.
    if !line.ends_with(b"\r\n") {
        return Err(BadChunk);
    }
    line.truncate(end - 1);
    Ok(Some(line))
}

fn take_size(input: &mut BytesMut) -> Result<Option<u64>, BadChunk> {
    let Some(line) = take_line(input, LONGEST_SIZE_LINE)? else { return Ok(None) };
    let digits = line[..].split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(BadChunk);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| BadChunk)?;
    u64::from_str_radix(digits, 16).map(Some).map_err(|_| BadChunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The body and trailers of `text`, fed in pieces of `step` bytes.
    fn read(text: &[u8], step: usize) -> Result<(Vec<u8>, Option<HeaderMap>), BadChunk> {
        let mut decoder = Decoder::chunked();
        let (mut input, mut body) = (BytesMut::new(), Vec::new());
        for piece in text.chunks(step.max(1)) {
            input.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut input)? {
                    Decoded::Data(data) => body.extend_from_slice(&data),
                    Decoded::Trailers(trailers) => return Ok((body, Some(trailers))),
                    Decoded::End => return Ok((body, None)),
                    Decoded::NeedsMore => break,
                }
            }
        }
        Err(BadChunk)
    }

    #[test]
    fn chunks_extensions_and_trailers_are_read_however_they_arrive() {
        let text = b"4;a=b\r\nwiki\r\nA\r\n0123456789\r\n0\r\nx-sum: 7\r\n\r\n";
        for step in 1..text.len() {
            let (body, trailers) = read(text, step).expect("well formed");
            assert_eq!(body, b"wiki0123456789");
            assert_eq!(trailers.expect("one")["x-sum"], "7");
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for text in [
            "4\nwiki",
            "g\r\n",
            "-1\r\n",
            "4\r\nwikix\r\n",
            "11111111111111111\r\n",
            "\r\n",
            "0x4\r\n",
        ] {
            assert_eq!(read(text.as_bytes(), 100), Err(BadChunk), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_chunking_reads_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8), step in 1_usize..50) {
            let mut text = Vec::new();
            for piece in &pieces {
                text.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
                text.extend_from_slice(piece);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(read(&text, step), Ok((pieces.concat(), None)));
        }

        #[test]
        fn no_bytes_panic(text in prop::collection::vec(any::<u8>(), 0..200), step in 1_usize..20) {
            let _ = read(&text, step);
        }
    }
}
