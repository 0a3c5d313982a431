//! What was seen of one function at a moment: the only input of a scale decision.

use crate::{FunctionId, Moment, Replicas};

/// What was seen of one function. Taken by the scale loop, judged by the autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Which function.
    pub function: FunctionId,
    /// Which deployed revision; a change resets what was learnt of the last one.
    pub revision: u64,
    /// The load; `None` when it is missing or stale, which is never the same as none.
    pub load: Option<Load>,
    /// How many replicas the provider was last asked for.
    pub desired: Replicas,
    /// Replicas that answer and are given calls.
    pub ready: Replicas,
    /// Replicas asked for and not ready yet, those that wait to be restarted among them.
    pub pending: Replicas,
    /// Replicas that finish their calls and get no new ones.
    pub draining: Replicas,
    /// Replicas stopped with their memory kept; they count as none.
    pub frozen: Replicas,
    /// Replicas made, their programs not started; they count as none.
    pub created: Replicas,
    /// Calls one replica takes at once (`max_inflight`), when it has such a limit.
    pub replica_limit: Option<u32>,
}

/// The counters of one function since its meter began; all but the first two only grow.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Calls being served, upgraded and streaming connections until they close.
    pub in_flight: u64,
    /// Calls held in the waiting room.
    pub waiting: u64,
    /// Calls that ever arrived.
    pub started: u64,
    /// Calls that ever ended, however they ended.
    pub completed: u64,
    /// The integral of (in flight + waiting) over time, in call-nanoseconds.
    pub concurrency_nanos: u64,
    /// When the last call ended; `None` when none ever did.
    pub last_end: Option<Moment>,
}

impl Load {
    /// Calls that want a replica now.
    pub fn demand(&self) -> u64 {
        self.in_flight.saturating_add(self.waiting)
    }
}
