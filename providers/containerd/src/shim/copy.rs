//! What makes containers, when it is small, as a copy in memory that nobody can change.
//!
//! A container could write to the program that entered it, so crun makes such a copy of itself each time it is executed, and
//! executes that: twice the start of a program with a dozen of libraries. It leaves that out where it already is one, and
//! one copy serves all steps of a busy time. Source: CVE-2019-5736, `memfd_create(2)`, and `F_ADD_SEALS` in `fcntl(2)`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fchmod, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

/// Larger programs stay where they are: runc has 9 MB, and each shim would have its own copy.
const LARGEST: u64 = 1 << 20;
/// How programs begin that the kernel executes itself. Others are read by one that would not find the copy.
const MAGIC: &[u8] = b"\x7fELF";
/// How long a copy is kept after it was last asked for.
const KEPT: Duration = Duration::from_secs(2);

/// The copy that is kept, if any.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies(Arc<Mutex<Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    program: String,
    copy: Arc<OwnedFd>,
    /// How often it was asked for.
    uses: u64,
}

/// To be kept until the program was started, so that the kernel finds the copy.
pub(super) type Open = Option<Arc<OwnedFd>>;

impl Copies {
    /// What executes a program: a copy of it where that is known to be better.
    pub(super) fn command(&self, program: &str) -> (Command, Open) {
        use std::os::unix::process::CommandExt;
        let Some(copy) = self.get(program) else { return (Command::new(program), None) };
        let mut command = Command::new(format!("/proc/self/fd/{}", copy.as_raw_fd()));
        command.arg0(program);
        (command, Some(copy))
    }

    fn get(&self, program: &str) -> Option<Arc<OwnedFd>> {
        let mut kept = self.lock();
        if kept.as_ref().is_none_or(|it| it.program != program) {
            // Without a copy it works as well.
            let copy = copy_of(&path(program)?).ok()??;
            *kept = Some(Kept { program: program.to_owned(), copy: Arc::new(copy), uses: 0 });
        }
        let it = kept.as_mut()?;
        it.uses += 1;
        let (copy, uses) = (it.copy.clone(), it.uses);
        drop(kept);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let copies = self.clone();
            runtime.spawn(async move {
                tokio::time::sleep(KEPT).await;
                copies.lock().take_if(|it| it.uses == uses);
            });
        }
        Some(copy)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a program is, by its name or its path.
fn path(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(program.into());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|it| it.join(program)).find(|it| it.is_file())
}

/// None when it is large, or no program that the kernel executes itself.
fn copy_of(path: &std::path::Path) -> io::Result<Option<OwnedFd>> {
    if fs::metadata(path)?.len() > LARGEST {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    if !bytes.starts_with(MAGIC) {
        return Ok(None);
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let name = path.file_name().unwrap_or_default();
    let file = match memfd_create(name, flags | MemfdFlags::EXEC) {
        // Kernels before 6.3 do not know the flag, and need none.
        Err(Errno::INVAL) => memfd_create(name, flags)?,
        file => file?,
    };
    fchmod(&file, 0o500.into())?;
    let mut file = File::from(file);
    file.write_all(&bytes)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals)?;
    Ok(Some(file.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(copies: &Copies, program: &str) -> (String, bool) {
        let (mut command, open) = copies.command(program);
        let output = command.args(["-c", "echo $0; cat /proc/$$/comm"]).output().expect("it runs");
        (String::from_utf8_lossy(&output.stdout).into_owned(), open.is_some())
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_program_is_executed_from_a_copy_that_is_kept_for_a_while() {
        let copies = Copies::default();
        let (said, copied) = said(&copies, "sh");
        assert!(copied && said.starts_with("sh\n"), "{said}");
        assert!(!said.ends_with("sh\n"), "it is the copy: {said}");
        let copy = copies.get("sh").expect("kept");
        assert!(Arc::ptr_eq(&copy, &copies.get("sh").expect("kept")), "the same");
        assert!(File::from(copy.try_clone().expect("a descriptor")).write(b"x").is_err(), "sealed");
        tokio::time::sleep(KEPT * 2).await;
        assert!(copies.lock().is_none(), "nobody asked for it");
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
