//! The control stream: how a replica's watchdog talks with the process that started it.
//!
//! It is one end of a Unix stream pair on fd 0. `ready` and `failed REASON` go out; nothing comes
//! in, and its end means that the parent is gone.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Notices the end of the parent.
#[derive(Debug)]
pub struct Parent(Option<OwnedReadHalf>);

/// Tells the parent how the start went.
#[derive(Debug)]
pub struct Report(Option<OwnedWriteHalf>);

/// Both halves of the stream on fd 0; without `control`, halves that do nothing.
pub fn take(control: bool) -> io::Result<(Parent, Report)> {
    if !control {
        return Ok((Parent(None), Report(None)));
    }
    let descriptor = io::stdin().as_fd().try_clone_to_owned()?;
    let stream = StdUnixStream::from(descriptor);
    // Fails when fd 0 is no socket, which is what must be found out here.
    stream.peer_addr()?;
    stream.set_nonblocking(true)?;
    let (parent, report) = UnixStream::from_std(stream)?.into_split();
    Ok((Parent(Some(parent)), Report(Some(report))))
}

impl Parent {
    /// Returns when the parent is gone; never without one.
    pub async fn gone(mut self) {
        let Some(stream) = &mut self.0 else { return std::future::pending().await };
        let mut ignored = [0; 64];
        while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
    }
}

impl Report {
    /// The function can take calls.
    pub async fn ready(&mut self) {
        self.say("ready\n").await;
    }

    /// The start failed; line ends in the reason become spaces.
    pub async fn failed(&mut self, reason: &str) {
        let reason = reason.replace(['\n', '\r'], " ");
        self.say(&format!("failed {}\n", reason.trim())).await;
    }

    async fn say(&mut self, line: &str) {
        if let Some(stream) = &mut self.0 {
            // A parent that is gone is noticed by the other half.
            let _ = stream.write_all(line.as_bytes()).await;
        }
    }
}

/// Reports a failed start before there is a runtime.
pub fn failed_early(reason: &str) {
    use std::io::Write as _;

    if let Ok(descriptor) = io::stdin().as_fd().try_clone_to_owned() {
        let line = format!("failed {}\n", reason.replace(['\n', '\r'], " ").trim());
        // There is nobody else to tell.
        let _ = StdUnixStream::from(descriptor).write_all(line.as_bytes());
    }
}
