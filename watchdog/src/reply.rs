//! The body of an answer, tied to the call that it ends.
//!
//! Bytes go out as they come. A body that cannot be completed is an error, on which the server
//! closes the connection in mid-message: the caller sees a broken answer, never a clean short one.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::{Sleep, sleep_until};

use crate::call::Call;
use crate::deadline::Deadlines;
use crate::fault::{Fault, Limit};
use crate::pool::Lease;

/// Why an answer broke off.
#[derive(Debug, Error)]
pub enum Cut {
    /// The function failed after its first byte, or ran into a limit.
    #[error(transparent)]
    Function(#[from] Fault),
    /// A file could not be read to its end.
    #[error("cannot read the file: {0}")]
    File(#[from] std::io::Error),
}

/// A stream of pieces; dropping it cancels whatever makes them.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Cut>> + Send>>;

/// Where an answer's bytes come from.
pub enum Answer {
    /// Known whole.
    Bytes(Bytes),
    /// Made as it goes out.
    Pieces(Pieces),
    /// An http child's.
    Proxied(Proxied),
}

/// The answer of an http child, and the connection that it arrives on.
#[derive(Debug)]
pub struct Proxied {
    incoming: Incoming,
    lease: Option<Lease>,
    limit: Option<(Pin<Box<Sleep>>, Limit)>,
    deadlines: Deadlines,
    hurried: bool,
}

/// The body that the server sends.
pub struct Reply {
    answer: Answer,
    call: Option<(Call, StatusCode, Option<u64>)>,
    /// What broke the answer off, kept back until the bytes before it have gone out.
    cut: Option<Cut>,
}

impl Cut {
    fn status(&self) -> StatusCode {
        match self {
            Self::Function(fault) => fault.status(),
            Self::File(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Answer {
    /// No bytes.
    pub const EMPTY: Self = Self::Bytes(Bytes::new());
}

impl Proxied {
    /// An answer whose rest must arrive within `deadlines`.
    pub fn new(incoming: Incoming, lease: Lease, deadlines: Deadlines) -> Self {
        if incoming.is_end_stream() {
            lease.give_back();
            return Self { incoming, lease: None, limit: None, deadlines, hurried: true };
        }
        let limit = deadlines.first().map(|(at, limit)| (Box::pin(sleep_until(at)), limit));
        Self { incoming, lease: Some(lease), limit, deadlines, hurried: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending()
            && !std::mem::replace(&mut self.hurried, true)
            && let Some(lease) = &self.lease
        {
            lease.hurry();
        }
        if polled.is_pending()
            && let Some((sleep, limit)) = &mut self.limit
            && sleep.as_mut().poll(cx).is_ready()
        {
            let fault = self.deadlines.fault(*limit);
            self.limit = None;
            return Poll::Ready(Some(Err(fault.into())));
        }
        let ended = match &polled {
            Poll::Ready(Some(Ok(_))) => self.incoming.is_end_stream(),
            Poll::Ready(None) => true,
            _ => false,
        };
        if ended && let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        polled.map_err(|fault| Fault::Broken(fault).into())
    }
}

impl Reply {
    /// An answer that ends `call` with its last byte; to HEAD, no bytes are sent.
    pub fn ending(call: Call, response: Response<Answer>, head: bool) -> Response<Self> {
        let (parts, answer) = response.into_parts();
        let length = parts
            .headers
            .get(http::header::CONTENT_LENGTH)
            .and_then(|text| text.to_str().ok()?.parse().ok())
            .or(Body::size_hint(&answer).exact());
        let mut reply = Self { answer, call: Some((call, parts.status, length)), cut: None };
        if head || reply.answer.is_end_stream() {
            reply.finish();
        }
        Response::from_parts(parts, reply)
    }

    /// An answer that is not part of a call, or whose call goes on elsewhere.
    pub fn alone(response: Response<Answer>) -> Response<Self> {
        response.map(|answer| Self { answer, call: None, cut: None })
    }

    fn finish(&mut self) {
        if let Some((call, status, length)) = self.call.take() {
            call.finish(status, length);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Pieces(pieces) => {
                pieces.as_mut().poll_next(cx).map(|piece| piece.map(|ok| ok.map(Frame::data)))
            }
            Self::Proxied(proxied) => proxied.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Pieces(_) => false,
            Self::Proxied(proxied) => proxied.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces(_) => SizeHint::default(),
            Self::Proxied(proxied) => proxied.incoming.size_hint(),
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let Some(cut) = this.cut.take() {
            return Poll::Ready(Some(Err(cut)));
        }
        let polled = Pin::new(&mut this.answer).poll_frame(cx);
        match polled {
            Poll::Ready(Some(Err(cut))) => {
                if let Some((call, ..)) = this.call.take() {
                    call.fail(cut.status());
                }
                // The server drops what it has not sent when a body fails. Waiting for one more turn
                // lets it send, so that the caller sees how far the answer got.
                this.cut = Some(cut);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(None) => this.finish(),
            Poll::Ready(Some(Ok(_))) if this.answer.is_end_stream() => this.finish(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}
