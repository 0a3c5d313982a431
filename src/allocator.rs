//! How the C library keeps memory that was given back: for all threads at once, in few places.
//!
//! glibc keeps some of it for each thread that gave it back, takes it from sixty-four places on eight cores, and no longer gives
//! large pieces back to the machine once there was one. A program that does little most of the time keeps much of that for
//! nothing: what was measured is in docs/decisions/0011-memory-that-was-given-back.md. The C library is told before
//! `main`, so the program executes itself once more.

use std::env::current_exe;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use tidegate_core::Vars;

/// What glibc reads. Source: the GNU C Library manual, "Tunables".
const TUNABLES: &str = "GLIBC_TUNABLES";
/// Pieces from here on are the machine's again when they are given back, in bytes. It is what glibc begins with; said, it does not
/// grow with the largest piece that was ever given back.
const LARGE: usize = 128 << 10;
/// Says that this is the second time. Not what was set then: glibc takes that away, from 2.39 on, where a program has
/// capabilities of its file, and it would be executed for ever.
const AGAIN: &str = "_TIDEGATE_AGAIN";
/// How names of what its allocator reads begin.
const ALLOCATOR: &str = "glibc.malloc.";

/// Executes the program anew with what keeps memory low, unless it was or somebody chose otherwise. Returns when there is
/// nothing to do, or it cannot be done: then it takes more memory.
pub(crate) fn settle(vars: &Vars) {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) || vars.is_set(AGAIN) {
        return;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let Some(wanted) = tunables(vars.get(TUNABLES), threads) else { return };
    let Ok(program) = current_exe() else { return };
    if is_loader(&program) {
        return;
    }
    let mut words = std::env::args_os();
    let mut again = Command::new(program);
    again.arg0(words.next().unwrap_or_else(|| OsString::from("tidegate")));
    // Comes back only when it failed.
    let _ = again.args(words).env(TUNABLES, wanted).env(AGAIN, "1").exec();
}

/// Whether it was started as `ld-linux-x86-64.so.2 tidegate`: the words are not the loader's.
fn is_loader(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name.as_bytes().starts_with(b"ld-"))
}

/// None when something is said of the allocator already: by us, or by whoever knows better.
fn tunables(told: Option<&str>, threads: usize) -> Option<String> {
    let told = told.unwrap_or_default();
    if told.contains(ALLOCATOR) {
        return None;
    }
    let ours =
        [("tcache_count", 0), ("mxfast", 0), ("arena_max", threads), ("mmap_threshold", LARGE)];
    let ours = ours.map(|(name, value)| format!("{ALLOCATOR}{name}={value}"));
    let others = told.split(':').filter(|it| !it.is_empty()).map(str::to_owned);
    Some(others.chain(ours).collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_is_not_executed_again() {
        assert!(is_loader(Path::new("/lib64/ld-linux-x86-64.so.2")));
        assert!(!is_loader(Path::new("/usr/local/bin/tidegate")));
    }

    #[test]
    fn what_others_said_stays_and_what_they_said_of_the_allocator_is_all() {
        let ours = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0:glibc.malloc.arena_max=2\
            :glibc.malloc.mmap_threshold=131072";
        assert_eq!(tunables(None, 2).as_deref(), Some(ours));
        assert_eq!(tunables(Some(""), 2).as_deref(), Some(ours));
        let other = "glibc.pthread.rseq=0";
        assert_eq!(tunables(Some(other), 2), Some(format!("{other}:{ours}")));
        assert_eq!(tunables(Some(ours), 8), None, "it is done");
        assert_eq!(tunables(Some("glibc.malloc.tcache_count=7"), 2), None, "somebody chose");
    }
}
