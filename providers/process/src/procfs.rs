//! Processes as `/proc` shows them: families, the replica they belong to, what they use.
//!
//! A process is held by a pidfd before it is judged, so that a number used anew never hits a stranger.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tidegate_provider_machine::Used;

/// The variable that every process of a replica inherits.
pub(crate) const MARKER: &str = "TIDEGATE_REPLICA";
/// How often a family is looked at again before what still forks is left to a later sweep.
const ROUNDS: usize = 20;
/// How long killed processes may take to go, before they are looked for again.
const DEATH: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A process that cannot turn into another one.
#[derive(Debug)]
pub(crate) struct Held {
    pid: Pid,
    fd: OwnedFd,
}

impl Held {
    /// Holds `pid`; nothing when it is gone.
    pub(crate) fn new(pid: Pid) -> Option<Self> {
        let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        Some(Self { pid, fd })
    }

    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&self) -> bool {
        !self.ends_within(&Timespec::default())
    }

    fn ends_within(&self, span: &Timespec) -> bool {
        // A pidfd is readable once its process has ended.
        let mut end = [PollFd::new(&self.fd, PollFlags::IN)];
        rustix::event::poll(&mut end, Some(span)).is_ok_and(|ended| ended > 0)
    }

    /// Sends `signal`; that the process is gone already is fine.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.fd, signal);
    }
}

/// `root` and all below it, parents first.
pub(crate) fn family(root: Pid) -> Vec<Pid> {
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(children(parent));
        next += 1;
    }
    family
}

fn children(parent: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let mut children = Vec::new();
    for thread in threads.flatten() {
        // Each thread lists the children it forked itself.
        let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(list.split_ascii_whitespace().filter_map(pid));
    }
    children
}

/// Stops a whole family, so that none of it runs, and holds it. Thaw with [`thaw`].
pub(crate) fn freeze(root: Pid) -> Vec<Held> {
    let mut held: Vec<Held> = Vec::new();
    for _ in 0..ROUNDS {
        let strangers: Vec<Pid> = family(root)
            .into_iter()
            .filter(|pid| held.iter().all(|known| known.pid != *pid))
            .collect();
        // What is stopped forks no more, so the rounds come to an end.
        if strangers.is_empty() {
            break;
        }
        for process in strangers.into_iter().filter_map(Held::new) {
            process.signal(Signal::STOP);
            held.push(process);
        }
    }
    held
}

/// Lets a frozen family run again, children before parents.
pub(crate) fn thaw(family: &[Held]) {
    for process in family.iter().rev() {
        process.signal(Signal::CONT);
    }
}

/// Kills every process whose replica `is_ours`, until none is found. Returns how many there were.
pub(crate) fn kill_marked(is_ours: impl Fn(&str) -> bool) -> usize {
    let mut killed = 0;
    for _ in 0..ROUNDS {
        let found = marked(&is_ours);
        if found.is_empty() {
            break;
        }
        killed += found.len();
        kill(&found);
    }
    killed
}

/// Kills `processes` and waits a moment for them to be gone.
pub(crate) fn kill(processes: &[Held]) {
    for process in processes {
        process.signal(Signal::KILL);
    }
    for process in processes {
        process.ends_within(&DEATH);
    }
}

fn marked(is_ours: &impl Fn(&str) -> bool) -> Vec<Held> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| pid(entry.file_name().to_str()?));
    pids.filter_map(Held::new).filter(|process| belongs(process.pid, is_ours)).collect()
}

/// Whether the process's environment names a replica that `is_ours`.
fn belongs(pid: Pid, is_ours: &impl Fn(&str) -> bool) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| {
            std::str::from_utf8(variable).ok()?.strip_prefix(MARKER)?.strip_prefix('=')
        })
        .any(is_ours)
}

/// What a family uses now, ended children included.
pub(crate) fn used(root: Pid) -> Used {
    family(root).into_iter().filter_map(used_by_one).fold(Used::default(), |sum, one| Used {
        cpu_millis: sum.cpu_millis + one.cpu_millis,
        memory_bytes: sum.memory_bytes + one.memory_bytes,
    })
}

fn used_by_one(pid: Pid) -> Option<Used> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; fields are counted after it, from 3.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    // utime, stime, and cutime, cstime of children that have ended.
    let ticks = number(14)? + number(15)? + number(16)? + number(17)?;
    Some(Used {
        cpu_millis: ticks * 1000 / rustix::param::clock_ticks_per_second().max(1),
        memory_bytes: number(24)? * rustix::param::page_size() as u64,
    })
}

fn pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}
