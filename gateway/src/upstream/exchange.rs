//! One request and its answer on one connection: the upload and the download run side by side.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use http::Method;
use thiserror::Error;
use tokio::time::Instant;

use super::connection::Connection;
use super::request::{Outbound, Upload, write_head};
use super::response::{BadAnswer, Head, take_head};

/// A request under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: Box<Connection>,
    upload: Upload,
    /// The replica takes no more of the body; its answer may still come.
    upload_failed: bool,
}

/// Why no answer came.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    #[error("it did not answer in time")]
    TooSlow,
    #[error("it closed the connection without an answer")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("{0}")]
    BadAnswer(BadAnswer),
    #[error("the client broke off")]
    Client,
}

/// Why no answer came, and what a second attempt needs to know.
#[derive(Debug)]
pub(crate) struct ExchangeError {
    pub(crate) fault: Fault,
    /// Whether any byte was written.
    pub(crate) sent: bool,
    /// Whether any byte of an answer was read.
    pub(crate) answered: bool,
    /// The client's body, for the second attempt.
    pub(crate) upload: Upload,
}

impl ExchangeError {
    /// Whether the same request may be sent once more: nothing was sent at all, or nothing was answered
    /// and doing it twice is the same as once. A body that has left us cannot be sent again.
    pub(crate) fn may_repeat(&self, idempotent: bool) -> bool {
        let broke = matches!(self.fault, Fault::Closed | Fault::Broken(_));
        let unsent = !self.sent && self.upload.can_repeat();
        broke && (unsent || (idempotent && !self.answered && !self.upload.has_begun()))
    }
}

impl Exchange {
    /// Sends a request and waits for the head of its answer until `deadline`.
    ///
    /// # Errors
    /// When no head came.
    pub(crate) async fn begin(
        mut connection: Box<Connection>,
        request: &Outbound<'_>,
        mut upload: Upload,
        deadline: Instant,
    ) -> Result<(Head, Self), ExchangeError> {
        connection.begin(deadline);
        write_head(&mut connection.output, request);
        upload.repeat(&mut connection);
        let mut exchange = Self { connection, upload, upload_failed: false };
        match poll_fn(|cx| exchange.poll_head(cx, request.method)).await {
            Ok(head) => Ok((head, exchange)),
            Err(fault) => Err(ExchangeError {
                fault,
                sent: exchange.connection.has_written(),
                answered: !exchange.connection.input.is_empty(),
                upload: exchange.upload,
            }),
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, method: &Method) -> Poll<Result<Head, Fault>> {
        let mut write_error = None;
        match self.poll_upload(cx) {
            Poll::Ready(Err(Fault::Broken(error))) => {
                // The replica may have answered before it stopped reading; if not, this is the cause.
                self.upload_failed = true;
                write_error = Some(error);
            }
            Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        loop {
            match take_head(&mut self.connection.input, method) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(bad) => return Poll::Ready(Err(Fault::BadAnswer(bad))),
            }
            match self.connection.poll_fill(cx) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(write_error.map_or(Fault::Closed, Fault::Broken)));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::Broken(error))),
                Poll::Pending => break,
            }
        }
        if let Some(error) = write_error {
            return Poll::Ready(Err(Fault::Broken(error)));
        }
        self.connection.poll_deadline(cx).map(|()| Err(Fault::TooSlow))
    }

    /// Moves the client's body on; ready when all of it was sent.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.upload_failed {
            return Poll::Ready(Ok(()));
        }
        let Self { connection, upload, .. } = self;
        // Asked before the head is written, so that a body at hand goes out with it in one piece.
        if !upload.has_begun()
            && !upload.is_done()
            && let Poll::Ready(Err(_)) = upload.poll_give(cx, connection)
        {
            return Poll::Ready(Err(Fault::Client));
        }
        loop {
            let flushed = connection.poll_flush(cx);
            if connection.has_written() {
                upload.forget_kept();
            }
            match flushed {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::Broken(error))),
                Poll::Ready(Ok(())) if upload.is_done() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
            }
            match upload.poll_give(cx, connection) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::Client)),
            }
        }
    }

    /// Gives up sending the rest of the body; the connection serves no further request.
    pub(crate) fn fail_upload(&mut self) {
        self.upload_failed = true;
    }

    /// Whether nothing of the request is left to send.
    pub(crate) fn has_sent_all(&self) -> bool {
        !self.upload_failed && self.upload.is_done() && self.connection.is_flushed()
    }

    /// Whether the upload still wants to be moved on.
    pub(crate) fn is_uploading(&self) -> bool {
        !self.upload_failed && !self.has_sent_all()
    }

    /// Whether the request may go to another replica although this one answered: it said that it is
    /// full, and no byte of the body has left us.
    pub(crate) fn may_repeat(&self) -> bool {
        !self.upload.has_begun()
    }

    /// The client's body, for another attempt.
    pub(crate) fn into_upload(self) -> Upload {
        self.upload
    }

    /// The input, and more of it.
    pub(crate) fn input(&mut self) -> &mut bytes::BytesMut {
        &mut self.connection.input
    }

    /// Reads more input; zero is the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.connection.poll_fill(cx)
    }

    /// The connection, when the exchange is over or was upgraded.
    pub(crate) fn into_connection(self) -> Box<Connection> {
        self.connection
    }
}
