//! The bodies this gateway answers with.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::proxy::Download;

/// Any error on the way.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body: a few words of ours, what a replica sends, or what a handler of `/system` made.
pub(crate) enum Body {
    /// At hand.
    Whole(Bytes),
    /// At hand, in pieces.
    Pieces(VecDeque<Bytes>),
    /// From a replica.
    Replica(Download),
    /// From a handler.
    Handler(axum::body::Body),
}

impl Body {
    /// No bytes.
    pub(crate) fn empty() -> Self {
        Self::Whole(Bytes::new())
    }

    /// A text.
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::Whole(text.into())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Whole(body) if body.is_empty() => Poll::Ready(None),
            Self::Whole(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Self::Pieces(pieces) => {
                Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
            }
            Self::Replica(body) => body.poll_frame(cx).map_err(Into::into),
            Self::Handler(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_empty(),
            Self::Pieces(pieces) => pieces.is_empty(),
            Self::Replica(body) => body.is_end_stream(),
            Self::Handler(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.len() as u64),
            Self::Pieces(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            Self::Replica(body) => body.size_hint(),
            Self::Handler(body) => body.size_hint(),
        }
    }
}
