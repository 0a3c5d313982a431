//! Sockets of another network of this machine: a replica in a network namespace is reached over that network's own
//! loopback, and not over the veth pair, the bridge and the firewall in between.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::{TcpSocket, TcpStream};

/// The network of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// Connects to `address` as whoever lives in the network at `path` would.
pub(crate) async fn connect(path: &Path, address: SocketAddr) -> io::Result<TcpStream> {
    // A socket belongs for ever to the network that its maker was in.
    TcpSocket::from_std_stream(socket(path, address)?).connect(address).await
}

/// Makes a socket in another network. The thread is back in its own one before this returns.
fn socket(path: &Path, address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (own, other) = (File::open(OWN)?, File::open(path)?);
    enter(&other)?;
    let made = socket_with(family, SocketType::STREAM, flags, None);
    if let Err(failure) = enter(&own) {
        // It may go back where it came from. If not, all that this thread did from now on would go astray.
        tracing::error!("a thread is lost in a replica's network: {failure}");
        std::process::abort();
    }
    Ok(made?.into())
}

fn enter(network: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener};
    use std::path::PathBuf;
    use std::process::Command;
    use std::sync::mpsc;

    use nix::sched::{CloneFlags, unshare};
    use tokio::io::AsyncReadExt;

    use super::*;

    /// A thread in a network of its own that greets whoever connects to it. Tells its network and where it
    /// listens, or nothing when this user may not make networks.
    fn greeter() -> Option<(PathBuf, SocketAddr)> {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let up = ["link", "set", "lo", "up"];
            let ready = unshare(CloneFlags::CLONE_NEWNET).is_ok()
                && Command::new("ip").args(up).status().is_ok_and(|it| it.success());
            if !ready {
                return tell.send(None);
            }
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let task =
                std::fs::read_link("/proc/thread-self").expect("every thread has its folder");
            let network = PathBuf::from("/proc").join(task).join("ns/net");
            tell.send(Some((network, listener.local_addr().expect("an address"))))?;
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.write_all(b"hello from inside").expect("somebody listens");
            Ok(())
        });
        told.recv().expect("the thread tells")
    }

    #[expect(clippy::disallowed_methods, reason = "where the run collects what was skipped")]
    fn skipped() {
        let why = "connections into other networks: this user may not make networks";
        eprintln!("skipped {why}");
        if let Ok(path) = std::env::var("TIDEGATE_TEST_SKIPS") {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            file.and_then(|mut file| writeln!(file, "{why}")).expect("the list of skips");
        }
    }

    #[tokio::test]
    async fn whoever_listens_in_another_network_is_reached_and_the_thread_stays_in_its_own() {
        let own = std::fs::read_link(OWN).expect("every thread has a network");
        let Some((network, address)) = greeter() else {
            return skipped();
        };
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens there outside");
        let mut stream = connect(&network, address).await.expect("somebody listens inside");
        let mut said = String::new();
        stream.read_to_string(&mut said).await.expect("text");
        assert_eq!(said, "hello from inside");
        assert_eq!(std::fs::read_link(OWN).expect("still one"), own);
        let gone = connect(Path::new("/nowhere/at/all"), address).await;
        assert_eq!(gone.expect_err("no such network").kind(), io::ErrorKind::NotFound);
    }
}
