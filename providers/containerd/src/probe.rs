//! Whether a replica is ready: it answers an HTTP call.
//!
//! A connection alone proves nothing: the kernel accepts them for processes that stand still.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{sleep, timeout};

/// Between tries at first: a small server is ready within a millisecond or two.
const SHORT: Duration = Duration::from_micros(500);
const SHORT_TRIES: u32 = 60;
/// Pauses after that, doubled each time.
const FIRST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);
/// Longest that one try may take.
const TRY: Duration = Duration::from_secs(5);
/// Longest head of an answer that is looked at.
const HEAD: usize = 1024;

/// Waits until `address` answers a GET of `path` with anything but a server's error.
pub(crate) async fn ready(address: SocketAddr, path: &str) {
    let mut ticks = Ticks::every(SHORT).ok();
    let mut pause = FIRST;
    for attempt in 0_u32.. {
        if let Ok(Ok(true)) = timeout(TRY, ask(address, path)).await {
            return;
        }
        if attempt == SHORT_TRIES {
            ticks = None;
        }
        match &mut ticks {
            Some(ticks) => ticks.next().await,
            None => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST);
            }
        }
    }
}

/// A timer on a file descriptor: tokio's own waits in whole milliseconds, and one more.
#[derive(Debug)]
struct Ticks {
    /// Not a pipe, but read like one: 8 bytes when the time has come.
    timer: Receiver,
}

impl Ticks {
    fn every(span: Duration) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let span = Timespec { tv_sec: 0, tv_nsec: span.subsec_nanos().into() };
        let spec = Itimerspec { it_interval: span, it_value: span };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(Self { timer: Receiver::from_owned_fd_unchecked(timer)? })
    }

    async fn next(&mut self) {
        // Room for more than the 8 bytes: a short read tells tokio that nothing is left.
        if self.timer.read(&mut [0; 16]).await.is_err() {
            sleep(SHORT).await;
        }
    }
}

async fn ask(address: SocketAddr, path: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let call = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(call.as_bytes()).await?;
    let mut head = Vec::new();
    while status(&head).is_none() && head.len() < HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(status(&head).is_some_and(|status| (100..500).contains(&status)))
}

/// The status of an answer, once its first line is whole enough.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?;
    std::str::from_utf8(line.get(2..5)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn a_status_is_read_as_soon_as_it_is_there() {
        assert_eq!(status(b"HTTP/1.1 503 Service"), Some(503));
        assert_eq!(status(b"HTTP/1.0 404"), Some(404));
        assert_eq!(status(b"HTTP/1.1 20"), None);
        assert_eq!(status(b"SSH-2.0-OpenSSH"), None);
    }

    #[tokio::test]
    async fn who_errs_is_asked_again_until_it_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            for answer in ["", "HTTP/1.1 503 Busy\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let _ = stream.write_all(answer.as_bytes()).await;
                let mut rest = Vec::new();
                let _ = timeout(Duration::from_millis(50), stream.read_to_end(&mut rest)).await;
            }
        });
        ready(address, "/_/health").await;
        server.await.expect("all three were asked for");
    }
}
