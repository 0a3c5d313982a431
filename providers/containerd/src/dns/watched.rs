//! A file that others write and we read, again whenever it has changed.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// No file of names is larger; what is beyond is not read.
const LARGEST: u64 = 1 << 20;

/// What is in a file, as it was read when the file last changed. No file is an empty one.
#[derive(Debug)]
pub(super) struct Watched<T> {
    path: PathBuf,
    read: fn(&str) -> T,
    seen: Mutex<(Option<Stamp>, Arc<T>)>,
}

/// Tells one state of a file from another: when it was written, its length, and which file it is.
type Stamp = (i64, i64, u64, u64);

impl<T> Watched<T> {
    /// The file at `path`, understood by `read`.
    pub(super) fn new(path: PathBuf, read: fn(&str) -> T) -> Self {
        Self { path, read, seen: Mutex::new((None, Arc::new(read("")))) }
    }

    /// What is in it. Looks at the file each time; meant for small files on fast disks.
    pub(super) fn get(&self) -> Arc<T> {
        let stamp = std::fs::metadata(&self.path)
            .ok()
            .map(|it| (it.mtime(), it.mtime_nsec(), it.len(), it.ino()));
        // What is kept is replaced as a whole.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != stamp {
            *seen = (stamp, Arc::new((self.read)(&self.text())));
        }
        Arc::clone(&seen.1)
    }

    fn text(&self) -> String {
        let mut bytes = Vec::new();
        if let Ok(file) = File::open(&self.path) {
            // What was read before a failure is worth having.
            let _ = file.take(LARGEST).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("words");
        let watched = Watched::new(path.clone(), str::to_owned);
        assert_eq!(*watched.get(), "");
        std::fs::write(&path, "one").expect("a file");
        assert_eq!(*watched.get(), "one");
        assert!(Arc::ptr_eq(&watched.get(), &watched.get()), "read without need");
        let next = folder.path().join("next");
        std::fs::write(&next, "two").expect("a file");
        std::fs::rename(&next, &path).expect("the same folder");
        assert_eq!(*watched.get(), "two");
        std::fs::remove_file(&path).expect("it was there");
        assert_eq!(*watched.get(), "");
    }
}
