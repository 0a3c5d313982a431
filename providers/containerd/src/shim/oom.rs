//! How a shim hears that a container ran out of memory. Both versions of control groups tell it by a file.
//!
//! Source: `Documentation/admin-guide/cgroup-v1/memory.rst`, "OOM Control", and `cgroup-v2.rst`, `memory.events`.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep;

use crate::cgroup::Hierarchy;

/// How often, and after which pauses, is looked for the kill that was told.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// What tells of one container.
#[derive(Debug)]
pub(super) struct Oom {
    /// Readable when something may have happened.
    signal: Receiver,
    /// Counts the processes that were killed.
    counts: PathBuf,
    told: Cell<u64>,
}

impl Oom {
    /// For the control group at `path` from the root.
    pub(super) fn new(hierarchy: &Hierarchy, path: &str) -> io::Result<Self> {
        let path = path.trim_start_matches('/');
        let (signal, counts) = match hierarchy {
            Hierarchy::One { memory: Some(memory), .. } => first(&memory.join(path))?,
            Hierarchy::One { .. } => return Err(io::ErrorKind::Unsupported.into()),
            Hierarchy::Two(root) => second(&root.join(path))?,
        };
        let signal = Receiver::from_owned_fd_unchecked(signal)?;
        Ok(Self { signal, counts, told: Cell::new(0) })
    }

    /// Waits until there may be [`Oom::news`]; an error says that there will be none any more.
    pub(super) async fn changed(&self) -> io::Result<()> {
        self.signal.readable().await?;
        // What is in it says no more than that it is there.
        while self.signal.try_read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
        if self.counts.exists() { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Whether more processes were killed since the last time, a moment from now: the first version tells before it
    /// kills.
    pub(super) async fn soon(&self) -> bool {
        for _ in 0..LOOKS {
            if self.news() {
                return true;
            }
            sleep(PAUSE).await;
        }
        false
    }

    /// Whether there were news.
    pub(super) fn has_told(&self) -> bool {
        self.told.get() > 0
    }

    /// Whether more processes were killed since the last time.
    pub(super) fn news(&self) -> bool {
        let text = fs::read_to_string(&self.counts).unwrap_or_default();
        kills(&text).is_some_and(|kills| kills > self.told.replace(kills))
    }
}

fn first(group: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let counts = group.join("memory.oom_control");
    let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = fs::File::open(&counts)?;
    let wish = format!("{} {}", signal.as_raw_fd(), control.as_raw_fd());
    fs::write(group.join("cgroup.event_control"), wish)?;
    Ok((signal, counts))
}

fn second(group: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let counts = group.join("memory.events");
    let signal = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&signal, &counts, inotify::WatchFlags::MODIFY)?;
    Ok((signal, counts))
}

/// Both files have a line such as `oom_kill 3`.
fn kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_count_kills() {
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), Some(2));
        assert_eq!(kills("low 0\nhigh 0\nmax 9\noom 3\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\n"), None);
    }

    #[tokio::test]
    async fn a_group_of_the_second_version_tells_once_of_each_kill() {
        let root = tempfile::tempdir().expect("a folder");
        let group = root.path().join("fn/a");
        fs::create_dir_all(&group).expect("a group");
        let events = group.join("memory.events");
        fs::write(&events, "oom 0\noom_kill 0\n").expect("written");
        let hierarchy = Hierarchy::Two(root.path().to_owned());
        let oom = Oom::new(&hierarchy, "/fn/a").expect("a file to watch");
        assert!(!oom.news());
        fs::write(&events, "oom 1\noom_kill 1\n").expect("written");
        oom.changed().await.expect("there");
        assert!(oom.soon().await);
        assert!(!oom.news(), "told");
    }
}
