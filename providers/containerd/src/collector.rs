//! The program that writes a replica's log: started by containerd's shim for each container, so that it goes
//! on when tidegate does not.
//!
//! ```text
//! binary:///PROGRAM?log-collector=LIMIT:PATH        what containerd is told
//! PROGRAM log-collector LIMIT:PATH                  what it runs, with the pipes as descriptors 3 and 4
//! ```
//!
//! Source: containerd's documentation of binary logging.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::sys::signal::{SigSet, Signal};
use tidegate_provider_machine::logs;

/// The first word that the program is called with.
pub const WORD: &str = "log-collector";

/// What containerd is told to do with a container's output.
pub(crate) fn address(program: &Path, log: &Path, limit: u64) -> String {
    let text = format!("{limit}:{}", log.display());
    format!("binary://{}?{WORD}={}", escaped(&program.display().to_string()), escaped(&text))
}

/// Limit and log of such an address, when it is one.
pub(crate) fn read(address: &str) -> Option<(u64, PathBuf)> {
    let (_, text) = address.strip_prefix("binary://")?.split_once('?')?;
    let text = plain(text.strip_prefix(WORD)?.strip_prefix('=')?)?;
    let (limit, path) = text.split_once(':')?;
    Some((limit.parse().ok()?, PathBuf::from(path)))
}

/// What was [`escaped`].
fn plain(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        out.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(out).ok()
}

/// All but letters, digits, `/`, `.`, `-` and `_` as `%` and two digits.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"/.-_".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Writes a replica's log until its output ends; `word` is what follows [`WORD`].
///
/// # Errors
/// When it was not started by containerd's shim, or the log cannot be written.
pub fn collect_logs(word: &str) -> io::Result<()> {
    let bad = || {
        io::Error::other(format!("{word:?} is no limit and path, such as 4194304:/var/log/x.log"))
    };
    let (limit, path) = word.split_once(':').ok_or_else(bad)?;
    let (limit, path) = (limit.parse().map_err(|_| bad())?, PathBuf::from(path));
    // At the end of a container the shim asks us to end, while its last words are still in the pipes; these
    // end then, and so do we.
    SigSet::from(Signal::SIGTERM).thread_block()?;
    let (out, err) = (pipe(3)?, pipe(4)?);
    // "Ready" is the end of this pipe, or a byte in it.
    OpenOptions::new().write(true).open("/proc/self/fd/5")?.write_all(b".")?;
    logs::collect(&path, limit, out, err)
}

/// The reading end of a pipe that we were started with.
fn pipe(descriptor: u32) -> io::Result<File> {
    let told = |failure: io::Error| {
        io::Error::new(
            failure.kind(),
            format!("descriptor {descriptor} is no pipe ({failure}); only containerd starts this"),
        )
    };
    File::open(format!("/proc/self/fd/{descriptor}")).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerd_is_told_program_limit_and_path() {
        let address =
            address(Path::new("/opt/my tools/tidegate"), Path::new("/var/l&g/fn-1.log"), 100);
        assert_eq!(
            address,
            "binary:///opt/my%20tools/tidegate?log-collector=100%3A/var/l%26g/fn-1.log"
        );
        assert_eq!(read(&address), Some((100, PathBuf::from("/var/l&g/fn-1.log"))));
    }

    #[test]
    fn addresses_of_others_are_none_of_ours() {
        for other in ["", "/run/fifo", "binary:///bin/other?x=1", "binary:///t?log-collector=1%3"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
