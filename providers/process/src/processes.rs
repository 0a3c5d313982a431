//! The processes of one running replica: the watchdog and all below it.

use rustix::process::{Pid, Signal};
use tidegate_provider::ReplicaId;

use crate::cgroup::ReplicaCgroup;
use crate::procfs::{self, Held, Used};

/// A replica's processes, from start to end of one life.
#[derive(Debug)]
pub(crate) struct Processes {
    replica: ReplicaId,
    watchdog: Held,
    cgroup: Option<ReplicaCgroup>,
    /// What a user should know of limits that could not be applied.
    pub(crate) note: String,
}

/// A family that does not run; forgetting to thaw it leaves it stopped.
#[derive(Debug)]
pub(crate) struct Frozen(Vec<Held>);

impl Processes {
    pub(crate) fn new(
        replica: ReplicaId,
        watchdog: Held,
        cgroup: Option<ReplicaCgroup>,
        note: String,
    ) -> Self {
        Self { replica, watchdog, cgroup, note }
    }

    fn root(&self) -> Pid {
        self.watchdog.pid()
    }

    /// Asks the watchdog to finish its calls and end.
    pub(crate) fn terminate(&self) {
        self.watchdog.signal(Signal::TERM);
    }

    /// Stops all of them at once.
    pub(crate) fn freeze(&self) -> Frozen {
        Frozen(procfs::freeze(self.root()))
    }

    /// Kills all of them, those that left the family too, and waits until they are gone. Blocks.
    pub(crate) fn kill(&self) {
        let family: Vec<Held> =
            procfs::family(self.root()).into_iter().filter_map(Held::new).collect();
        // While the watchdog lives its number is its own, and so its family was not a stranger's.
        if self.watchdog.is_running() {
            procfs::kill(&family);
        }
        self.sweep();
    }

    /// Kills what a watchdog that has ended left behind. Blocks.
    pub(crate) fn sweep(&self) {
        procfs::kill_marked(|replica| replica == self.replica.as_str());
        if let Some(cgroup) = &self.cgroup {
            cgroup.end();
        }
    }

    /// What they use now.
    pub(crate) fn used(&self) -> Used {
        procfs::used(self.root())
    }

    /// How many of them were killed for want of memory.
    pub(crate) fn memory_kills(&self) -> u64 {
        self.cgroup.as_ref().map_or(0, ReplicaCgroup::memory_kills)
    }
}

impl Frozen {
    /// Lets them run again.
    pub(crate) fn thaw(self) {
        procfs::thaw(&self.0);
    }
}
