//! A call takes a slot on a replica, or waits until it is handed one.
//!
//! Nobody waits while a slot is free: whoever joins the room looks once more after joining, and whoever
//! frees a slot looks into the room after freeing it, so one of the two sees the other.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::Moment;
use tokio::time::{sleep_until, timeout_at};

use super::Entry;
use crate::balance;
use crate::error::InvokeError;
use crate::gate::Admission;
use crate::replica::Handle;
use crate::room::{Place, hand_over};

/// What a waiter is handed.
#[derive(Debug)]
pub(crate) enum Handed {
    /// A slot.
    Slot(Grant),
    /// The start failed.
    Failed,
    /// The function was removed.
    Removed,
}

/// A slot on its way to a waiter; freed if the waiter has left.
#[derive(Debug)]
pub(crate) struct Grant {
    entry: Arc<Entry>,
    handle: Option<Arc<Handle>>,
}

/// Whether and for what a call waited.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It did not.
    Not,
    /// No replica was there.
    ForStart(Duration),
    /// All replicas were full.
    ForSlot(Duration),
}

impl Grant {
    fn keep(mut self) -> Option<Arc<Handle>> {
        self.handle.take()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.entry.release(&handle);
        }
    }
}

impl Entry {
    /// Takes a slot if there is one. To be given back by [`Entry::release`].
    pub(crate) fn take(
        &self,
        admission: Admission,
        place: Place,
        now: Moment,
    ) -> Option<Arc<Handle>> {
        // Whoever finds others waiting queues behind them.
        let free =
            admission == Admission::Open && (place == Place::Front || self.room.waiting() == 0);
        if free { self.take_slot(now) } else { None }
    }

    /// Waits for a slot. To be given back by [`Entry::release`].
    pub(crate) async fn wait(
        self: &Arc<Self>,
        place: Place,
        now: Moment,
    ) -> Result<(Arc<Handle>, Waited), InvokeError> {
        let starting = self.available().is_zero();
        let Some(mut ticket) = self.room.join(place, self.shared.room_size) else {
            let (function, most) = (self.id.clone(), self.shared.room_size);
            return Err(InvokeError::RoomFull { function, most });
        };
        if ticket.first {
            self.nudge();
        }
        self.dispatch();
        let limit = self.shared.wake_timeout;
        let clock = &self.shared.clock;
        let handed = timeout_at(clock.instant(now + limit), &mut ticket.handed).await;
        let span = clock.now().since(now);
        let function = self.id.clone();
        match handed {
            Ok(Ok(Handed::Slot(grant))) => {
                let handle = grant.keep().expect("a grant holds its slot until it is kept");
                let waited = if starting { Waited::ForStart(span) } else { Waited::ForSlot(span) };
                self.record_wait(waited);
                Ok((handle, waited))
            }
            Ok(Ok(Handed::Failed)) => Err(InvokeError::StartFailed { function }),
            Ok(Ok(Handed::Removed) | Err(_)) => {
                Err(InvokeError::UnknownFunction(function.to_string()))
            }
            Err(_) if self.available().is_zero() => {
                Err(InvokeError::StartTooSlow { function, limit })
            }
            Err(_) => Err(InvokeError::NoSlot { function, limit }),
        }
    }

    /// Gives a slot back; the oldest waiter gets it.
    pub(crate) fn release(self: &Arc<Self>, handle: &Handle) {
        let left = handle.free();
        if left == 0 && handle.is_draining() {
            self.nudge();
        }
        if self.room.waiting() > 0 {
            self.dispatch();
        }
    }

    /// Hands free slots to those who wait, the oldest first.
    pub(crate) fn dispatch(self: &Arc<Self>) {
        let now = self.shared.clock.now();
        let served = self.room.serve(|| {
            let handle = self.take_slot(now)?;
            Some(Handed::Slot(Grant { entry: Arc::clone(self), handle: Some(handle) }))
        });
        hand_over(served);
    }

    /// A replica turned a call away: it gets none for a moment, then those who wait are looked at again.
    pub(crate) fn quarantine(self: &Arc<Self>, handle: &Handle, now: Moment) {
        let until = now + self.shared.quarantine;
        handle.quarantine(until);
        let entry = Arc::downgrade(self);
        let wake = self.shared.clock.instant(until);
        tokio::spawn(async move {
            sleep_until(wake).await;
            if let Some(entry) = entry.upgrade() {
                entry.dispatch();
            }
        });
    }

    /// A start failed for good: whoever waits is answered 503, and `reason` is logged.
    pub fn fail_waiters(&self, reason: &str) {
        let waiters = self.room.serve(|| Some(Handed::Failed));
        if !waiters.is_empty() {
            let function = &self.id;
            tracing::warn!(function.name = %function, calls = waiters.len(), "could not be started: {reason}");
        }
        hand_over(waiters);
    }

    fn take_slot(&self, now: Moment) -> Option<Arc<Handle>> {
        if self.gate.is_closed() {
            return None;
        }
        let serving = self.serving.load();
        balance::take_slot(&serving.open, serving.limit, now)
    }
}
