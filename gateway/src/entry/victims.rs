//! Replicas on their way out: they finish their calls and get no new ones.

use std::sync::Arc;

use tidegate_provider::ReplicaId;

use super::Entry;

impl Entry {
    /// Picks up to `count` replicas to go, least in flight first, newest first among equals; they get
    /// no new calls.
    pub fn pick_victims(&self, count: usize) -> Vec<ReplicaId> {
        let now = self.shared.clock.now();
        let writer = self.write();
        let mut open = self.open_handles(&writer);
        open.reverse();
        open.sort_by_key(|handle| handle.in_flight());
        open.truncate(count);
        for handle in &open {
            handle.drain(now);
        }
        self.publish(&writer);
        open.iter().map(|handle| handle.id.clone()).collect()
    }

    /// Victims with nothing in flight any more, or past the drain limit. They are to be ended now and
    /// do not come back into service.
    pub fn drained(&self) -> Vec<ReplicaId> {
        let now = self.shared.clock.now();
        let writer = self.write();
        let over = |handle: &&Arc<crate::replica::Handle>| {
            let late = now.since(handle.draining_since()) >= self.shared.drain_limit;
            handle.is_draining() && (handle.in_flight() == 0 || late)
        };
        let drained: Vec<_> = writer.handles.iter().filter(over).collect();
        drained
            .into_iter()
            .map(|handle| {
                handle.end();
                handle.id.clone()
            })
            .collect()
    }

    /// Takes up to `count` victims back into service, oldest first; how many it were.
    pub fn undrain(self: &Arc<Self>, count: usize) -> usize {
        let taken = {
            let writer = self.write();
            let taken = writer.handles.iter().filter(|handle| handle.undrain()).take(count).count();
            self.publish(&writer);
            taken
        };
        self.dispatch();
        taken
    }

    /// Victims still in the replica set.
    pub fn draining(&self) -> usize {
        self.write().handles.iter().filter(|handle| handle.is_draining()).count()
    }
}
