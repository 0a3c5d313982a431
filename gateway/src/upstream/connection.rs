//! One connection to a replica with its buffers. Boxed, so that it moves between calls as a pointer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tidegate_core::Moment;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep};
use tokio_util::io::poll_read_buf;

use super::io::Io;

/// First size of the input buffer: most answers of functions fit.
const INPUT: usize = 4 * 1024;
/// Largest step of reading.
const LARGEST_READ: usize = 64 * 1024;

/// One connection to a replica.
#[derive(Debug)]
pub(crate) struct Connection {
    io: Io,
    /// Bytes read and not yet looked at.
    pub(super) input: BytesMut,
    /// Bytes to write first.
    pub(super) output: BytesMut,
    /// Bytes to write after `output`, not copied into it because they are many.
    pub(super) bulk: Bytes,
    /// Whether any byte of the present request was written.
    written: bool,
    next_read: usize,
    /// Kept with the connection because moving a timer further away is cheaper than making one.
    timer: Pin<Box<Sleep>>,
    /// When it was last put into the pool.
    pub(super) idle_since: Moment,
}

impl Connection {
    /// A connection over a fresh socket.
    pub(crate) fn new(io: Io, deadline: Instant) -> Box<Self> {
        Box::new(Self {
            io,
            input: BytesMut::new(),
            output: BytesMut::new(),
            bulk: Bytes::new(),
            written: false,
            next_read: INPUT,
            timer: Box::pin(tokio::time::sleep_until(deadline)),
            idle_since: Moment::ZERO,
        })
    }

    /// Makes it ready for a request that has to be answered by `deadline`.
    pub(super) fn begin(&mut self, deadline: Instant) {
        self.written = false;
        self.output.clear();
        self.bulk = Bytes::new();
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Whether any byte of the present request was written.
    pub(super) fn has_written(&self) -> bool {
        self.written
    }

    /// Whether all that was given was written.
    pub(super) fn is_flushed(&self) -> bool {
        self.output.is_empty() && self.bulk.is_empty()
    }

    /// Whether the pool may hand it out again.
    pub(super) fn is_quiet(&self) -> bool {
        self.io.is_quiet()
    }

    /// Ready when the deadline has passed.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().poll(cx)
    }

    /// Writes what there is to write.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let from_output = !self.output.is_empty();
            let bytes: &[u8] = if from_output { &self.output } else { &self.bulk };
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written = true;
            if from_output {
                self.output.advance(count);
            } else {
                self.bulk.advance(count);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more input; zero is the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(self.next_read);
        let space = self.input.capacity() - self.input.len();
        let count = ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.input))?;
        // Bodies that come faster than we read are read in larger steps.
        self.next_read =
            if count >= space { (self.next_read * 2).min(LARGEST_READ) } else { INPUT };
        Poll::Ready(Ok(count))
    }

    /// Frees what an idle connection need not hold.
    pub(super) fn shrink(&mut self) {
        self.bulk = Bytes::new();
        self.next_read = INPUT;
        if self.input.capacity() > INPUT * 2 {
            self.input = BytesMut::new();
        }
        if self.output.capacity() > INPUT * 2 {
            self.output = BytesMut::new();
        }
    }

    /// The socket and what was read beyond the head, for an upgrade.
    pub(crate) fn into_socket(self) -> (Io, Bytes) {
        (self.io, self.input.freeze())
    }
}
