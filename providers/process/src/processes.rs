//! The processes of one running replica: the watchdog and all below it.

use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal};
use tidegate_provider::ReplicaId;
use tidegate_provider_machine::{Live, Used};

use crate::cgroup::ReplicaCgroup;
use crate::procfs::{self, Held};

/// A replica's processes, from start to end of one life.
#[derive(Debug)]
pub struct Processes {
    replica: ReplicaId,
    watchdog: Held,
    cgroup: Option<ReplicaCgroup>,
    /// Those that were stopped; forgetting to let them run again leaves them so.
    frozen: Mutex<Vec<Held>>,
    /// What a user should know of limits that could not be applied.
    pub(crate) note: String,
}

impl Processes {
    pub(crate) fn new(
        replica: ReplicaId,
        watchdog: Held,
        cgroup: Option<ReplicaCgroup>,
        note: String,
    ) -> Self {
        Self { replica, watchdog, cgroup, frozen: Mutex::default(), note }
    }

    fn root(&self) -> Pid {
        self.watchdog.pid()
    }

    /// Asks the watchdog to finish its calls and end.
    pub(crate) fn terminate(&self) {
        self.watchdog.signal(Signal::TERM);
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

    /// How many of them were killed for want of memory.
    pub(crate) fn memory_kills(&self) -> u64 {
        self.cgroup.as_ref().map_or(0, ReplicaCgroup::memory_kills)
    }
}

impl Live for Processes {
    fn freeze(&self) -> std::io::Result<()> {
        *self.frozen.lock().unwrap_or_else(PoisonError::into_inner) = procfs::freeze(self.root());
        Ok(())
    }

    fn thaw(&self) -> std::io::Result<()> {
        let mut frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        procfs::thaw(&std::mem::take(&mut *frozen));
        Ok(())
    }

    fn usage(&self) -> Used {
        procfs::used(self.root())
    }
}
