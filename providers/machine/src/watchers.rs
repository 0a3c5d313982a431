//! Tells watchers which functions changed, without ever waiting for one.
//!
//! Each watcher owns a set of changed functions, so that a slow one costs at most one entry a function;
//! what a function is now is looked up when the watcher asks.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tidegate_core::FunctionId;
use tidegate_provider::{Change, FunctionStatus, Watch};
use tokio::sync::Notify;

/// All watchers.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    watchers: Mutex<Vec<Weak<Mailbox>>>,
}

/// What one watcher has not been told yet.
#[derive(Debug, Default)]
struct Mailbox {
    changed: Mutex<BTreeSet<FunctionId>>,
    nudge: Notify,
}

/// One watcher's place in its stream.
struct Watcher<Latest> {
    mailbox: Arc<Mailbox>,
    initial: std::vec::IntoIter<FunctionId>,
    synced: bool,
    told: HashSet<FunctionId>,
    latest: Latest,
}

impl Watchers {
    /// `function` changed, appeared or went.
    pub(crate) fn changed(&self, function: &FunctionId) {
        lock(&self.watchers).retain(|watcher| {
            let Some(mailbox) = watcher.upgrade() else { return false };
            lock(&mailbox.changed).insert(function.clone());
            mailbox.nudge.notify_one();
            true
        });
    }

    /// A new watcher. `all` lists what exists, asked after the watcher is entered, so that nothing falls
    /// in between; `latest` says what a function is now.
    pub(crate) fn watch(
        &self,
        all: impl FnOnce() -> Vec<FunctionId>,
        latest: impl Fn(&FunctionId) -> Option<FunctionStatus> + Send + 'static,
    ) -> Watch {
        let mailbox = Arc::<Mailbox>::default();
        lock(&self.watchers).push(Arc::downgrade(&mailbox));
        let initial = all().into_iter();
        let watcher = Watcher { mailbox, initial, synced: false, told: HashSet::new(), latest };
        Box::pin(futures_util::stream::unfold(watcher, |mut watcher| async {
            let change = watcher.next().await;
            Some((change, watcher))
        }))
    }
}

impl<Latest: Fn(&FunctionId) -> Option<FunctionStatus>> Watcher<Latest> {
    async fn next(&mut self) -> Change {
        while let Some(function) = self.initial.next() {
            if let Some(change) = self.tell(function) {
                return change;
            }
        }
        if !self.synced {
            self.synced = true;
            return Change::Synced;
        }
        loop {
            let function = lock(&self.mailbox.changed).pop_first();
            match function {
                Some(function) => {
                    if let Some(change) = self.tell(function) {
                        return change;
                    }
                }
                // A nudge that came since the look above is kept by Notify.
                None => self.mailbox.nudge.notified().await,
            }
        }
    }

    /// The function's latest state; nothing when it is gone and was never told of.
    fn tell(&mut self, function: FunctionId) -> Option<Change> {
        match (self.latest)(&function) {
            Some(status) => {
                self.told.insert(function);
                Some(Change::Function(status))
            }
            None => self.told.remove(&function).then_some(Change::Gone(function)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in these sections can stop half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
