//! A log file that is turned over at a limit, and how output is cut into its lines.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use super::OLDER;

/// A longer line is cut into lines of this many bytes.
pub const LONGEST_LINE: usize = 16 << 10;

/// Where a line came from.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// The backend, about the replica.
    Provider,
}

/// A replica's log file; the one before it has `.1` after its name.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    written: u64,
    limit: u64,
}

/// Cuts output into lines.
#[derive(Debug, Default)]
pub struct Cutter {
    pending: Vec<u8>,
}

impl LogFile {
    /// Opens the file for writing after what is there; it is turned over when it would grow beyond `limit`
    /// bytes.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = append(path)?;
        let written = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, written, limit })
    }

    /// Writes whole lines. Returns whether the file was turned over first. To the page cache only, which does
    /// not wait: a log is worth no sync. A full disk loses lines, not the replica.
    pub fn write(&mut self, lines: &[u8]) -> bool {
        let turn_over = self.written > 0 && self.written + lines.len() as u64 > self.limit;
        if turn_over
            && fs::rename(&self.path, older(&self.path)).is_ok()
            && let Ok(file) = append(&self.path)
        {
            self.file = file;
            self.written = 0;
        }
        if self.file.write_all(lines).is_ok() {
            self.written += lines.len() as u64;
        }
        turn_over
    }
}

impl Cutter {
    /// Where output is read to, and how much of it at most before [`Cutter::cut`].
    pub fn room(&mut self) -> (&mut Vec<u8>, usize) {
        let room = LONGEST_LINE - self.pending.len();
        (&mut self.pending, room)
    }

    /// Takes whole lines out; all there is when nothing more comes or it has grown too long. Each line is
    /// given to `each` without its end.
    pub fn cut(&mut self, ended: bool, mut each: impl FnMut(&[u8])) {
        let whole = self.pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let take = if ended || whole == 0 && self.pending.len() >= LONGEST_LINE {
            self.pending.len()
        } else {
            whole
        };
        if take == 0 {
            return;
        }
        let lines: Vec<u8> = self.pending.drain(..take).collect();
        for line in lines.strip_suffix(b"\n").unwrap_or(&lines).split(|byte| *byte == b'\n') {
            each(line.strip_suffix(b"\r").unwrap_or(line));
        }
    }
}

impl Origin {
    /// The word in the file.
    pub fn label(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
            Self::Provider => "tidegate",
        }
    }

    /// The line of a file for this text.
    pub fn line(self, at: SystemTime, text: &str) -> String {
        let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
        format!("{at} {} {text}\n", self.label())
    }
}

/// The file before this one.
pub(super) fn older(path: &Path) -> PathBuf {
    path.with_extension(&OLDER[1..])
}

/// Opens a file to write after what is there; only its owner reads it.
pub(super) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}
