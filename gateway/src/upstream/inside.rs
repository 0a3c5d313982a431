//! Sockets of another network of this machine: a replica in a network namespace is reached over that network's own
//! loopback, and not over the veth pair, the bridge and the firewall in between; or, when somebody listens there, over a
//! Unix socket with a name of that network, which takes the kernel less work for each call.
//!
//! Such a name needs no file: nothing is mounted into the replica, and nothing in its file system can lead us elsewhere.
//! Whoever listens on it is a process of that replica's network, as is whoever listens on the port.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_now, socket_with,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::io::Io;

/// The network of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// Whether a replica was found not to listen on its local name: images bring watchdogs that do not know of it, and are
/// not to be asked for each connection.
#[derive(Debug, Default)]
pub(crate) struct NoLocal(AtomicBool);

impl NoLocal {
    /// It may listen now.
    pub(crate) fn forget(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_known(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn remember(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Connects as whoever lives in the network at `path` would: to the name `local`, else to `address`.
pub(crate) async fn connect(
    path: &Path,
    address: SocketAddr,
    local: &str,
    no_local: &NoLocal,
) -> io::Result<Io> {
    let asked = !no_local.is_known();
    if asked {
        match connect_local(path, local) {
            Ok(stream) => return Ok(Io::Unix(stream)),
            // Its queue is full: it listens.
            Err(failure) if failure.kind() == io::ErrorKind::WouldBlock => return Err(failure),
            Err(_) => {}
        }
    }
    let stream = connect_tcp(path, address).await?;
    // Only now: a watchdog that does not listen on its port yet may still come to listen on both.
    if asked {
        no_local.remember();
    }
    Ok(Io::Tcp(stream))
}

fn connect_local(path: &Path, name: &str) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes())?;
    let socket = socket(path, AddressFamily::UNIX)?;
    // Never waits: there is an end to connect to, or a failure.
    connect_now(&socket, &address)?;
    UnixStream::from_std(socket.into())
}

async fn connect_tcp(path: &Path, address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = TcpSocket::from_std_stream(socket(path, family)?.into());
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Makes a socket in another network, to which it belongs for ever. The thread is back in its own one before this
/// returns.
fn socket(path: &Path, family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (own, other) = (File::open(OWN)?, File::open(path)?);
    enter(&other)?;
    let made = socket_with(family, SocketType::STREAM, flags, None);
    if let Err(failure) = enter(&own) {
        // It may go back where it came from. If not, all that this thread did from now on would go astray.
        tracing::error!("a thread is lost in a replica's network: {failure}");
        std::process::abort();
    }
    Ok(made?)
}

fn enter(network: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener};
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
    use std::path::PathBuf;
    use std::process::Command;
    use std::sync::mpsc;

    use nix::sched::{CloneFlags, unshare};
    use tokio::io::AsyncReadExt;

    use super::*;

    const NAME: &str = "greeter";

    /// Somebody in a network of its own who greets whoever connects, over a port and, when told to, by name.
    struct Greeter {
        network: PathBuf,
        address: SocketAddr,
        listen: mpsc::Sender<()>,
        listens: mpsc::Receiver<()>,
    }

    impl Greeter {
        /// None when this user may not make networks.
        fn new() -> Option<Self> {
            let (tell, told) = mpsc::channel();
            let (listen, asked) = mpsc::channel();
            let (done, listens) = mpsc::channel();
            std::thread::spawn(move || {
                let up = ["link", "set", "lo", "up"];
                let ready = unshare(CloneFlags::CLONE_NEWNET).is_ok()
                    && Command::new("ip").args(up).status().is_ok_and(|it| it.success());
                if !ready {
                    return tell.send(None).expect("the test waits");
                }
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
                let task =
                    std::fs::read_link("/proc/thread-self").expect("every thread has its folder");
                let network = PathBuf::from("/proc").join(task).join("ns/net");
                let address = listener.local_addr().expect("an address");
                tell.send(Some((network, address))).expect("the test waits");
                greet(move || listener.accept().map(|it| it.0), "over a port");
                for () in asked {
                    let name = UnixAddress::from_abstract_name(NAME).expect("a good name");
                    let listener = UnixListener::bind_addr(&name).expect("nobody has it");
                    greet(move || listener.accept().map(|it| it.0), "by name");
                    done.send(()).expect("the test waits");
                }
            });
            let (network, address) = told.recv().expect("the thread tells")?;
            Some(Self { network, address, listen, listens })
        }

        async fn says(&self, no_local: &NoLocal) -> String {
            let connected = connect(&self.network, self.address, NAME, no_local).await;
            let mut said = String::new();
            connected.expect("somebody listens").read_to_string(&mut said).await.expect("text");
            said
        }
    }

    fn greet<S: Write>(accept: impl Fn() -> io::Result<S> + Send + 'static, words: &'static str) {
        std::thread::spawn(move || {
            while let Ok(mut stream) = accept() {
                stream.write_all(words.as_bytes()).expect("somebody listens");
            }
        });
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
        let Some(greeter) = Greeter::new() else {
            return skipped();
        };
        assert!(TcpStream::connect(greeter.address).await.is_err(), "nobody listens there outside");
        assert_eq!(greeter.says(&NoLocal::default()).await, "over a port");
        assert_eq!(std::fs::read_link(OWN).expect("still one"), own);
        let nowhere = Path::new("/nowhere/at/all");
        let gone = connect(nowhere, greeter.address, NAME, &NoLocal::default()).await;
        assert_eq!(gone.expect_err("no such network").kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_name_is_tried_first_and_not_again_for_as_long_as_nobody_has_it() {
        let Some(greeter) = Greeter::new() else {
            return skipped();
        };
        let (known, fresh) = (NoLocal::default(), NoLocal::default());
        let unused = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let refused = connect(&greeter.network, unused, NAME, &fresh).await;
        let refused = refused.expect_err("nobody listens at all").kind();
        assert_eq!((refused, fresh.is_known()), (io::ErrorKind::ConnectionRefused, false));
        assert_eq!(greeter.says(&known).await, "over a port");
        greeter.listen.send(()).expect("the thread waits");
        greeter.listens.recv().expect("it listens");
        assert_eq!(greeter.says(&known).await, "over a port");
        assert_eq!(greeter.says(&fresh).await, "by name");
        known.forget();
        assert_eq!(greeter.says(&known).await, "by name");
    }
}
