//! What makes containers, when it is small, as a copy in memory that nobody can change.
//!
//! A container could write to the program that entered it, so crun executes itself a second time, from where it cannot be
//! changed, each time it is executed: twice the start of a program with a dozen of libraries. It leaves that out where it already
//! is such a copy, and one copy serves all steps of a busy time. Source: CVE-2019-5736, `memfd_create(2)`, and `F_ADD_SEALS` in
//! `fcntl(2)`; that crun 1.8.1 leaves it out was seen by strace.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fchmod, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::programs::is_executable;

/// Larger programs stay where they are: runc has 9 MB, and each shim would have its own copy.
const LARGEST: u64 = 1 << 20;
/// How programs begin that the kernel executes itself. Others are read by one that would not find the copy.
const MAGIC: &[u8] = b"\x7fELF";
/// How long a copy is kept after it was last asked for.
const KEPT: Duration = Duration::from_secs(2);

/// The copy that is kept, if any.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    kept: Mutex<Option<Kept>>,
    used: Notify,
}

#[derive(Debug)]
struct Kept {
    of: Original,
    copy: Arc<OwnedFd>,
    /// How often it was asked for.
    uses: u64,
}

/// A file, which is another one when it was replaced or written to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Original {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

/// To be kept until the program was started, so that the kernel finds the copy.
pub(super) type Open = Option<Arc<OwnedFd>>;

impl Copies {
    /// What executes a program: a copy of it where that is known to be better.
    pub(super) fn command(&self, program: &str) -> (Command, Open) {
        let Some(copy) = self.get(program) else { return (Command::new(program), None) };
        let mut command = Command::new(format!("/proc/self/fd/{}", copy.as_raw_fd()));
        command.arg0(program);
        (command, Some(copy))
    }

    /// None when it is large, or no program that the kernel executes itself; it is executed as it is then, and when there can be
    /// no copy.
    fn get(&self, program: &str) -> Option<Arc<OwnedFd>> {
        let path = path(program)?;
        let mut kept = self.lock();
        let of = Original::new(&path).ok()?;
        if kept.as_ref().is_none_or(|it| it.of != of) {
            let copy = Arc::new(copy_of(&path).ok()??);
            *kept = Some(Kept { of, copy, uses: 0 });
        }
        let it = kept.as_mut()?;
        it.uses += 1;
        self.0.used.notify_one();
        Some(it.copy.clone())
    }

    /// Drops what nobody asked for a while ago, for ever.
    pub(super) async fn tend(self) {
        let uses = || self.lock().as_ref().map(|it| it.uses);
        loop {
            self.0.used.notified().await;
            let mut before = None;
            while uses() != before {
                before = uses();
                sleep(KEPT).await;
            }
            *self.lock() = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Original {
    fn new(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// Where a program is, by its name or its path.
fn path(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(program.into());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|it| it.join(program)).find(|it| is_executable(it))
}

/// None when it is large, or no program that the kernel executes itself.
fn copy_of(path: &Path) -> io::Result<Option<OwnedFd>> {
    let mut program = File::open(path)?;
    let mut begin = Vec::new();
    (&program).take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    if begin != MAGIC || program.metadata()?.len() > LARGEST {
        return Ok(None);
    }
    program.rewind()?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let name = path.file_name().unwrap_or_default();
    let file = match memfd_create(name, flags | MemfdFlags::EXEC) {
        // Kernels before 6.3 do not know the flag, and need none.
        Err(Errno::INVAL) => memfd_create(name, flags)?,
        file => file?,
    };
    fchmod(&file, 0o500.into())?;
    let mut file = File::from(file);
    // The kernel copies it; room for it on the heap would stay.
    let copied = io::copy(&mut program.take(LARGEST + 1), &mut file)?;
    if copied > LARGEST {
        return Ok(None);
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals)?;
    Ok(Some(file.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(copies: &Copies) -> (String, bool) {
        let (mut command, open) = copies.command("cat");
        let output = command.args(["/proc/self/comm", "/proc/self/cmdline"]).output();
        let output = output.expect("it runs").stdout;
        (String::from_utf8_lossy(&output).into_owned(), open.is_some())
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_program_is_executed_from_a_copy_that_is_kept_for_a_while() {
        let copies = Copies::default();
        let (said, copied) = said(&copies);
        assert!(copied && !said.starts_with("cat\n"), "it is the copy: {said}");
        assert!(said.contains("\ncat\0"), "under its own name: {said}");
        let copy = copies.get("cat").expect("kept");
        assert!(Arc::ptr_eq(&copy, &copies.get("cat").expect("kept")), "the same");
        assert!(
            io::Write::write(&mut File::from(copy.try_clone().expect("a descriptor")), b"x")
                .is_err(),
            "sealed"
        );
        let tending = copies.clone().tend();
        tokio::select! {
            () = tending => {}
            () = sleep(KEPT / 2) => assert!(copies.lock().is_some(), "it was just asked for"),
        }
        let tending = copies.clone().tend();
        copies.get("cat");
        tokio::select! {
            () = tending => {}
            () = sleep(KEPT * 4) => {}
        }
        assert!(copies.lock().is_none(), "nobody asked for it");
    }

    #[tokio::test]
    async fn what_was_replaced_is_copied_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("program");
        fs::copy(path("cat").expect("there"), &program).expect("copied");
        let copies = Copies::default();
        let name = program.display().to_string();
        let before = copies.get(&name).expect("small");
        fs::remove_file(&program).expect("ours");
        fs::copy(path("true").expect("there"), &program).expect("copied");
        assert!(!Arc::ptr_eq(&before, &copies.get(&name).expect("small")));
    }

    #[tokio::test]
    async fn what_is_large_a_script_or_not_there_is_executed_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).expect("written");
            path.display().to_string()
        };
        let mut large = MAGIC.to_vec();
        large.resize((1 << 20) + 1, 0);
        for program in [write("script", b"#!/bin/sh\n"), write("large", &large), "/none".to_owned()]
        {
            let (command, _) = Copies::default().command(&program);
            assert_eq!(command.get_program(), program.as_str());
        }
    }
}
