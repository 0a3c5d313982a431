//! What replicas write, kept in a file each, bounded: `TIME STREAM TEXT` a line.
//!
//! ```text
//! pipe ──► LogFile (REPLICA.log, turned over to REPLICA.log.1) ──nudge──► LogBoard ──► readers
//! fd 3, 4 ──► collect, in another process ──► LogFile ······· its folder is watched ··········┘
//! ```
//!
//! Readers take lines from the files, never from the writer: a slow one holds nobody up and needs no memory.

mod collector;
mod file;
mod folder;
mod reader;
mod replica;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use futures_util::StreamExt;
use tidegate_core::FunctionId;
use tidegate_provider::LogStream;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::host::Runner;

pub use collector::collect;
pub use file::{Cutter, LONGEST_LINE, LogFile, Origin};
pub(crate) use reader::{Query, read};
pub(crate) use replica::Log;

/// Ends the name of a replica's log file.
pub(crate) const ENDING: &str = ".log";
/// Ends the name of the file before it.
const OLDER: &str = ".log.1";

/// What of a log is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Only of this replica.
    pub instance: Option<String>,
    /// Only lines since then.
    pub since: Option<SystemTime>,
    /// At most so many of the newest lines.
    pub tail: Option<usize>,
    /// Whether lines to come are wanted, too.
    pub follow: bool,
}

/// Streams logs in `folder` that other processes write. Must be called within a tokio runtime; lines are said to
/// be of `owner`.
pub fn of_others(owner: FunctionId, folder: PathBuf, wish: Wish) -> LogStream {
    let Wish { instance, since, tail, follow } = wish;
    let query = Query { function: owner, folder, instance, since, tail, follow, by_others: true };
    let (board, runner) = (LogBoard::default(), Runner::new("logs", TaskTracker::new()));
    let lines = read(runner, query, board.subscribe());
    // Readers end with the board.
    Box::pin(lines.inspect(move |_| {
        let _ = &board;
    }))
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
