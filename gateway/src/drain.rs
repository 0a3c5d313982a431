//! Ending connections without dropping a call.
//!
//! Every connection looks at one shared stage whenever it runs, which costs a load, and is woken when
//! the stage changes. No lock is taken but when a connection begins or ends.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// How far the end has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Not begun.
    Serving,
    /// Answers ask clients to close, so that they do it at a moment that suits them.
    LameDuck,
    /// Idle connections are closed, others when their call is over.
    Closing,
    /// All are closed.
    Cut,
}

/// All connections of one listener.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    stage: AtomicU8,
    wakers: Mutex<Wakers>,
}

#[derive(Debug, Default)]
struct Wakers {
    next: u64,
    by_connection: HashMap<u64, Waker>,
}

/// Forgets a connection's waker.
struct Member<'a> {
    drain: &'a Drain,
    number: u64,
}

/// A connection that can be told to end.
pub(crate) trait Drainable: Future {
    /// Ends after the call under way.
    fn close(self: Pin<&mut Self>);
}

impl Drain {
    /// How far the end has come.
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Serving,
            1 => Stage::LameDuck,
            2 => Stage::Closing,
            _ => Stage::Cut,
        }
    }

    /// Goes on to `stage` and has all connections notice.
    pub(crate) fn advance(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
        let wakers: Vec<Waker> = self.lock().by_connection.values().cloned().collect();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Runs a connection to its end, and keeps what it holds until then.
    pub(crate) async fn run<C: Drainable, H>(
        self: Arc<Self>,
        mut connection: Pin<Box<C>>,
        _held: H,
    ) {
        let mut member = None;
        let mut told = false;
        poll_fn(|cx| {
            // Joined before the stage is looked at, so that a change between the two wakes us. A task
            // keeps its waker as long as it lives.
            member.get_or_insert_with(|| self.join(cx.waker().clone()));
            match self.stage() {
                Stage::Serving | Stage::LameDuck => {}
                Stage::Closing if told => {}
                Stage::Closing => {
                    told = true;
                    connection.as_mut().close();
                }
                Stage::Cut => return Poll::Ready(()),
            }
            connection.as_mut().poll(cx).map(|_| ())
        })
        .await;
    }

    fn join(&self, waker: Waker) -> Member<'_> {
        let mut wakers = self.lock();
        let number = wakers.next;
        wakers.next += 1;
        wakers.by_connection.insert(number, waker);
        Member { drain: self, number }
    }

    fn lock(&self) -> MutexGuard<'_, Wakers> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.drain.lock().by_connection.remove(&self.number);
    }
}
