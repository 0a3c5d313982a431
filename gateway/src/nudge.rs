//! Nudges: the gateway tells the scale loop that a function needs a look now, not at the next tick.
//!
//! An entry is queued at most once until it is taken, however many calls ask, so the channel never
//! holds more than one message a function.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::Entry;

/// The scale loop's end: functions that need a look.
#[derive(Debug)]
pub struct Nudges {
    queue: mpsc::UnboundedReceiver<Arc<Entry>>,
}

/// The gateway's end.
#[derive(Clone, Debug)]
pub(crate) struct Nudger {
    queue: mpsc::UnboundedSender<Arc<Entry>>,
}

pub(crate) fn nudges() -> (Nudger, Nudges) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Nudger { queue: sender }, Nudges { queue: receiver })
}

impl Nudger {
    /// Queues `entry` if it is not queued already.
    pub(crate) fn nudge(&self, entry: &Arc<Entry>) {
        if entry.mark_nudged() {
            // Without a loop (it has stopped, or a test has none) nobody is there to be told.
            let _ = self.queue.send(Arc::clone(entry));
        }
    }
}

impl Nudges {
    /// The next function that needs a look; pending for ever when every table is gone.
    pub async fn next(&mut self) -> Arc<Entry> {
        match self.queue.recv().await {
            Some(entry) => {
                entry.unmark_nudged();
                entry
            }
            None => std::future::pending().await,
        }
    }
}
