//! What replicas write, kept in a file each, bounded: `TIME STREAM TEXT` a line.
//!
//! ```text
//! pipe ──► LogFile (REPLICA.log, turned over to REPLICA.log.1) ──nudge──► LogBoard ──► readers
//! ```
//!
//! Readers take lines from the files, never from the writer: a slow one holds nobody up and needs no memory.

mod reader;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

pub(crate) use reader::{Query, read};

/// A longer line is cut into lines of this many bytes.
pub(crate) const LONGEST_LINE: usize = 16 << 10;
/// Ends the name of a replica's log file.
const ENDING: &str = ".log";
/// Ends the name of the file before it.
const OLDER: &str = ".log.1";
/// How much of the last error line users see in a replica's detail.
const LONGEST_DETAIL: usize = 300;

/// Where a line came from.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// This backend, about the replica.
    Provider,
}

/// Tells readers of a function's log that there is more. Costs next to nothing until somebody reads.
#[derive(Debug, Default)]
pub(crate) struct LogBoard {
    sender: OnceLock<Box<watch::Sender<Notice>>>,
    closed: AtomicBool,
}

/// What readers are told.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Notice {
    /// Counts files that appeared or were turned over.
    pub(crate) files: u64,
    /// Whether the function is gone.
    pub(crate) closed: bool,
}

/// One replica's log.
#[derive(Debug)]
pub(crate) struct Log {
    file: Mutex<LogFile>,
    last_error: Mutex<String>,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    written: u64,
    limit: u64,
}

impl LogBoard {
    /// A reader's end.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Notice> {
        let sender = self.sender.get_or_init(Box::default);
        // Whoever closed before the sender was there could not tell it.
        if self.is_closed() {
            sender.send_modify(|notice| notice.closed = true);
        }
        sender.subscribe()
    }

    /// Readers end when they have read what there is.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Some(sender) = self.sender.get() {
            sender.send_modify(|notice| notice.closed = true);
        }
    }

    /// Whether the function is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn written(&self, turned_over: bool) {
        if let Some(sender) = self.sender.get() {
            sender.send_modify(|notice| notice.files += u64::from(turned_over));
        }
    }
}

impl Log {
    /// Opens the log of `replica` in `folder`, and goes on after what is there.
    pub(crate) fn open(
        folder: &Path,
        replica: &str,
        limit: u64,
        board: &LogBoard,
    ) -> io::Result<Self> {
        crate::durable::make_folder(folder)?;
        let path = folder.join(format!("{replica}{ENDING}"));
        let file = append(&path)?;
        let written = file.metadata()?.len();
        board.written(true);
        Ok(Self {
            file: Mutex::new(LogFile { path, file, written, limit }),
            last_error: Mutex::default(),
        })
    }

    /// Writes one line.
    pub(crate) fn line(&self, at: SystemTime, origin: Origin, text: &str, board: &LogBoard) {
        let mut chunk = Vec::new();
        self.add(&mut chunk, at, origin, text.as_bytes());
        self.write(&chunk, board);
    }

    /// The last line written to standard error, shortened.
    pub(crate) fn last_error(&self) -> String {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the last error line: it belongs to an earlier life.
    pub(crate) fn forget_last_error(&self) {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Copies what comes from `pipe` until its end; `after` is called after each chunk.
    pub(crate) async fn copy(
        &self,
        pipe: impl AsyncRead + Unpin,
        origin: Origin,
        board: &LogBoard,
        after: impl Fn(),
    ) {
        let mut pipe = pipe;
        let mut pending = Vec::with_capacity(LONGEST_LINE);
        loop {
            let room = LONGEST_LINE - pending.len();
            let read = (&mut pipe).take(room as u64).read_buf(&mut pending).await;
            let ended = !matches!(read, Ok(count) if count > 0);
            let chunk = self.cut(&mut pending, ended, origin);
            if !chunk.is_empty() {
                self.write(&chunk, board);
                after();
            }
            if ended {
                return;
            }
        }
    }

    /// Takes whole lines out of `pending`; all of it when nothing more comes or it has grown too long.
    fn cut(&self, pending: &mut Vec<u8>, ended: bool, origin: Origin) -> Vec<u8> {
        let whole = pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let take = if ended || whole == 0 && pending.len() >= LONGEST_LINE {
            pending.len()
        } else {
            whole
        };
        let lines: Vec<u8> = pending.drain(..take).collect();
        let at = crate::clock::wall();
        let mut chunk = Vec::with_capacity(lines.len() + 64);
        for line in lines.strip_suffix(b"\n").unwrap_or(&lines).split(|byte| *byte == b'\n') {
            if take > 0 {
                self.add(&mut chunk, at, origin, line);
            }
        }
        chunk
    }

    fn add(&self, chunk: &mut Vec<u8>, at: SystemTime, origin: Origin, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = String::from_utf8_lossy(line);
        if origin == Origin::Err
            && let Some(error) = said_by_function(&text)
        {
            let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
            *last = error.chars().take(LONGEST_DETAIL).collect();
        }
        let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
        chunk.extend(format!("{at} {} {text}\n", origin.label()).into_bytes());
    }

    /// To the page cache only, which does not wait: a log is worth no sync.
    fn write(&self, chunk: &[u8], board: &LogBoard) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let turned_over = file.write(chunk);
        drop(file);
        board.written(turned_over);
    }
}

impl LogFile {
    /// Whether the file was turned over. A full disk loses lines, not the replica.
    fn write(&mut self, chunk: &[u8]) -> bool {
        let turn_over = self.written > 0 && self.written + chunk.len() as u64 > self.limit;
        if turn_over
            && fs::rename(&self.path, self.path.with_extension(&OLDER[1..])).is_ok()
            && let Ok(file) = append(&self.path)
        {
            self.file = file;
            self.written = 0;
        }
        if self.file.write_all(chunk).is_ok() {
            self.written += chunk.len() as u64;
        }
        turn_over
    }
}

impl Origin {
    fn label(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
            Self::Provider => "tidegate",
        }
    }
}

/// What the function itself said in a line of the watchdog's standard error; the watchdog's own lines begin
/// with a time, and what it passes on is then marked.
fn said_by_function(line: &str) -> Option<&str> {
    const STAMP: usize = "2006/01/02 15:04:05 ".len();
    let stamped = |stamp: &str| {
        stamp.bytes().all(|byte| byte.is_ascii_digit() || b"/: ".contains(&byte))
            && stamp.contains('/')
    };
    let text = match line.split_at_checked(STAMP) {
        Some((stamp, rest)) if stamped(stamp) => rest.strip_prefix("stderr: ")?,
        _ => line,
    };
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Replicas with a log in `folder`, in order of their names.
fn replicas(folder: &Path) -> Vec<String> {
    let names = crate::durable::names(folder).unwrap_or_default();
    let mut replicas: Vec<String> = names
        .iter()
        .filter_map(|name| name.strip_suffix(ENDING).or_else(|| name.strip_suffix(OLDER)))
        .map(str::to_owned)
        .collect();
    replicas.dedup();
    replicas
}

/// Removes the logs of ended replicas, but for the newest `keeps`.
pub(crate) fn prune(folder: &Path, lives: impl Fn(&str) -> bool, keeps: usize) {
    let last_written = |replica: &String| {
        fs::metadata(folder.join(format!("{replica}{ENDING}")))
            .and_then(|file| file.modified())
            .ok()
    };
    let mut ended: Vec<String> =
        replicas(folder).into_iter().filter(|replica| !lives(replica)).collect();
    ended.sort_by_cached_key(last_written);
    for replica in ended.iter().take(ended.len().saturating_sub(keeps)) {
        for ending in [ENDING, OLDER] {
            // The older one may never have been.
            let _ = fs::remove_file(folder.join(format!("{replica}{ending}")));
        }
    }
    // Only empty folders go.
    let _ = fs::remove_dir(folder);
    let _ = folder.parent().map(fs::remove_dir);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_watchdog_says_itself_is_no_error_of_the_function() {
        let stamp = "2026/11/21 06:07:10 ";
        assert_eq!(said_by_function(&format!("{stamp}Listening on port: 8080")), None);
        assert_eq!(
            said_by_function(&format!("{stamp}stderr: no such table\r")),
            Some("no such table")
        );
        assert_eq!(
            said_by_function("Traceback (most recent call last):"),
            Some("Traceback (most recent call last):")
        );
        assert_eq!(said_by_function("  "), None);
    }
}
