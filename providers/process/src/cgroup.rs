//! Control groups, version 1 or 2, where this process may write them: limits that hold for a whole replica.
//!
//! ```text
//! v1  /sys/fs/cgroup/{memory,cpu}/tidegate/STATE/PLACE      v2  /sys/fs/cgroup/tidegate/STATE/PLACE
//! ```
//!
//! A replica without limits gets none: making one would cost time at each start for nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;
use tidegate_provider_machine::{Limits, durable};

use crate::procfs::{self, Held};

/// One turn of the CPU scheduler's accounts, in microseconds.
const PERIOD: u64 = 100_000;
/// The kernel takes no smaller share than this, in microseconds.
const LEAST_QUOTA: u64 = 1_000;
/// A moving process may fork; this often its family is looked at again.
const ROUNDS: usize = 5;

/// The control groups of this state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cgroups {
    /// Version 1: a hierarchy for each controller.
    V1 {
        /// Ours in the memory hierarchy.
        memory: PathBuf,
        /// Ours in the CPU hierarchy.
        cpu: PathBuf,
    },
    /// Version 2: one hierarchy.
    V2 {
        /// Ours in it.
        base: PathBuf,
        /// Where it is mounted.
        mount: PathBuf,
    },
}

/// The control groups of one replica.
#[derive(Clone, Debug)]
pub(crate) struct ReplicaCgroup {
    folders: Vec<PathBuf>,
    /// The file that counts kills for want of memory.
    kills: PathBuf,
}

impl Cgroups {
    /// Finds control groups in a list of mounts (as `/proc/self/mounts`) for the state directory `state`.
    pub(crate) fn find(mounts: &str, state: &str) -> Option<Self> {
        let own = |mount: &str| Path::new(mount).join("tidegate").join(state);
        let mounts: Vec<[&str; 3]> = mounts
            .lines()
            .filter_map(|line| {
                let mut words = line.split_ascii_whitespace().skip(1);
                Some([words.next()?, words.next()?, words.next()?])
            })
            .collect();
        let v1 = |controller: &str| {
            let has = |options: &str| options.split(',').any(|option| option == controller);
            mounts
                .iter()
                .find(|[_, kind, options]| *kind == "cgroup" && has(options))
                .map(|[at, ..]| own(at))
        };
        if let (Some(memory), Some(cpu)) = (v1("memory"), v1("cpu")) {
            return Some(Self::V1 { memory, cpu });
        }
        let v2 = mounts.iter().filter(|[_, kind, _]| *kind == "cgroup2").find(|[at, ..]| {
            let controllers = fs::read_to_string(Path::new(at).join("cgroup.controllers"));
            controllers.is_ok_and(|list| {
                ["memory", "cpu"].iter().all(|one| list.split_ascii_whitespace().any(|c| c == *one))
            })
        });
        v2.map(|[at, ..]| Self::V2 { base: own(at), mount: PathBuf::from(at) })
    }

    /// Whether limits can be applied: tries to make the groups, and removes them again.
    pub(crate) fn usable(&self) -> io::Result<()> {
        let made = self.make_bases();
        self.remove();
        made
    }

    /// Ends what an earlier run left in the groups, and removes them.
    pub(crate) fn clear(&self) {
        for base in self.bases() {
            for name in durable::names(base).unwrap_or_default() {
                let folder = base.join(name);
                if folder.is_dir() {
                    kill_all(&folder);
                    let _ = fs::remove_dir(&folder);
                }
            }
        }
        self.remove();
    }

    /// Removes the groups when they are empty.
    pub(crate) fn remove(&self) {
        for base in self.bases() {
            let _ = fs::remove_dir(base);
            // Shared with other state directories; stays while one of them is in use.
            let _ = base.parent().map(fs::remove_dir);
        }
    }

    /// Makes a replica's group with its limits and moves `root` and its family there.
    pub(crate) fn make(&self, place: &str, limits: Limits, root: Pid) -> io::Result<ReplicaCgroup> {
        self.make_bases()?;
        let made = match self {
            Self::V1 { memory, cpu } => make_v1(&memory.join(place), &cpu.join(place), limits),
            Self::V2 { base, .. } => make_v2(&base.join(place), limits),
        };
        made.and_then(|cgroup| cgroup.take_in(root).map(|()| cgroup)).inspect_err(|_| {
            for base in self.bases() {
                let _ = fs::remove_dir(base.join(place));
            }
        })
    }

    fn bases(&self) -> Vec<&PathBuf> {
        match self {
            Self::V1 { memory, cpu } => vec![memory, cpu],
            Self::V2 { base, .. } => vec![base],
        }
    }

    fn make_bases(&self) -> io::Result<()> {
        for base in self.bases() {
            make_folder(base)?;
        }
        let Self::V2 { base, mount } = self else { return Ok(()) };
        // Each level hands the controllers on to the next.
        for level in [Some(mount.as_path()), base.parent(), Some(base)].into_iter().flatten() {
            fs::write(level.join("cgroup.subtree_control"), "+memory +cpu")?;
        }
        Ok(())
    }
}

/// Makes a folder and those above it, which another state directory may be removing at this moment.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut made = fs::create_dir_all(folder);
    for _ in 0..ROUNDS {
        if made.as_ref().is_err_and(|failure| failure.kind() == io::ErrorKind::NotFound) {
            made = fs::create_dir_all(folder);
        }
    }
    made
}

fn make_v1(memory: &Path, cpu: &Path, limits: Limits) -> io::Result<ReplicaCgroup> {
    let mut folders = Vec::new();
    if let Some(bytes) = limits.memory {
        make_folder(memory)?;
        fs::write(memory.join("memory.limit_in_bytes"), bytes.to_string())?;
        // Not there without swap accounting.
        let _ = fs::write(memory.join("memory.memsw.limit_in_bytes"), bytes.to_string());
        folders.push(memory.to_owned());
    }
    if let Some(millis) = limits.cpu {
        make_folder(cpu)?;
        fs::write(cpu.join("cpu.cfs_period_us"), PERIOD.to_string())?;
        fs::write(cpu.join("cpu.cfs_quota_us"), quota(millis).to_string())?;
        folders.push(cpu.to_owned());
    }
    Ok(ReplicaCgroup { folders, kills: memory.join("memory.oom_control") })
}

fn make_v2(folder: &Path, limits: Limits) -> io::Result<ReplicaCgroup> {
    make_folder(folder)?;
    if let Some(bytes) = limits.memory {
        fs::write(folder.join("memory.max"), bytes.to_string())?;
        // Not there without swap accounting.
        let _ = fs::write(folder.join("memory.swap.max"), "0");
    }
    if let Some(millis) = limits.cpu {
        fs::write(folder.join("cpu.max"), format!("{} {PERIOD}", quota(millis)))?;
    }
    Ok(ReplicaCgroup { folders: vec![folder.to_owned()], kills: folder.join("memory.events") })
}

/// Microseconds of CPU in each period.
fn quota(millis: u64) -> u64 {
    millis.saturating_mul(PERIOD / 1000).max(LEAST_QUOTA)
}

impl ReplicaCgroup {
    /// Moves a process and its family in. What is forked inside stays inside.
    fn take_in(&self, root: Pid) -> io::Result<()> {
        for round in 0..ROUNDS {
            let family = procfs::family(root);
            for folder in &self.folders {
                let file = folder.join("cgroup.procs");
                let inside = fs::read_to_string(&file).unwrap_or_default();
                for pid in
                    family.iter().filter(|pid| !inside.lines().any(|line| line == pid.to_string()))
                {
                    let moved = fs::write(&file, pid.to_string());
                    // A child may have ended meanwhile; the root must be inside.
                    if round == 0 && *pid == root {
                        moved?;
                    }
                }
            }
            if family.len() == procfs::family(root).len() {
                break;
            }
        }
        Ok(())
    }

    /// How many of its processes were killed for want of memory.
    pub(crate) fn memory_kills(&self) -> u64 {
        let text = fs::read_to_string(&self.kills).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Kills all that is inside, and removes the groups.
    pub(crate) fn end(&self) {
        for folder in &self.folders {
            kill_all(folder);
            let _ = fs::remove_dir(folder);
        }
    }
}

fn kill_all(folder: &Path) {
    for _ in 0..ROUNDS {
        let inside = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        let pids = inside.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?));
        let held: Vec<Held> = pids.filter_map(Held::new).collect();
        if held.is_empty() {
            return;
        }
        procfs::kill(&held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_found_by_its_controllers() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
            cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n";
        let found = Cgroups::find(mounts, "abc").expect("both controllers");
        let memory = PathBuf::from("/sys/fs/cgroup/memory/tidegate/abc");
        assert_eq!(found, Cgroups::V1 { memory, cpu: "/sys/fs/cgroup/cpu/tidegate/abc".into() });
        assert_eq!(Cgroups::find("proc /proc proc rw 0 0\n", "abc"), None);
    }

    #[test]
    fn version_2_is_told_limits_in_its_own_words() {
        let mount = tempfile::tempdir().expect("a folder");
        fs::write(mount.path().join("cgroup.controllers"), "cpuset cpu io memory\n")
            .expect("a file");
        let mounts = format!("cgroup2 {} cgroup2 rw 0 0\n", mount.path().display());
        let found = Cgroups::find(&mounts, "abc").expect("both controllers");
        let limits = Limits { memory: Some(128 << 20), cpu: Some(250) };
        found.make("1-1", limits, rustix::process::getpid()).expect("plain files");
        let folder = mount.path().join("tidegate/abc/1-1");
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("written");
        assert_eq!(read("memory.max"), "134217728");
        assert_eq!(read("cpu.max"), "25000 100000");
        let handed_on = mount.path().join("tidegate/cgroup.subtree_control");
        assert_eq!(fs::read_to_string(handed_on).expect("written"), "+memory +cpu");
    }
}
