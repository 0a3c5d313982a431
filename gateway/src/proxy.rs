//! The answer of a replica on its way to the client.
//!
//! A [`Download`] holds all that the call occupies: when its last byte has been taken the connection
//! goes back to the pool, then the slot is freed, then the call is recorded. When it is dropped before,
//! because the client left or the answer broke off, the connection is closed.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use thiserror::Error;

use crate::call::Call;
use crate::upstream::{Decoded, Decoder, Exchange, Fault};

/// The body of a replica's answer.
#[derive(Debug)]
pub(crate) struct Download {
    /// What the call occupies; `None` when all is over.
    under_way: Option<UnderWay>,
    decoder: Decoder,
    /// Why it broke off, told one turn later.
    broken: Option<BrokenAnswer>,
}

#[derive(Debug)]
struct UnderWay {
    exchange: Exchange,
    keep_alive: bool,
    call: Call,
}

/// Why an answer broke off.
#[derive(Debug, Error)]
pub(crate) enum BrokenAnswer {
    #[error("the replica closed the connection in the middle of its answer")]
    Truncated,
    #[error("the connection to the replica broke: {0}")]
    Broken(#[from] io::Error),
    #[error("the replica's answer is malformed")]
    Malformed,
    #[error("the client broke off")]
    Client,
}

impl Download {
    /// The body that follows a head.
    pub(crate) fn new(decoder: Decoder, exchange: Exchange, keep_alive: bool, call: Call) -> Self {
        let under_way = UnderWay { exchange, keep_alive, call };
        let mut download = Self { under_way: Some(under_way), decoder, broken: None };
        if decoder.has_ended() && !download.is_uploading() {
            download.finish();
        }
        download
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.under_way.is_none() && self.broken.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.decoder {
            Decoder::Ended => SizeHint::with_exact(0),
            Decoder::Length(length) => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }

    /// The next piece of the answer; moves the upload on too.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match self.poll_next(cx) {
            Poll::Ready(Some(Err(error))) => {
                // Nothing can follow; the connection is in no state to be used again. The server throws
                // away what it has not written when it meets an error, so it gets a turn to write first.
                self.under_way = None;
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled,
        }
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        let Some(under_way) = &mut self.under_way else { return Poll::Ready(None) };
        let exchange = &mut under_way.exchange;
        if exchange.is_uploading() {
            match exchange.poll_upload(cx) {
                Poll::Ready(Err(Fault::Client)) => {
                    return Poll::Ready(Some(Err(BrokenAnswer::Client)));
                }
                // It may well answer without having read everything.
                Poll::Ready(Err(_)) => exchange.fail_upload(),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        loop {
            match self.decoder.decode(exchange.input()) {
                Err(_) => return Poll::Ready(Some(Err(BrokenAnswer::Malformed))),
                Ok(Decoded::Data(data)) => {
                    if self.decoder.has_ended() {
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Decoded::Trailers(trailers)) => {
                    self.finish();
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Decoded::End) => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Ok(Decoded::NeedsMore) => {}
            }
            match exchange.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(Ok(0)) if self.decoder == Decoder::UntilClose => {
                    self.decoder = Decoder::Ended;
                    self.finish();
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Some(Err(BrokenAnswer::Truncated))),
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    fn is_uploading(&self) -> bool {
        self.under_way.as_ref().is_some_and(|under_way| under_way.exchange.is_uploading())
    }

    /// The answer is whole: the connection first, so that whoever is handed the slot finds it.
    fn finish(&mut self) {
        let Some(mut under_way) = self.under_way.take() else { return };
        let clean = under_way.exchange.has_sent_all() && under_way.exchange.input().is_empty();
        if under_way.keep_alive && clean {
            under_way.call.give_back(under_way.exchange.into_connection());
        }
    }
}
