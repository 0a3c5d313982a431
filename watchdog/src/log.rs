//! The log: own lines on stderr, the function's on stdout and stderr.
//!
//! Nothing here waits on the calls' path. Lines go to a buffer that a thread writes out, many at a
//! time; a reader of the log that stands still costs own lines (counted), holds back the reader of
//! the function's output, and never the calls themselves.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock;

/// Bytes kept for a log reader that lags; beyond, own lines are dropped and output waits.
const MOST_BUFFERED: usize = 256 * 1024;
/// How long the writer gathers lines before it writes them in one go.
const GATHER: Duration = Duration::from_millis(1);

/// Which of the two streams a text belongs to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A handle on the log; clones share it.
#[derive(Clone, Debug)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    buffers: Mutex<Buffers>,
    /// Wakes the writing thread, and whoever waits for the end.
    changed: Condvar,
    /// Wakes readers of function output that found the buffer full.
    room: Notify,
}

#[derive(Debug, Default)]
struct Buffers {
    out: Vec<u8>,
    err: Vec<u8>,
    dropped: u64,
    writing: bool,
    closing: bool,
    closed: bool,
}

impl Buffers {
    fn len(&self) -> usize {
        self.out.len() + self.err.len()
    }
}

impl Log {
    /// Starts the writing thread.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("log".into())
            .stack_size(64 * 1024)
            .spawn(move || write_out(&writer))?;
        Ok(Self(shared))
    }

    /// One own line, stamped, on stderr.
    pub fn line(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        let mut buffers = self.lock();
        if buffers.len() > MOST_BUFFERED {
            buffers.dropped += 1;
            return;
        }
        let was_empty = buffers.len() == 0;
        buffers.err.extend_from_slice(clock::stamp().as_bytes());
        buffers.err.extend_from_slice(text.trim_end().as_bytes());
        buffers.err.push(b'\n');
        self.wake(&buffers, was_empty);
    }

    /// Text of the function, as it is; waits while the log's reader lags.
    pub async fn raw(&self, stream: Stream, text: &[u8]) {
        loop {
            let room = self.0.room.notified();
            if self.try_raw(stream, text) {
                return;
            }
            room.await;
        }
    }

    /// Text of the function, dropped when the log's reader lags.
    pub fn raw_or_drop(&self, stream: Stream, text: &[u8]) {
        if !self.try_raw(stream, text) {
            self.lock().dropped += 1;
        }
    }

    fn try_raw(&self, stream: Stream, text: &[u8]) -> bool {
        let mut buffers = self.lock();
        if buffers.len() > MOST_BUFFERED {
            return false;
        }
        let was_empty = buffers.len() == 0;
        match stream {
            Stream::Out => buffers.out.extend_from_slice(text),
            Stream::Err => buffers.err.extend_from_slice(text),
        }
        self.wake(&buffers, was_empty);
        true
    }

    /// Writes out what is left; gives up after a second on a reader that stands still.
    pub fn close(&self) {
        let mut buffers = self.lock();
        buffers.closing = true;
        self.0.changed.notify_all();
        let _ = self
            .0
            .changed
            .wait_timeout_while(buffers, Duration::from_secs(1), |buffers| !buffers.closed)
            .unwrap_or_else(PoisonError::into_inner);
    }

    fn lock(&self) -> MutexGuard<'_, Buffers> {
        self.0.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, buffers: &Buffers, was_empty: bool) {
        if was_empty && !buffers.writing {
            self.0.changed.notify_all();
        }
    }
}

fn write_out(shared: &Shared) {
    loop {
        let mut buffers = shared.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.writing = false;
        buffers = shared
            .changed
            .wait_while(buffers, |buffers| buffers.len() == 0 && !buffers.closing)
            .unwrap_or_else(PoisonError::into_inner);
        buffers.writing = true;
        if !buffers.closing {
            // Gather: under load one write then carries many lines.
            (buffers, _) = shared
                .changed
                .wait_timeout_while(buffers, GATHER, |buffers| !buffers.closing)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let out = mem::take(&mut buffers.out);
        let mut err = mem::take(&mut buffers.err);
        let dropped = mem::take(&mut buffers.dropped);
        let last = buffers.closing;
        drop(buffers);
        shared.room.notify_waiters();
        if dropped > 0 {
            let stamp = clock::stamp();
            err.extend_from_slice(format!("{stamp}{dropped} log lines dropped\n").as_bytes());
        }
        // A log that nobody reads any more is no reason to stop serving.
        let _ = io::stdout().lock().write_all(&out).and_then(|()| io::stdout().flush());
        let _ = io::stderr().lock().write_all(&err);
        if last {
            shared.buffers.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
            shared.changed.notify_all();
            return;
        }
    }
}
