//! The program that looks after containers for containerd: started by it, and asked by it to make, start, end and
//! remove them. It goes on when tidegate or containerd do not.
//!
//! ```text
//! containerd ──start──► shim PROGRAM start ──► the shim of the group          starts it unless it runs
//!            ──ttrpc──► serve ► tasks ► runc or crun                           an execution for most steps
//!            ◄─events── exits, lack of memory                                  in order, also after containerd was away
//! containerd ─delete──► shim PROGRAM delete                                   when the shim is gone
//! ```
//!
//! It writes the logs of its containers itself, and takes a few hundred kilobytes. Source: containerd's runtime v2
//! README.

mod bundle;
mod cleanup;
mod copy;
mod events;
mod exits;
mod frame;
mod init;
mod messages;
mod oci;
mod oom;
mod output;
mod process;
mod rootfs;
mod serve;
mod socket;
mod tasks;
mod words;

use std::ffi::OsStr;
use std::io::{self, Write};

pub(crate) use socket::NAME;
use words::Words;

/// What a shim answers to `--version`. The number in brackets is of what tidegate and its shim say to each other without
/// containerd's knowing (`containers::Options`): it changes with that.
pub const SHIM_VERSION: &str = concat!("tidegate-shim ", env!("CARGO_PKG_VERSION"), " (1)");

/// The first word that containerd starts a shim with.
const FIRST: &str = "-namespace";

/// Whether a program was started as a shim, with these words.
pub fn is_shim(words: &[impl AsRef<OsStr>]) -> bool {
    words.get(1).is_some_and(|word| word.as_ref() == FIRST)
}

/// Does what containerd starts a shim for.
///
/// # Errors
/// When the words are not those of a shim, or what was asked for cannot be done; containerd tells its callers.
pub fn run_shim(words: &[String]) -> io::Result<()> {
    let words = Words::read(words).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "only containerd starts this, with other words")
    })?;
    match words.action.as_deref() {
        Some("start") => io::stdout().write_all(socket::address(&words)?.as_bytes()),
        Some("delete") => cleanup::clean_up(&words),
        Some(other) => Err(io::Error::other(format!("{other:?} is nothing that a shim does"))),
        None => serve::serve(&words),
    }
}
