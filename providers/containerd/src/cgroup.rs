//! The control group of a replica: frozen, thawed and measured by its files, which is ten times as fast as by
//! containerd. Both versions of control groups are known.
//!
//! Source: `Documentation/admin-guide/cgroup-v1` and `cgroup-v2.rst` of the Linux kernel.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};

/// A freeze that is under way is looked at this often before it counts as done: it then is, soon.
const LOOKS: u32 = 200;

/// Where control groups are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hierarchy {
    /// Version 1: a hierarchy for each controller.
    One { freezer: PathBuf, memory: Option<PathBuf>, cpu: Option<PathBuf> },
    /// Version 2: one for all.
    Two(PathBuf),
}

/// What a control group uses.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Milliseconds of CPU since it was made.
    pub(crate) cpu_millis: u64,
    /// Bytes.
    pub(crate) memory_bytes: u64,
}

/// The control group of one replica.
#[derive(Clone, Debug)]
pub(crate) struct Cgroup {
    hierarchy: Arc<Hierarchy>,
    /// Its path from the root of each hierarchy.
    path: PathBuf,
}

impl Hierarchy {
    /// Reads where control groups are mounted, from `/proc/self/mounts`.
    pub(crate) fn find(mounts: &str) -> Option<Self> {
        let mounted = |kind: &str, controller: Option<&str>| {
            mounts.lines().find_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let options = fields.get(3)?;
                let has = controller.is_none_or(|name| options.split(',').any(|it| it == name));
                (fields.get(2)? == &kind && has).then(|| PathBuf::from(fields[1]))
            })
        };
        if let Some(freezer) = mounted("cgroup", Some("freezer")) {
            let (memory, cpu) =
                (mounted("cgroup", Some("memory")), mounted("cgroup", Some("cpuacct")));
            return Some(Self::One { freezer, memory, cpu });
        }
        mounted("cgroup2", None).map(Self::Two)
    }
}

/// Where all hierarchies are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roots(Vec<PathBuf>);

impl Roots {
    /// Reads them from `/proc/self/mounts`.
    pub(crate) fn find(mounts: &str) -> Self {
        let roots = mounts.lines().filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (place, kind) = (fields.next()?, fields.next()?);
            matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(place))
        });
        Self(roots.collect())
    }

    /// Removes a group that holds no processes, with the empty groups in it. Whether none is left anywhere. Blocks.
    pub(crate) fn remove(&self, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        let mut all_gone = !self.0.is_empty();
        for root in &self.0 {
            let group = root.join(path);
            let removed = fs::remove_dir(&group).or_else(|failure| {
                if failure.kind() == io::ErrorKind::NotFound {
                    return Ok(());
                }
                for inner in fs::read_dir(&group).into_iter().flatten().flatten() {
                    // Files of a group cannot be removed, only groups that are empty.
                    let _ = fs::remove_dir(inner.path());
                }
                fs::remove_dir(&group)
            });
            all_gone &= removed.is_ok();
        }
        all_gone
    }
}

impl Cgroup {
    /// The group at `path` from the root.
    pub(crate) fn new(hierarchy: &Arc<Hierarchy>, path: &str) -> Self {
        let path = PathBuf::from(path.trim_start_matches('/'));
        Self { hierarchy: hierarchy.clone(), path }
    }

    /// Stops all its processes.
    pub(crate) fn freeze(&self) -> io::Result<()> {
        match &*self.hierarchy {
            Hierarchy::One { freezer, .. } => {
                let file = freezer.join(&self.path).join("freezer.state");
                fs::write(&file, "FROZEN")?;
                self.until(|| Ok(fs::read_to_string(&file)?.trim() == "FROZEN"))
            }
            Hierarchy::Two(root) => {
                let folder = root.join(&self.path);
                fs::write(folder.join("cgroup.freeze"), "1")?;
                self.until(|| {
                    Ok(fs::read_to_string(folder.join("cgroup.events"))?.contains("frozen 1"))
                })
            }
        }
    }

    fn until(&self, done: impl Fn() -> io::Result<bool>) -> io::Result<()> {
        for _ in 0..LOOKS {
            if done()? {
                return Ok(());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Lets its processes run again.
    pub(crate) fn thaw(&self) -> io::Result<()> {
        match &*self.hierarchy {
            Hierarchy::One { freezer, .. } => {
                fs::write(freezer.join(&self.path).join("freezer.state"), "THAWED")
            }
            Hierarchy::Two(root) => fs::write(root.join(&self.path).join("cgroup.freeze"), "0"),
        }
    }

    /// Kills all its processes; some may have ended meanwhile.
    pub(crate) fn kill(&self) {
        let root = match &*self.hierarchy {
            Hierarchy::One { freezer, .. } => freezer,
            Hierarchy::Two(root) => root,
        };
        let all = fs::read_to_string(root.join(&self.path).join("cgroup.procs"));
        let all = all.unwrap_or_default();
        for pid in all.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        // One that stands still does not die.
        let _ = self.thaw();
    }

    /// Whether it was told to stop its processes.
    pub(crate) fn is_frozen(&self) -> io::Result<bool> {
        match &*self.hierarchy {
            Hierarchy::One { freezer, .. } => {
                let state = fs::read_to_string(freezer.join(&self.path).join("freezer.state"))?;
                Ok(state.trim() != "THAWED")
            }
            Hierarchy::Two(root) => {
                let state = fs::read_to_string(root.join(&self.path).join("cgroup.freeze"))?;
                Ok(state.trim() == "1")
            }
        }
    }

    /// What it uses; nothing when it is gone.
    pub(crate) fn usage(&self) -> Usage {
        match &*self.hierarchy {
            Hierarchy::One { memory, cpu, .. } => {
                let memory = memory.as_ref().map(|root| root.join(&self.path));
                let cpu = cpu.as_ref().map(|root| root.join(&self.path));
                let bytes = memory.map_or(0, |folder| {
                    let cache = field(&folder.join("memory.stat"), "total_inactive_file");
                    number(&folder.join("memory.usage_in_bytes")).saturating_sub(cache)
                });
                let nanos = cpu.map_or(0, |folder| number(&folder.join("cpuacct.usage")));
                Usage { cpu_millis: nanos / 1_000_000, memory_bytes: bytes }
            }
            Hierarchy::Two(root) => {
                let folder = root.join(&self.path);
                let cache = field(&folder.join("memory.stat"), "inactive_file");
                let micros = field(&folder.join("cpu.stat"), "usage_usec");
                let bytes = number(&folder.join("memory.current")).saturating_sub(cache);
                Usage { cpu_millis: micros / 1000, memory_bytes: bytes }
            }
        }
    }
}

fn number(file: &Path) -> u64 {
    fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn field(file: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let found =
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn both_versions_are_found_and_the_first_wins_where_both_are() {
        let one = "cgroup /c/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\ncgroup /c/freezer cgroup rw,freezer 0 0\n\
                   cgroup /c/memory cgroup rw,memory 0 0\n";
        let two = "cgroup2 /c/unified cgroup2 rw 0 0\n";
        let expected = Hierarchy::One {
            freezer: "/c/freezer".into(),
            memory: Some("/c/memory".into()),
            cpu: Some("/c/cpu,cpuacct".into()),
        };
        assert_eq!(Hierarchy::find(&format!("{two}{one}")), Some(expected));
        assert_eq!(Hierarchy::find(two), Some(Hierarchy::Two("/c/unified".into())));
        assert_eq!(Hierarchy::find("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn a_group_goes_from_every_hierarchy_when_nothing_is_in_it() {
        let root = tempfile::tempdir().expect("a folder");
        let [one, two, other] = ["one", "two", "other"].map(|name| root.path().join(name));
        let line = |kind: &str, path: &Path| format!("x {} {kind} rw 0 0\n", path.display());
        let mounts = line("cgroup", &one) + &line("cgroup2", &two) + &line("tmpfs", &other);
        let roots = Roots::find(&mounts);
        for folder in [&one, &other] {
            fs::create_dir_all(folder.join("ns/id/inner")).expect("a folder");
        }
        assert!(roots.remove("/ns/id"), "the second one has none");
        assert!(!one.join("ns/id").exists() && other.join("ns/id").exists());
        fs::create_dir_all(two.join("ns/id/inner/most")).expect("a folder");
        assert!(!roots.remove("/ns/id"), "there is something in it");
        assert!(!Roots::find("").remove("/ns/id"), "nothing is known of where they are");
    }

    #[test]
    fn a_group_of_version_two_is_driven_by_its_files() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("ns/id");
        fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in [
            ("cgroup.freeze", "0\n"),
            ("cgroup.events", "populated 1\nfrozen 1\n"),
            ("memory.current", "5000\n"),
            ("memory.stat", "anon 1\ninactive_file 1000\n"),
            ("cpu.stat", "usage_usec 7000\nuser_usec 1\n"),
        ] {
            fs::write(folder.join(name), text).expect("a file");
        }
        let cgroup = Cgroup::new(&Arc::new(Hierarchy::Two(root.path().to_owned())), "/ns/id");
        assert!(!cgroup.is_frozen().expect("a file"));
        cgroup.freeze().expect("a file");
        assert!(cgroup.is_frozen().expect("a file"));
        cgroup.thaw().expect("a file");
        assert!(!cgroup.is_frozen().expect("a file"));
        assert_eq!(cgroup.usage(), Usage { cpu_millis: 7, memory_bytes: 4000 });
    }

    /// A tree of version two is mounted beside those of version one on many machines.
    #[test]
    fn a_real_group_of_version_two_is_frozen_thawed_and_measured() {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("Linux");
        let two = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
        let root = two.and_then(|line| line.split(' ').nth(1)).map(PathBuf::from);
        let name = format!("tidegate-test-{}", std::process::id());
        let Some(root) = root.filter(|root| fs::create_dir(root.join(&name)).is_ok()) else {
            eprintln!("skipped: no tree of control groups of version 2 can be written");
            return;
        };
        let folder = root.join(&name);
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
        let pid = busy.id();
        fs::write(folder.join("cgroup.procs"), pid.to_string()).expect("our group");
        let cgroup = Cgroup::new(&Arc::new(Hierarchy::Two(root)), &format!("/{name}"));
        let used = || cgroup.usage().cpu_millis;
        let runs = || {
            let before = used();
            until(|| used() > before + 20)
        };
        let ran = runs();
        cgroup.freeze().expect("our group");
        // On a busy machine the last of it takes a while.
        let events = || fs::read_to_string(folder.join("cgroup.events")).expect("our group");
        let stopped = until(|| events().contains("frozen 1"));
        let (told, at) = (cgroup.is_frozen().expect("our group"), used());
        let rested = !until_for(Duration::from_millis(200), || used() > at);
        cgroup.thaw().expect("our group");
        let (thawed, runs_again) = (!cgroup.is_frozen().expect("our group"), runs());
        // A frozen one dies of it, too.
        cgroup.freeze().expect("our group");
        cgroup.kill();
        let killed = busy.wait();
        let removed = until(|| fs::remove_dir(&folder).is_ok());
        assert!(killed.is_ok() && removed, "{killed:?}");
        assert!(stopped && told && rested, "{stopped}, {told}, {rested}");
        assert!(ran && thawed && runs_again, "{ran}, {thawed}, {runs_again}");
        assert_eq!(cgroup.usage(), Usage::default(), "it is gone");
    }

    fn until(done: impl FnMut() -> bool) -> bool {
        until_for(Duration::from_secs(30), done)
    }

    fn until_for(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        let since = clock::wall();
        while !done() {
            if since.elapsed().is_ok_and(|elapsed| elapsed > limit) {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }
}
