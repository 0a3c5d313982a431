//! The record of a live scale loop: counts only, written beside the loop so that a slow disk holds nothing up.
//!
//! ```text
//! decider.rs ─► Recorder ─► Tap ─► memory ─► Pages::write, twice a second ─► FILE
//! ```
//!
//! A record with a gap could not be replayed, so it ends for good, with a warning, when it is as large as it
//! may be or when the disk does not keep up. One of an earlier run is kept beside it as `FILE.1`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_autoscaler::Config;
use tidegate_simulator::record::Recorder;
use tracing::{info, warn};

/// How often what was recorded goes to the file.
const EVERY: Duration = Duration::from_millis(500);
/// Most bytes that may wait for the disk.
const MOST_WAITING: usize = 64 << 20;

/// What is recorded and not written yet.
#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Bytes that the file may still take.
    room: u64,
    /// Nothing follows, since the recorder is gone.
    closed: bool,
    /// Nothing follows, for this reason.
    ended: Option<&'static str>,
}

/// The recorder's end.
struct Tap(Arc<Mutex<Waiting>>);

/// The file's end; see [`Pages::write`].
#[derive(Debug)]
pub struct Pages {
    waiting: Arc<Mutex<Waiting>>,
    file: File,
    path: PathBuf,
}

/// Begins a record of at most `limit` bytes at `path`, of decisions made with these settings.
///
/// # Errors
/// When the file cannot be made.
pub fn begin(path: &Path, limit: u64, config: &Config) -> io::Result<(Recorder, Pages)> {
    if fs::metadata(path).is_ok_and(|earlier| earlier.is_file() && earlier.len() > 0) {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".1");
        fs::rename(path, aside)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let waiting = Arc::new(Mutex::new(Waiting { room: limit, ..Waiting::default() }));
    let recorder = Recorder::new(Box::new(Tap(Arc::clone(&waiting))), config);
    Ok((recorder, Pages { waiting, file, path: path.to_owned() }))
}

impl Write for Tap {
    /// Takes whole lines, as the recorder gives them.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = lock(&self.0);
        let bytes = line.len() as u64;
        if bytes > waiting.room {
            waiting.ended = Some("it is as large as TIDEGATE_RECORD_LIMIT allows");
        } else if waiting.lines.len() + line.len() > MOST_WAITING {
            waiting.ended = Some("the disk does not keep up");
        }
        if waiting.ended.is_some() {
            return Err(io::Error::other("the record has ended"));
        }
        waiting.room -= bytes;
        waiting.lines.extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        lock(&self.0).closed = true;
    }
}

impl Pages {
    /// Writes until the recorder is gone and all is written, or the record has ended.
    pub async fn write(self) {
        let Self { waiting, mut file, path } = self;
        info!(path = %path.display(), "what the scale loop sees and decides is recorded");
        loop {
            let (lines, last, ended) = {
                let mut waiting = lock(&waiting);
                let last = waiting.closed || waiting.ended.is_some();
                (std::mem::take(&mut waiting.lines), last, waiting.ended)
            };
            let written = tokio::task::spawn_blocking(move || {
                let written = file.write_all(&lines);
                (file, written)
            });
            let Ok((same, written)) = written.await else { return };
            file = same;
            if let Err(error) = written {
                lock(&waiting).ended = Some("it cannot be written");
                warn!(path = %path.display(), %error, "the record has ended: it cannot be written");
                return;
            }
            if let Some(why) = ended {
                warn!(path = %path.display(), why, "the record has ended: {why}");
            }
            if last {
                return;
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    // Lines are whole in it whoever panicked elsewhere.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::{FunctionId, Moment};

    fn cat() -> FunctionId {
        FunctionId::parse("cat").expect("a good name")
    }

    async fn lines(limit: u64, gone: u32) -> (Vec<String>, bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("night.record");
        let (mut recorder, pages) = begin(&path, limit, &Config::default()).expect("a file");
        for nanos in 0..gone {
            recorder.gone(Moment::from_nanos(u64::from(nanos)), &cat());
        }
        let failed = recorder.has_failed();
        drop(recorder);
        pages.write().await;
        let text = fs::read_to_string(&path).expect("written");
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        (text.lines().map(str::to_owned).collect(), failed)
    }

    #[tokio::test(start_paused = true)]
    async fn all_is_written_and_no_more_than_fits_in_whole_lines() {
        let (all, failed) = lines(1 << 20, 3).await;
        assert_eq!((all.len(), failed), (5, false));
        assert_eq!(all[4], "gone,2,cat.openfaas-fn");
        let head = (all[0].len() + all[1].len() + 2) as u64;
        let (few, failed) = lines(head + 30, 3).await;
        assert_eq!((few.len(), failed), (3, true));
    }

    #[test]
    fn an_earlier_record_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("night.record");
        fs::write(&path, "earlier").expect("written");
        let _now = begin(&path, 1 << 20, &Config::default()).expect("a file");
        let aside = fs::read_to_string(folder.path().join("night.record.1"));
        assert_eq!(aside.expect("kept"), "earlier");
    }
}
