//! What was read of small files, for as long as it is what the files hold.
//!
//! To have another thread read a file costs more than all the rest of an answer, and whether a read
//! would wait for a disk cannot be asked on every file system: not on overlayfs, on which containers
//! live, nor on tmpfs. Whether the file is still the one that was read can, without waiting: the
//! kernel is asked for what it has in memory, and nothing else.
//!
//! A file that was written has other times. Two things could hide a change: a clock that ticks
//! slower than files are written, wherefore only what has been at rest for [`REST`] is kept; and
//! writing through a mapping, which does not show in the times at once, wherefore nothing is kept
//! for longer than [`LONGEST`].

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, Statx, StatxFlags, StatxTimestamp, openat2, statx,
};
use tokio::time::Instant;

use super::Facts;
use crate::clock;

/// Most bytes kept.
const MOST: usize = 2 << 20;
/// How long a file must not have changed. Source: clocks of file systems tick in 10 ms or less on
/// Linux, in 2 s on FAT.
const REST: Duration = Duration::from_secs(3);
/// How long content is kept before it is read again.
const LONGEST: Duration = Duration::from_secs(1);

/// Contents of files.
#[derive(Debug)]
pub struct Kept {
    rest: Duration,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    by_path: HashMap<PathBuf, File>,
    bytes: usize,
}

/// A file's content.
#[derive(Clone, Debug)]
pub struct File {
    /// Its length and date.
    pub facts: Facts,
    /// Its content type.
    pub kind: &'static str,
    /// All of it.
    pub content: Bytes,
    mark: Mark,
    read_at: Instant,
}

/// What is another when a file is another, or was written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    device: (u32, u32),
    inode: u64,
    length: u64,
    modified: (i64, u32),
    changed: (i64, u32),
}

impl Default for Kept {
    fn default() -> Self {
        Self::after_a_rest_of(REST)
    }
}

impl Kept {
    /// Keeps what has not changed for this long.
    pub fn after_a_rest_of(rest: Duration) -> Self {
        Self { rest, files: Mutex::default() }
    }

    /// The content of what is at `path`, if it is here and still the same. Never waits.
    pub fn find(&self, path: &Path) -> Option<File> {
        let found = self.lock().by_path.get(path).cloned()?;
        if clock::now() - found.read_at > LONGEST {
            return None;
        }
        // Unable to tell without waiting, the kernel refuses; so does one that does not know how.
        let (flags, resolve) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::CACHED);
        let file = openat2(CWD, path, flags, Mode::empty(), resolve).ok()?;
        (Mark::of(&file)? == found.mark).then_some(found)
    }

    /// Keeps the content of what is at `path`, read between two looks at `mark`.
    pub fn keep(&self, path: &Path, mark: Mark, kind: &'static str, content: Bytes, facts: Facts) {
        if mark.rested(clock::wall()).is_some_and(|span| span >= self.rest) {
            let file = File { facts, kind, content, mark, read_at: clock::now() };
            self.lock().insert(path, file);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File {
    /// `count` bytes from `start` on; as many as there are.
    pub fn part(&self, start: u64, count: u64) -> Bytes {
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.content.len());
        self.content.slice(within(start)..within(start.saturating_add(count)))
    }
}

impl Files {
    fn insert(&mut self, path: &Path, file: File) {
        let size = |path: &Path, file: &File| path.as_os_str().len() + file.content.len();
        if let Some(old) = self.by_path.remove(path) {
            self.bytes -= size(path, &old);
        }
        let more = size(path, &file);
        if self.bytes + more > MOST {
            self.by_path.retain(|_, old| file.read_at - old.read_at <= LONGEST);
            self.bytes = self.by_path.iter().map(|(path, old)| size(path, old)).sum();
        }
        if self.bytes + more <= MOST {
            self.bytes += more;
            self.by_path.insert(path.to_owned(), file);
        }
    }
}

impl Mark {
    /// The mark of an open file, as far as the kernel knows it without asking anybody.
    pub fn of(file: impl AsFd) -> Option<Self> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let found: Statx = statx(file, c"", flags, StatxFlags::BASIC_STATS).ok()?;
        let time = |time: StatxTimestamp| (time.tv_sec, time.tv_nsec);
        Some(Self {
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            length: found.stx_size,
            modified: time(found.stx_mtime),
            changed: time(found.stx_ctime),
        })
    }

    /// How long the file has not changed at `now`; none when its times are ahead of that.
    fn rested(&self, now: Duration) -> Option<Duration> {
        let (seconds, nanos) = self.modified.max(self.changed);
        now.checked_sub(Duration::new(u64::try_from(seconds).unwrap_or(0), nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark =
        Mark { device: (0, 1), inode: 2, length: 3, modified: (90, 5), changed: (100, 0) };

    fn file(length: usize, read_at: Instant) -> File {
        let facts = Facts { length: length as u64, modified: None };
        File { facts, kind: "text/plain", content: vec![0; length].into(), mark: MARK, read_at }
    }

    #[test]
    fn the_later_of_a_files_times_says_how_long_it_has_rested() {
        assert_eq!(MARK.rested(Duration::from_secs(103)), Some(Duration::from_secs(3)));
        assert_eq!(MARK.rested(Duration::from_secs(99)), None);
    }

    #[test]
    fn a_file_that_just_changed_is_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "x").expect("a file");
        let mark = Mark::of(std::fs::File::open(&path).expect("a file")).expect("a mark");
        let facts = Facts { length: 1, modified: None };
        let kept = Kept::after_a_rest_of(Duration::from_secs(3600));
        kept.keep(&path, mark, "text/plain", "x".into(), facts);
        assert!(kept.lock().by_path.is_empty());
    }

    #[test]
    fn no_more_is_kept_than_a_bound_and_the_old_makes_room() {
        let mut files = Files::default();
        let then = clock::now();
        let piece = MOST / 8;
        for number in 0..20 {
            files.insert(Path::new(&format!("/{number}")), file(piece, then));
            files.insert(Path::new(&format!("/{number}")), file(piece - 100, then));
            assert!(files.bytes <= MOST);
        }
        assert_eq!(files.by_path.len(), 8);
        files.insert(Path::new("/new"), file(piece, then + LONGEST * 2));
        assert_eq!(files.by_path.len(), 1);
        assert!(files.by_path.contains_key(Path::new("/new")) && files.bytes < piece + 10);
    }
}
