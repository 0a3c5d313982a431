//! The timer by which hyper limits how long a client may take with the head of a request.
//!
//! hyper makes and drops one timer for every request. Here a connection keeps one, moved further away
//! each time, which takes no lock: only a timer that is moved nearer, or fires, meets the timer wheel.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt;
use tokio::time::{Sleep, sleep_until};

use crate::clock::instant_now;

/// The timer of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadTimer {
    spare: Arc<Mutex<Option<Pin<Box<Sleep>>>>>,
}

/// A sleep that goes back to its connection when dropped.
struct Lent {
    sleep: Option<Pin<Box<Sleep>>>,
    spare: Arc<Mutex<Option<Pin<Box<Sleep>>>>>,
}

impl rt::Timer for HeadTimer {
    fn sleep(&self, span: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(self.now() + span)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let sleep = match spare {
            Some(mut sleep) => {
                sleep.as_mut().reset(deadline.into());
                sleep
            }
            None => Box::pin(sleep_until(deadline.into())),
        };
        Box::pin(Lent { sleep: Some(sleep), spare: Arc::clone(&self.spare) })
    }

    fn now(&self) -> Instant {
        instant_now().into_std()
    }
}

impl rt::Sleep for Lent {}

impl Future for Lent {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().map_or(Poll::Ready(()), |sleep| sleep.as_mut().poll(cx))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let sleep = self.sleep.take();
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = sleep;
    }
}
