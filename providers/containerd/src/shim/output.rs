//! Where the output of a container's processes goes: to its log, which the shim writes itself, to a FIFO, or nowhere.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use tidegate_provider_machine::durable;
use tidegate_provider_machine::logs::{Cutter, LogFile, Origin};
use tokio::net::unix::pipe::Receiver;

use crate::collector;

/// Where one process's output goes.
#[derive(Debug)]
pub(super) struct Output {
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    log: Option<Log>,
}

/// A log to be written until both pipes have ended.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    limit: u64,
    out: OwnedFd,
    err: OwnedFd,
}

impl Output {
    /// As containerd says where it goes.
    pub(super) fn new(stdin: &str, stdout: &str, stderr: &str) -> io::Result<Self> {
        let stdin = fifo(stdin, OpenOptions::new().read(true).custom_flags(NONBLOCK))?;
        if let Some((limit, path)) = collector::read(stdout) {
            let (out, stdout) = io::pipe()?;
            let (err, stderr) = io::pipe()?;
            let log = Log { path, limit, out: out.into(), err: err.into() };
            return Ok(Self {
                stdin,
                stdout: stdout.into(),
                stderr: stderr.into(),
                log: Some(log),
            });
        }
        // For reading too: that does not wait until somebody reads.
        let mut both = OpenOptions::new();
        both.read(true).write(true);
        Ok(Self { stdin, stdout: fifo(stdout, &both)?, stderr: fifo(stderr, &both)?, log: None })
    }

    /// Gives it to a process. Returns the log that comes of it.
    pub(super) fn give(self, command: &mut Command) -> Option<Log> {
        command.stdin(self.stdin).stdout(self.stdout).stderr(self.stderr);
        self.log
    }
}

#[expect(clippy::cast_possible_wrap, reason = "a flag is one bit, not the highest")]
const NONBLOCK: i32 = OFlags::NONBLOCK.bits() as i32;

fn fifo(path: &str, options: &OpenOptions) -> io::Result<Stdio> {
    if path.is_empty() {
        return Ok(Stdio::null());
    }
    let path = path.strip_prefix("fifo://").unwrap_or(path);
    if path.contains("://") {
        let why = format!("output cannot go to {path:?}: only to a FIFO, or to tidegate's logs");
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let file: File = options.open(path)?;
    // Whose reads and writes do wait.
    rustix::io::ioctl_fionbio(&file, false)?;
    Ok(file.into())
}

impl Log {
    /// Writes it until both have ended. Where it cannot be opened what comes is lost, and holds nobody up.
    pub(super) async fn write(self) {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let file =
            durable::make_folder(folder).and_then(|()| LogFile::open(&self.path, self.limit));
        let file = std::cell::RefCell::new(file.ok());
        tokio::join!(copy(self.out, Origin::Out, &file), copy(self.err, Origin::Err, &file));
    }
}

async fn copy(pipe: OwnedFd, origin: Origin, file: &std::cell::RefCell<Option<LogFile>>) {
    let Ok(pipe) = Receiver::from_owned_fd(pipe) else { return };
    let mut cutter = Cutter::default();
    loop {
        // Whoever is silent needs no room.
        if pipe.readable().await.is_err() {
            return;
        }
        let (pending, room) = cutter.room();
        let before = pending.len();
        pending.resize(before + room, 0);
        let read = match pipe.try_read(&mut pending[before..]) {
            Err(failure) if failure.kind() == io::ErrorKind::WouldBlock => None,
            read => Some(read.unwrap_or(0)),
        };
        pending.truncate(before + read.unwrap_or(0));
        let Some(read) = read else { continue };
        let mut lines = String::new();
        let at = crate::clock::wall();
        cutter.cut(read == 0, |line| lines += &origin.line(at, &String::from_utf8_lossy(line)));
        if let Some(file) = file.borrow_mut().as_mut()
            && !lines.is_empty()
        {
            file.write(lines.as_bytes());
        }
        if read == 0 {
            return;
        }
        cutter.room().0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_streams_come_to_the_log_until_they_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("function/r-1.log");
        let address = collector::address(Path::new("/bin/tidegate"), &path, 1 << 20);
        let output = Output::new("", &address, &address).expect("a log");
        let mut command = Command::new("sh");
        let log = output.give(command.args(["-c", "echo out; echo err >&2; echo -n end"]));
        let ended = tokio::task::spawn_blocking(move || command.status());
        log.expect("to be written").write().await;
        assert!(ended.await.expect("no panic").expect("a shell").success());
        let text = std::fs::read_to_string(path).expect("a log");
        let mut lines: Vec<&str> =
            text.lines().filter_map(|line| line.split_once(' ')).map(|it| it.1).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["stderr err", "stdout end", "stdout out"]);
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_written_holds_nobody_up() {
        let address = collector::address(Path::new("/t"), Path::new("/proc/none/r.log"), 100);
        let output = Output::new("", &address, &address).expect("a log");
        let mut command = Command::new("sh");
        // More than a pipe holds.
        let log = output.give(command.args(["-c", "head -c 1000000 /dev/zero"]));
        let ended = tokio::task::spawn_blocking(move || command.status());
        log.expect("to be read").write().await;
        assert!(ended.await.expect("no panic").expect("a shell").success());
    }

    #[test]
    fn output_goes_to_a_fifo_or_nowhere_and_to_no_unknown_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("a FIFO");
        let mut reads = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(&path);
        let output = Output::new("", path.to_str().expect("text"), "").expect("a FIFO");
        let mut command = Command::new("echo");
        assert!(output.give(command.arg("hello")).is_none(), "no log");
        assert!(command.status().expect("echo").success());
        let mut said = [0; 10];
        let read = std::io::Read::read(reads.as_mut().expect("opened"), &mut said);
        assert_eq!(&said[..read.expect("said")], b"hello\n");
        for unknown in ["binary:///bin/other?x=1", "file:///tmp/log"] {
            let failure = Output::new("", unknown, unknown).expect_err("unknown");
            assert_eq!(failure.kind(), io::ErrorKind::Unsupported);
        }
    }
}
