//! Process groups: each call's process, and an http child, leads one of its own.
//!
//! A kill reaches grandchildren too. All groups that are alive are known, so that the end of the
//! watchdog, however sudden, is the end of what it started.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// The groups that are alive; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Groups(Arc<Mutex<BTreeSet<i32>>>);

/// One group; killed when dropped, unless it was released.
#[derive(Debug)]
pub struct Group {
    leader: Pid,
    groups: Groups,
    released: bool,
}

impl Groups {
    /// Takes charge of the group that process `id` leads.
    pub fn adopt(&self, id: Option<u32>) -> Option<Group> {
        let leader = Pid::from_raw(i32::try_from(id?).ok()?)?;
        self.with(|all| all.insert(leader.as_raw_nonzero().get()));
        Some(Group { leader, groups: self.clone(), released: false })
    }

    /// Kills all of them at once.
    pub fn kill_all(&self) {
        for leader in self.with(std::mem::take) {
            if let Some(leader) = Pid::from_raw(leader) {
                // A group that is gone needs no killing.
                let _ = kill_process_group(leader, Signal::KILL);
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeSet<i32>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Group {
    /// Asks every process of the group to end.
    pub fn terminate(&self) {
        let _ = kill_process_group(self.leader, Signal::TERM);
    }

    /// Lets the group be: its leader ended by itself, and what it left in the background may stay.
    pub fn release(mut self) {
        self.released = true;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.groups.with(|all| all.remove(&self.leader.as_raw_nonzero().get()));
        if !self.released {
            let _ = kill_process_group(self.leader, Signal::KILL);
        }
    }
}
