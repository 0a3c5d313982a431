//! The request as it is written to a replica: its head, then the client's body as it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method};
use http_body::Body as _;
use hyper::body::Incoming;

use super::connection::Connection;
use crate::headers::Forwarding;

/// Chunks of a body from this size on are not copied.
const BULK: usize = 16 * 1024;

/// How the end of the request's body is known.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    Empty,
    /// By its length.
    Length,
    /// By its last chunk.
    Chunked,
}

/// The client's body on its way to a replica.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Incoming,
    framing: Framing,
    /// Taken from the client and not yet known to have left us: what makes a second attempt possible.
    kept: Option<Bytes>,
    /// Whether bytes of the body have been taken from the client.
    begun: bool,
    done: bool,
}

impl Framing {
    /// As the client framed it; chunked stays chunked and a length stays a length.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(TRANSFER_ENCODING) {
            return Self::Chunked;
        }
        match headers.get(CONTENT_LENGTH) {
            Some(length) if length.as_bytes() != b"0" => Self::Length,
            _ => Self::Empty,
        }
    }
}

/// Writes a request head.
pub(super) fn write_head(out: &mut BytesMut, request: &Outbound<'_>) {
    let Outbound { method, target, forwarding } = request;
    out.reserve(1024);
    out.put_slice(method.as_str().as_bytes());
    out.put_u8(b' ');
    if target.needs_slash {
        out.put_u8(b'/');
    }
    out.put_slice(target.text.as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    forwarding.write(out);
    out.put_slice(b"\r\n");
}

/// A request on its way to whichever replica takes it.
#[derive(Debug)]
pub(crate) struct Outbound<'a> {
    pub(crate) method: &'a Method,
    /// Path and query exactly as the client sent them.
    pub(crate) target: Target<'a>,
    pub(crate) forwarding: Forwarding<'a>,
}

/// Path and query as they go to the function.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// Verbatim.
    pub(crate) text: &'a str,
    /// Whether a slash goes before it: `/function/f` and `/function/f?q` mean `/` and `/?q`.
    pub(crate) needs_slash: bool,
}

impl Upload {
    /// The body of a request.
    pub(crate) fn new(body: Incoming, framing: Framing) -> Self {
        let done = framing == Framing::Empty;
        Self { body, framing, kept: None, begun: false, done }
    }

    /// Whether all of the body was taken from the client and given to the connection.
    pub(crate) fn is_done(&self) -> bool {
        self.done && self.kept.is_none()
    }

    /// Whether bytes of the body have been taken from the client.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether all that was taken from the client is still at hand.
    pub(super) fn can_repeat(&self) -> bool {
        !self.begun || self.kept.is_some()
    }

    /// What was kept is out of our hands now.
    pub(super) fn forget_kept(&mut self) {
        self.kept = None;
    }

    /// Gives what was kept to another connection.
    pub(super) fn repeat(&mut self, connection: &mut Connection) {
        if let Some(kept) = self.kept.clone() {
            self.give(connection, kept);
        }
        if self.done && self.framing == Framing::Chunked {
            connection.output.put_slice(b"0\r\n\r\n");
        }
    }

    /// Takes the next piece of the body and gives it to `connection`, which must have written all that
    /// it had. Ready when a piece was given or the body has ended.
    ///
    /// # Errors
    /// When the client broke off.
    pub(super) fn poll_give(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<(), hyper::Error>> {
        while !self.done {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => self.end(connection, None),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => {
                        let first = !self.begun;
                        self.begun = true;
                        self.kept = first.then(|| data.clone());
                        self.give(connection, data);
                        self.end_if_known(connection);
                        return Poll::Ready(Ok(()));
                    }
                    Err(frame) => self.end(connection, frame.into_trailers().ok()),
                },
            }
        }
        Poll::Ready(Ok(()))
    }

    fn give(&self, connection: &mut Connection, data: Bytes) {
        let out = &mut connection.output;
        match self.framing {
            Framing::Chunked => {
                out.put_slice(format!("{:x}\r\n", data.len()).as_bytes());
                out.put_slice(&data);
                out.put_slice(b"\r\n");
            }
            _ if data.len() >= BULK => connection.bulk = data,
            _ => out.put_slice(&data),
        }
    }

    /// Saves a turn for bodies whose last piece says that it is the last.
    fn end_if_known(&mut self, connection: &mut Connection) {
        if self.body.is_end_stream() {
            self.end(connection, None);
        }
    }

    fn end(&mut self, connection: &mut Connection, trailers: Option<HeaderMap>) {
        self.done = true;
        if self.framing != Framing::Chunked {
            return;
        }
        let out = &mut connection.output;
        out.put_slice(b"0\r\n");
        if let Some(trailers) = trailers {
            // Trailers cannot be repeated, so neither can the piece before them.
            self.begun = true;
            self.kept = None;
            for (name, value) in &trailers {
                out.put_slice(name.as_str().as_bytes());
                out.put_slice(b": ");
                out.put_slice(value.as_bytes());
                out.put_slice(b"\r\n");
            }
        }
        out.put_slice(b"\r\n");
    }
}
