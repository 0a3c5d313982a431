//! The lock file `$TMPDIR/.lock`: there while the function is fit to serve.
//!
//! Exec probes and Docker health checks look for it. It is written after the listener is bound and
//! removed on every way out; one left by an earlier run is removed at start. An advisory lock on it
//! tells a left one from that of a watchdog still alive, which is not touched.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The lock file; removed when this is dropped.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    suppressed: bool,
    held: Mutex<Option<File>>,
}

impl LockFile {
    /// Where the lock file lies, for a temporary directory.
    pub fn path_in(temporary: &Path) -> PathBuf {
        temporary.join(".lock")
    }

    /// A lock not yet written; one left by an earlier run is removed.
    pub fn new(temporary: &Path, suppressed: bool) -> Self {
        let path = Self::path_in(temporary);
        if !suppressed
            && let Ok(left) = File::open(&path)
            && !matches!(left.try_lock(), Err(TryLockError::WouldBlock))
        {
            // Should it stay, writing it will report why.
            let _ = fs::remove_file(&path);
        }
        Self { path, suppressed, held: Mutex::default() }
    }

    /// Writes the file, and its folder when that is missing.
    pub fn write(&self) -> io::Result<()> {
        if self.suppressed {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o660).open(&self.path)?;
        // A file system without locks costs the telling apart, not the start.
        let _ = file.try_lock();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    /// Whether the file is there; a suppressed one always is.
    pub fn is_held(&self) -> bool {
        self.suppressed || self.path.exists()
    }

    /// Removes the file, if this process wrote it.
    pub fn remove(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if held.is_some() {
            // Whoever removed it before us wanted the same.
            let _ = fs::remove_file(&self.path);
        }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        self.remove();
    }
}
