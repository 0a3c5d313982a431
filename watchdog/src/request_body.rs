//! A request body on its way to the function, under `read_timeout`.
//!
//! Nothing is gathered: frames, trailers too, are passed on as they come.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::fault::BodyFault;

/// A request body.
#[derive(Debug)]
pub struct RequestBody {
    source: Source,
    deadline: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Source {
    Bytes(Option<Bytes>),
    Stream(Incoming),
}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self { source: Source::Bytes(None), deadline: None }
    }

    /// A body known whole.
    pub fn bytes(bytes: Bytes) -> Self {
        Self {
            source: Source::Bytes(Some(bytes).filter(|bytes| !bytes.is_empty())),
            deadline: None,
        }
    }

    /// A body that is still arriving, complete by `deadline`.
    pub fn arriving(incoming: Incoming, deadline: Option<Instant>) -> Self {
        if incoming.is_end_stream() {
            return Self { source: Source::Stream(incoming), deadline: None };
        }
        let deadline = deadline.map(|at| Box::pin(sleep_until(at)));
        Self { source: Source::Stream(incoming), deadline }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Bytes(bytes) => {
                return Poll::Ready(bytes.take().map(|all| Ok(Frame::data(all))));
            }
            Source::Stream(incoming) => Pin::new(incoming).poll_frame(cx),
        };
        if polled.is_pending()
            && this.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
        {
            this.deadline = None;
            return Poll::Ready(Some(Err(BodyFault::TooSlow)));
        }
        polled.map_err(BodyFault::Broken)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Bytes(bytes) => bytes.is_none(),
            Source::Stream(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Bytes(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |all| all.len() as u64))
            }
            Source::Stream(incoming) => incoming.size_hint(),
        }
    }
}
