//! The way to zero and back. The gate decides; this keeps the set of replicas in step with it.

use std::sync::Arc;

use super::Entry;
use crate::gate::Epoch;

/// A function on its way to zero; any arrival cancels it. Dropped without [`ZeroTicket::issue`], the
/// function is open again.
#[derive(Debug)]
#[must_use = "a ticket that is dropped aborts the way to zero"]
pub struct ZeroTicket {
    entry: Arc<Entry>,
    epoch: Option<Epoch>,
}

impl Entry {
    /// Begins the way to zero, iff nothing is in flight or waiting.
    pub fn begin_zero(self: &Arc<Self>) -> Option<ZeroTicket> {
        let epoch = self.gate.begin(|| self.meter.inside())?;
        Some(ZeroTicket { entry: Arc::clone(self), epoch: Some(epoch) })
    }

    /// Opens the function after the wake was issued: `Provider::scale` to more than zero returned. The
    /// replicas that were told to end stay out until the provider reports anew. Does nothing to a
    /// function that is open.
    pub fn reopen(self: &Arc<Self>) {
        self.open_gate(false);
    }

    /// Opens the function after the scale to zero failed: its replicas serve again at once.
    pub fn zero_failed(self: &Arc<Self>) {
        self.open_gate(true);
    }

    /// Whether zero was issued and the function not opened again: calls wait in the room.
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    fn open_gate(self: &Arc<Self>, trust_old: bool) {
        {
            let mut writer = self.write();
            if trust_old || writer.fresh {
                writer.void = false;
                self.publish(&writer);
            }
            self.gate.reopen();
        }
        self.dispatch();
    }
}

impl ZeroTicket {
    /// Closes the function if no call arrived since the ticket was made. `true`: the caller may now
    /// scale to zero; from now on arrivals wait in the room and nudge.
    pub fn issue(mut self) -> bool {
        let Some(epoch) = self.epoch.take() else { return false };
        let mut writer = self.entry.write();
        if !self.entry.gate.issue(epoch) {
            return false;
        }
        writer.void = true;
        writer.fresh = false;
        self.entry.publish(&writer);
        true
    }
}

impl Drop for ZeroTicket {
    fn drop(&mut self) {
        if let Some(epoch) = self.epoch.take() {
            self.entry.gate.cancel(epoch);
        }
    }
}
