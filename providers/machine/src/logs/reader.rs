//! Reads a function's logs, merged by time, as a stream.
//!
//! Files are read in batches on blocking threads, so that one reader holds at most a batch. The last lines
//! (`tail`) are found by reading all, since several files share them; files are bounded.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tidegate_core::FunctionId;
use tidegate_provider::{LogLine, LogStream, ReplicaId};
use tokio::sync::watch;
use tokio::time::timeout;

use super::file::older;
use super::folder::Folder;
use super::{LONGEST_LINE, Notice};
use crate::host::Runner;

/// Lines read at once.
const BATCH: usize = 256;
/// Pause between two looks at files that others write, where their folder cannot be watched.
const LOOK: Duration = Duration::from_millis(200);
/// Most bytes kept for `tail`: a wish for more gets the newest of them.
const LARGEST_TAIL: usize = 8 << 20;

/// What a reader wants.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) function: FunctionId,
    pub(crate) folder: PathBuf,
    pub(crate) instance: Option<String>,
    pub(crate) since: Option<SystemTime>,
    pub(crate) tail: Option<usize>,
    pub(crate) follow: bool,
    /// Whether others write the files, and so nobody tells of new lines.
    pub(crate) by_others: bool,
}

/// Streams what `query` asks for; `notices` tells of new lines.
pub(crate) fn read(runner: Runner, query: Query, notices: watch::Receiver<Notice>) -> LogStream {
    let stream = Stream {
        runner,
        notices,
        follow: query.follow,
        by_others: query.by_others,
        folder: None,
        reader: Some(Reader { query, cursors: Vec::new(), first: true, files: None }),
        ready: VecDeque::new(),
        closing: false,
    };
    Box::pin(futures_util::stream::unfold(stream, |mut stream| async {
        let line = stream.next().await?;
        Some((Ok(line), stream))
    }))
}

struct Stream {
    runner: Runner,
    notices: watch::Receiver<Notice>,
    follow: bool,
    by_others: bool,
    /// Where others write, once it is watched.
    folder: Option<Folder>,
    /// Away while a batch is read.
    reader: Option<Reader>,
    ready: VecDeque<LogLine>,
    closing: bool,
}

impl Stream {
    async fn next(&mut self) -> Option<LogLine> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            // Taken before reading, so that a line written meanwhile wakes this again.
            let notice = *self.notices.borrow_and_update();
            let files = (!self.by_others).then_some(notice.files);
            let mut reader = self.reader.take()?;
            let (reader, batch) = self
                .runner
                .blocking(move || {
                    let batch = reader.batch(files);
                    (reader, batch)
                })
                .await
                .ok()?;
            self.reader = Some(reader);
            self.ready = batch;
            if !self.ready.is_empty() {
                continue;
            }
            if !self.follow || self.closing {
                return None;
            }
            // Once more after the end, for lines written before it.
            self.closing = notice.closed || !self.more().await;
        }
    }

    /// Waits until there may be more lines; false when the function is gone.
    async fn more(&mut self) -> bool {
        if !self.by_others {
            return self.notices.changed().await.is_ok();
        }
        let Some(folder) = &self.folder else {
            let path = self.reader.as_ref().map(|reader| reader.query.folder.as_path());
            self.folder = path.and_then(|path| Folder::watch(path).ok());
            // What was written before it was watched must be looked for.
            return self.folder.is_some() || self.look_later().await;
        };
        tokio::select! {
            changed = self.notices.changed() => changed.is_ok(),
            there = folder.changed() => {
                if !there {
                    self.folder = None;
                }
                true
            }
        }
    }

    async fn look_later(&mut self) -> bool {
        timeout(LOOK, self.notices.changed()).await.map_or(true, |changed| changed.is_ok())
    }
}

struct Reader {
    query: Query,
    cursors: Vec<Cursor>,
    first: bool,
    /// The state of the files that the cursors know.
    files: Option<u64>,
}

/// A place in one replica's log.
struct Cursor {
    instance: ReplicaId,
    path: PathBuf,
    /// What is read now, then what comes after it.
    files: VecDeque<BufReader<File>>,
    newest: Option<u64>,
    partial: Vec<u8>,
    next: Option<LogLine>,
}

impl Reader {
    /// The next lines; none when all there is has been read.
    fn batch(&mut self, files: Option<u64>) -> VecDeque<LogLine> {
        self.find_files(files);
        if std::mem::take(&mut self.first)
            && let Some(tail) = self.query.tail
        {
            return self.tail(tail);
        }
        (0..BATCH).map_while(|_| self.line()).collect()
    }

    fn tail(&mut self, most: usize) -> VecDeque<LogLine> {
        let mut last = VecDeque::new();
        let mut bytes = 0;
        while let Some(line) = self.line() {
            bytes += line.text.len();
            last.push_back(line);
            while last.len() > most || bytes > LARGEST_TAIL {
                bytes -= last.pop_front().map_or(bytes, |line| line.text.len());
            }
        }
        last
    }

    /// The earliest line that was not read yet.
    fn line(&mut self) -> Option<LogLine> {
        for cursor in &mut self.cursors {
            cursor.fill(&self.query);
        }
        let earliest = self
            .cursors
            .iter_mut()
            .filter(|cursor| cursor.next.is_some())
            .min_by_key(|cursor| cursor.next.as_ref().map(|line| line.at))?;
        earliest.next.take()
    }

    /// Takes in new replicas and files that were turned over, when there are any.
    fn find_files(&mut self, files: Option<u64>) {
        if files.is_some() && self.files == files {
            return;
        }
        self.files = files;
        for replica in super::replicas(&self.query.folder) {
            let wanted = self.query.instance.as_ref().is_none_or(|instance| *instance == replica);
            let known = self.cursors.iter().any(|cursor| cursor.instance.as_str() == replica);
            if wanted && !known {
                self.cursors.push(Cursor::new(&self.query.folder, &replica));
            }
        }
        for cursor in &mut self.cursors {
            cursor.find_files();
        }
        // Logs of long-gone replicas that were removed and read to the end. One that is just being turned
        // over has only its older file.
        self.cursors.retain(|cursor| {
            let exists = || cursor.path.exists() || older(&cursor.path).exists();
            cursor.next.is_some() || !cursor.files.is_empty() && exists()
        });
    }
}

impl Cursor {
    fn new(folder: &Path, replica: &str) -> Self {
        Self {
            instance: ReplicaId::new(replica),
            path: super::replica::path(folder, replica),
            files: VecDeque::new(),
            newest: None,
            partial: Vec::new(),
            next: None,
        }
    }

    /// Opens files that came since the last look: at first both, later those after the one being read.
    fn find_files(&mut self) {
        let Some(newest) = File::open(&self.path).ok().and_then(inode) else { return };
        if self.newest == Some(newest.0) {
            return;
        }
        let older = File::open(older(&self.path)).ok().and_then(inode);
        if let Some((number, file)) = older {
            // Turned over once, it is the one being read; twice, it was never seen.
            if self.newest != Some(number) && number != newest.0 {
                self.files.push_back(BufReader::new(file));
            }
        }
        self.files.push_back(BufReader::new(newest.1));
        self.newest = Some(newest.0);
    }

    fn fill(&mut self, query: &Query) {
        while self.next.is_none() {
            let Some(file) = self.files.front_mut() else { return };
            let read = file.read_until(b'\n', &mut self.partial).unwrap_or(0);
            if self.partial.last() != Some(&b'\n') {
                // The end for now. An older file gets no more; a half line in it is lost.
                if self.files.len() == 1 {
                    return;
                }
                self.files.pop_front();
                self.partial.clear();
                continue;
            }
            debug_assert!(read <= 4 * LONGEST_LINE, "lines are cut when written");
            self.next = parse(&self.partial, &self.instance, &query.function)
                .filter(|line| query.since.is_none_or(|since| line.at >= since));
            self.partial.clear();
        }
    }
}

fn inode(file: File) -> Option<(u64, File)> {
    let number = file.metadata().ok()?.ino();
    Some((number, file))
}

fn parse(line: &[u8], instance: &ReplicaId, function: &FunctionId) -> Option<LogLine> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let mut words = line.splitn(3, ' ');
    let at: Timestamp = words.next()?.parse().ok()?;
    let _origin = words.next()?;
    let text = words.next()?.to_owned();
    Some(LogLine { function: function.clone(), instance: instance.clone(), at: at.into(), text })
}
