//! Limits of memory and CPU, applied to a replica by cgroup, or else by rlimit.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tidegate_provider_machine::Limits;

use crate::cgroup::{Cgroups, ReplicaCgroup};

/// The watchdog itself needs this much; an rlimit below it would end the replica before the function runs.
const LEAST_RLIMIT: u64 = 32 << 20;

/// Puts a replica that has just been started under its limits. Returns its cgroup, if it got one, and
/// what a user should know of limits that could not be applied.
pub(crate) fn apply(
    limits: Limits,
    cgroups: Option<&Cgroups>,
    place: &str,
    root: Pid,
) -> (Option<ReplicaCgroup>, String) {
    if limits.is_none() {
        return (None, String::new());
    }
    let made = cgroups.map(|cgroups| cgroups.make(place, limits, root));
    match made {
        Some(Ok(cgroup)) => (Some(cgroup), String::new()),
        Some(Err(failure)) => (None, apply_rlimit(limits, root, &failure.to_string())),
        None => (None, apply_rlimit(limits, root, "no writable cgroups")),
    }
}

fn apply_rlimit(limits: Limits, root: Pid, why: &str) -> String {
    let mut note = String::new();
    if let Some(memory) = limits.memory {
        // Data, not address space: runtimes reserve far more of the latter than they use.
        let bytes = Some(memory.max(LEAST_RLIMIT));
        let limit = Rlimit { current: bytes, maximum: bytes };
        for process in crate::procfs::family(root) {
            if let Err(failure) = prlimit(Some(process), Resource::Data, limit) {
                note = format!("memory limit is not applied: {failure}");
            }
        }
    }
    if limits.cpu.is_some() {
        let and = if note.is_empty() { "" } else { "; " };
        note = format!("{note}{and}cpu limit is not applied: {why}");
    }
    note
}
