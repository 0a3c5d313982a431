//! Networks with a name: made before the container that is to live in one, and there until they are removed,
//! whatever happens to the container.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{UnmountFlags, mount_bind, unmount};

use crate::netlink;

/// Makes a network that is reached by `path`, with its loopback interface up. Blocks for about a millisecond.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?;
    let place = path.to_owned();
    // A thread of its own: it ends in the new network, and nothing else must ever run there.
    let made = std::thread::Builder::new().name("network".to_owned()).spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        netlink::loopback_up()?;
        mount_bind("/proc/thread-self/ns/net", &place)?;
        io::Result::Ok(())
    });
    let made = made?.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")));
    if made.is_err() {
        // The name is free for another try.
        let _ = std::fs::remove_file(path);
    }
    made
}

/// Removes a network; that it is gone already is fine. Blocks.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    // Not mounted, when a crash came between the file and the mount.
    let _ = unmount(path, UnmountFlags::DETACH);
    match std::fs::remove_file(path) {
        Err(failure) if failure.kind() != io::ErrorKind::NotFound => Err(failure),
        _ => Ok(()),
    }
}
