//! One HTTP/1.1 connection: a request out, its answer in, as few system calls as there can be.
//!
//! Bytes are read into a buffer that the whole thread shares; a connection keeps only what is left of
//! a head that came in parts.

pub(crate) mod answer;
pub(crate) mod dial;
pub(crate) mod parser;
pub(crate) mod request;
pub(crate) mod stream;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::now;
use answer::{Answer, Broken, Finder};
use parser::Parser;
use stream::Stream;

/// Bytes read at once.
pub(crate) const READ_SIZE: usize = 64 * 1024;
/// Most bytes of a head kept while the rest is awaited.
const LONGEST_HEAD: usize = 256 * 1024;

/// An open connection and what is left over from its last read.
pub(crate) struct Connection {
    stream: Stream,
    pending: Vec<u8>,
    /// Whether it has carried a call before.
    pub(crate) used: bool,
    /// When the last call on it ended.
    pub(crate) idle_since: Instant,
}

impl Connection {
    pub(crate) fn new(stream: Stream, at: Instant) -> Self {
        Self { stream, pending: Vec::new(), used: false, idle_since: at }
    }

    /// Whether the other side closed it while it lay idle; asks no system call.
    pub(crate) fn is_closed(&self) -> bool {
        self.stream.is_closed()
    }

    /// Sends `request` and reads the answer to its end.
    pub(crate) async fn exchange(
        &mut self,
        scratch: &RefCell<Vec<u8>>,
        request: &[u8],
        mut parser: Parser,
        mut finder: Option<Finder<'_>>,
    ) -> Result<Answer, Broken> {
        let mut write_error = None;
        let mut first = None;
        if let Err(error) = self.write(request, scratch).await {
            // The server may have answered before it hung up; what it said counts more.
            write_error = Some(error);
        }
        let written = now();
        if !self.pending.is_empty() {
            first = Some(written);
            let early = std::mem::take(&mut self.pending);
            self.take(&early, &mut parser, &mut finder).map_err(Broken::Answer)?;
        }
        let mut done = written;
        while !parser.is_done() {
            let count = match self.read(scratch, &mut parser, &mut finder).await {
                Ok(count) => count,
                Err(Broken::Io(error)) if first.is_none() => {
                    return Err(Broken::Unanswered(write_error.unwrap_or(error)));
                }
                Err(other) => return Err(other),
            };
            done = now();
            if count == 0 {
                if first.is_none() {
                    return Err(match write_error {
                        Some(error) => Broken::Unanswered(error),
                        None => Broken::Closed,
                    });
                }
                parser.end().map_err(Broken::Answer)?;
            }
            first.get_or_insert(done);
        }
        self.used = true;
        self.idle_since = done;
        let leftover = !self.pending.is_empty();
        Ok(Answer {
            keep: parser.keep_alive() && !leftover && write_error.is_none(),
            status: parser.status(),
            bytes: parser.bytes(),
            location: parser.into_location(),
            found: finder.is_none_or(|finder| finder.found()),
            written,
            first: first.unwrap_or(done),
            done,
        })
    }

    /// Writes it all, but for what an early answer makes useless: that is left in `pending`.
    async fn write(&mut self, request: &[u8], scratch: &RefCell<Vec<u8>>) -> io::Result<()> {
        let mut from = 0;
        poll_fn(|cx| {
            while from < request.len() {
                match Pin::new(&mut self.stream).poll_write(cx, &request[from..]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => from += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return self.early_answer(cx, scratch),
                }
            }
            Pin::new(&mut self.stream).poll_flush(cx)
        })
        .await
    }

    fn early_answer(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &RefCell<Vec<u8>>,
    ) -> Poll<io::Result<()>> {
        let mut scratch = scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.pending.extend_from_slice(buffer.filled());
        // Half a request was sent: the connection cannot carry another.
        Poll::Ready(Err(io::Error::other(
            "the server answered before it had read the whole request",
        )))
    }

    /// Reads once and parses what came; 0 is the end of the stream.
    async fn read(
        &mut self,
        scratch: &RefCell<Vec<u8>>,
        parser: &mut Parser,
        finder: &mut Option<Finder<'_>>,
    ) -> Result<usize, Broken> {
        poll_fn(|cx| {
            let mut scratch = scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).map_err(Broken::Io)?;
            let filled = buffer.filled();
            if filled.is_empty() {
                return Poll::Ready(Ok(0));
            }
            self.take(filled, parser, finder).map_err(Broken::Answer)?;
            Poll::Ready(Ok(filled.len()))
        })
        .await
    }

    fn take(
        &mut self,
        input: &[u8],
        parser: &mut Parser,
        finder: &mut Option<Finder<'_>>,
    ) -> Result<(), parser::BadAnswer> {
        let mut sink = |piece: &[u8]| {
            if let Some(finder) = finder {
                finder.push(piece);
            }
        };
        if self.pending.is_empty() {
            let used = parser.feed(input, &mut sink)?;
            self.pending.extend_from_slice(&input[used..]);
        } else {
            self.pending.extend_from_slice(input);
            let used = parser.feed(&self.pending, &mut sink)?;
            self.pending.drain(..used);
        }
        if self.pending.len() > LONGEST_HEAD { Err(parser::BadAnswer::HeadTooLong) } else { Ok(()) }
    }
}
