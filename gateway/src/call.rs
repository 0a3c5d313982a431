//! One call from arrival to end: the guard by which everything is counted exactly once.
//!
//! However a call ends (answered, failed, client gone, upgraded connection closed), dropping this frees
//! its slot, then counts its code and duration, then lowers the count of those inside.

use std::sync::Arc;

use tidegate_core::Moment;

use crate::Entry;
use crate::entry::Waited;
use crate::error::InvokeError;
use crate::gate::Admission;
use crate::meter::ShardIndex;
use crate::replica::Handle;
use crate::room::Place;
use crate::upstream::Connection;

/// The code under which calls are counted whose client left before there was an answer.
const CLIENT_LEFT: u16 = 499;

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    entry: Arc<Entry>,
    shard: ShardIndex,
    admission: Admission,
    started: Moment,
    code: u16,
    replica: Option<Arc<Handle>>,
}

impl Call {
    /// A call of `entry` arrives.
    pub(crate) fn arrive(entry: Arc<Entry>, now: Moment) -> Self {
        let (shard, admission) = entry.arrive(now);
        Self { entry, shard, admission, started: now, code: CLIENT_LEFT, replica: None }
    }

    /// The function it calls.
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// When it arrived.
    pub(crate) fn started(&self) -> Moment {
        self.started
    }

    /// Takes a slot on a replica if there is one to be had at once.
    pub(crate) fn take(&mut self, place: Place, now: Moment) -> bool {
        debug_assert!(self.replica.is_none(), "one slot a call");
        self.replica = self.entry.take(self.admission, place, now);
        self.replica.is_some()
    }

    /// Waits for a slot on a replica.
    pub(crate) async fn wait(&mut self, place: Place, now: Moment) -> Result<Waited, InvokeError> {
        // Boxed: waiting is rare, and its future would make that of every call larger.
        let (replica, waited) = Box::pin(self.entry.wait(place, now)).await?;
        self.replica = Some(replica);
        // Whatever the gate said at first: while this call is inside, it cannot be closed again.
        self.admission = Admission::Open;
        Ok(waited)
    }

    /// The replica it has a slot on.
    pub(crate) fn replica(&self) -> Option<&Arc<Handle>> {
        self.replica.as_ref()
    }

    /// Gives the slot back before the call is over, to try another replica.
    pub(crate) fn release(&mut self) {
        if let Some(replica) = self.replica.take() {
            self.entry.release(&replica);
        }
    }

    /// Gives the slot back and keeps the replica from getting calls for a moment.
    pub(crate) fn turned_away(&mut self, now: Moment) {
        if let Some(replica) = self.replica.take() {
            self.entry.quarantine(&replica, now);
            self.entry.release(&replica);
        }
    }

    /// The status the client is answered with.
    pub(crate) fn set_code(&mut self, code: u16) {
        self.code = code;
    }

    /// Puts a connection back into the pool of its replica.
    pub(crate) fn give_back(&self, connection: Box<Connection>) {
        if let Some(replica) = &self.replica {
            // The moment of arrival will do for idleness and saves a look at the clock.
            replica.pool.give(connection, self.started, self.entry.pool_settings());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.release();
        let now = self.entry.clock().now();
        self.entry.depart(self.shard, self.code, self.started, now);
    }
}
