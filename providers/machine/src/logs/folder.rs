//! Tells that somebody writes in a folder: what others write into logs is then read at once.
//!
//! Source: `inotify(7)`.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use tokio::io::unix::AsyncFd;

/// Room for some events; each has at most 16 bytes and a name.
const ROOM: usize = 4096;

/// A folder that is watched.
#[derive(Debug)]
pub(super) struct Folder(AsyncFd<OwnedFd>);

impl Folder {
    /// Watches a folder. Fails when it is not there, or when too many are watched.
    pub(super) fn watch(path: &Path) -> io::Result<Self> {
        let queue = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let what = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        add_watch(&queue, path, what)?;
        #[expect(deprecated, reason = "a descriptor that is owned here stays what it is")]
        let queue = AsyncFd::new(queue)?;
        Ok(Self(queue))
    }

    /// Waits until something was written since the last time; false when the folder is gone.
    pub(super) async fn changed(&self) -> bool {
        let Ok(mut ready) = self.0.readable().await else { return false };
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut events = Reader::new(self.0.get_ref(), &mut room);
        let mut there = true;
        // All that is queued is one change. An error says that there is no more.
        while let Ok(event) = events.next() {
            there &= !event.events().contains(ReadFlags::IGNORED);
        }
        ready.clear_ready();
        there
    }
}
