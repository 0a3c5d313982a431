//! One replica's log as the engine sees it: its file, its last error line, and who is told of new lines.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::file::{append, older};
use super::{Cutter, ENDING, LogBoard, LogFile, Origin};
use crate::clock;

/// How much of the last error line users see in a replica's detail.
const LONGEST_DETAIL: usize = 300;
/// How much of a file that others write is searched for the last error line, in bytes.
const LAST_WORDS: u64 = 64 << 10;

/// One replica's log.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    /// The engine: all lines pass through here.
    Own { file: Mutex<LogFile>, last_error: Mutex<String> },
    /// A process that outlives tidegate; the engine adds a line of its own now and then.
    Other { life: Mutex<SystemTime> },
}

impl Log {
    /// Opens the log of `replica` in `folder`, and goes on after what is there.
    pub(crate) fn open(
        folder: &Path,
        replica: &str,
        limit: u64,
        by_others: bool,
        board: &LogBoard,
    ) -> io::Result<Self> {
        crate::durable::make_folder(folder)?;
        let path = path(folder, replica);
        let file = LogFile::open(&path, limit)?;
        board.written(true);
        if by_others {
            return Ok(Self::of_others(folder, replica));
        }
        let writer = Writer::Own { file: Mutex::new(file), last_error: Mutex::default() };
        Ok(Self { path, writer })
    }

    /// The log of a replica that is written by others, or not at all.
    pub(crate) fn of_others(folder: &Path, replica: &str) -> Self {
        let writer = Writer::Other { life: Mutex::new(SystemTime::UNIX_EPOCH) };
        Self { path: path(folder, replica), writer }
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one line.
    pub(crate) fn line(&self, at: SystemTime, origin: Origin, text: &str, board: &LogBoard) {
        self.write(origin.line(at, text).as_bytes(), board);
    }

    /// The last line written to standard error in this life, shortened. Blocks.
    pub(crate) fn last_error(&self) -> String {
        match &self.writer {
            Writer::Own { last_error, .. } => lock(last_error).clone(),
            Writer::Other { life } => self.search(*lock(life)).unwrap_or_default(),
        }
    }

    /// A new life begins: the last error line belongs to an earlier one.
    pub(crate) fn begin_life(&self) {
        match &self.writer {
            Writer::Own { last_error, .. } => lock(last_error).clear(),
            Writer::Other { life } => *lock(life) = clock::wall(),
        }
    }

    /// Copies what comes from `pipe` until its end; `after` is called after each chunk.
    pub(crate) async fn copy(
        &self,
        mut pipe: impl AsyncRead + Unpin,
        origin: Origin,
        board: &LogBoard,
        after: impl Fn(),
    ) {
        let mut cutter = Cutter::default();
        loop {
            let (pending, room) = cutter.room();
            let read = (&mut pipe).take(room as u64).read_buf(pending).await;
            let ended = !matches!(read, Ok(count) if count > 0);
            let at = clock::wall();
            let mut lines = String::new();
            cutter.cut(ended, |line| lines += &self.said(at, origin, line));
            if !lines.is_empty() {
                self.write(lines.as_bytes(), board);
                after();
            }
            if ended {
                return;
            }
        }
    }

    fn said(&self, at: SystemTime, origin: Origin, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(line);
        if let Writer::Own { last_error, .. } = &self.writer
            && origin == Origin::Err
            && let Some(error) = said_by_function(&text)
        {
            *lock(last_error) = error.chars().take(LONGEST_DETAIL).collect();
        }
        origin.line(at, &text)
    }

    fn write(&self, lines: &[u8], board: &LogBoard) {
        let turned_over = match &self.writer {
            Writer::Own { file, .. } => lock(file).write(lines),
            // Opened anew each time, since the one who writes there turns it over.
            Writer::Other { .. } => {
                // As with a full disk: lines are lost.
                let _ = append(&self.path).and_then(|mut file| file.write_all(lines));
                false
            }
        };
        board.written(turned_over);
    }

    /// Looks for the last error line since `life` began at the ends of the files.
    fn search(&self, life: SystemTime) -> Option<String> {
        let found = |path: &Path| last_error_in(&end_of(path).unwrap_or_default(), life);
        found(&self.path).or_else(|| found(&older(&self.path)))
    }
}

/// Where a replica logs.
pub(crate) fn path(folder: &Path, replica: &str) -> PathBuf {
    let name = format!("{replica}{ENDING}");
    // Kept as long as the replica: a path that is joined has room for more.
    let mut path = PathBuf::with_capacity(folder.as_os_str().len() + 1 + name.len());
    path.extend([folder, Path::new(&name)]);
    path
}

fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS)))?;
    let mut end = Vec::new();
    file.take(LAST_WORDS).read_to_end(&mut end)?;
    Ok(end)
}

fn last_error_in(lines: &[u8], since: SystemTime) -> Option<String> {
    let lines = lines.rsplit(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    for line in lines {
        let mut words = line.splitn(3, ' ');
        let (at, origin, text) = (words.next()?, words.next(), words.next());
        let Ok(at) = at.parse::<Timestamp>() else { continue };
        if SystemTime::from(at) < since {
            return None;
        }
        if origin == Some(Origin::Err.label())
            && let Some(error) = text.and_then(said_by_function)
        {
            return Some(error.chars().take(LONGEST_DETAIL).collect());
        }
    }
    None
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in these sections can stop half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
