//! Writes a replica's log in a process of its own, one that outlives tidegate.

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::{Cutter, LogFile, Origin};
use crate::clock;

/// Copies standard output and standard error of a replica to its log file, until both have ended. `path` and
/// `limit` are those of [`crate::Life::log_path`] and [`crate::Settings::log_bytes`]. Blocks.
///
/// # Errors
/// When the file cannot be opened; the pipes are then read to their ends all the same, so that the replica is
/// not held up.
pub fn collect(
    path: &Path,
    limit: u64,
    out: impl Read + Send,
    err: impl Read + Send,
) -> io::Result<()> {
    let file = path.parent().map_or(Ok(()), crate::durable::make_folder);
    let file = file.and_then(|()| LogFile::open(path, limit));
    let (file, failure) = match file {
        Ok(file) => (Some(Mutex::new(file)), Ok(())),
        Err(failure) => (None, Err(failure)),
    };
    let file = file.as_ref();
    std::thread::scope(|scope| {
        scope.spawn(move || copy(err, Origin::Err, file));
        copy(out, Origin::Out, file);
    });
    failure
}

fn copy(mut pipe: impl Read, origin: Origin, file: Option<&Mutex<LogFile>>) {
    let mut cutter = Cutter::default();
    loop {
        let (pending, room) = cutter.room();
        let before = pending.len();
        pending.resize(before + room, 0);
        let read = loop {
            match pipe.read(&mut pending[before..]) {
                Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
                read => break read.unwrap_or(0),
            }
        };
        pending.truncate(before + read);
        let mut lines = String::new();
        let at = clock::wall();
        cutter.cut(read == 0, |line| lines += &origin.line(at, &String::from_utf8_lossy(line)));
        if let Some(file) = file
            && !lines.is_empty()
        {
            file.lock().unwrap_or_else(PoisonError::into_inner).write(lines.as_bytes());
        }
        if read == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_are_kept_line_by_line_and_the_file_is_turned_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("function/r-1.log");
        let long = "x".repeat(3000);
        let out: String = (0..20).map(|number| format!("{number} {long}\r\n")).collect();
        collect(&path, 40_000, out.as_bytes(), &b"no end of line"[..]).expect("a new file");
        let read = |path: &Path| std::fs::read_to_string(path).expect("a log");
        let lines = read(&path.with_extension("log.1")) + &read(&path);
        let texts = |origin: &str| -> Vec<String> {
            let words = lines.lines().map(|line| line.splitn(3, ' ').collect::<Vec<_>>());
            words.filter(|it| it[1] == origin).map(|it| it[2].to_owned()).collect()
        };
        assert_eq!(texts("stderr"), ["no end of line"]);
        assert_eq!(texts("stdout"), out.lines().map(str::to_owned).collect::<Vec<_>>());
    }
}
