//! Where calls arrive: a TCP port, a TCP address or a Unix socket, with a path or without.
//!
//! A Unix socket left by a dead process is replaced; one that answers is taken, like a port.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{
    SocketAddr as UnixAddress, UnixListener as StdUnixListener, UnixStream as StdUnixStream,
};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A port on all addresses, IPv6 and IPv4.
    Port(u16),
    /// One address.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
    /// A name in the network that this process is in.
    Name(String),
}

/// A bound listener.
#[derive(Debug)]
pub enum Listener {
    /// On TCP.
    Tcp(TcpListener),
    /// On a path; the file goes with the listener.
    Unix(UnixListener, SocketFile),
    /// On a name in this network, which has no file.
    Name(UnixListener, String),
}

/// A socket's file, removed when this is dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

/// An accepted connection.
#[derive(Debug)]
pub enum Connection {
    /// On TCP.
    Tcp(TcpStream),
    /// On a Unix socket.
    Unix(UnixStream),
}

impl Address {
    /// Reads `unix:/path`, `tcp:ADDRESS:PORT`, `ADDRESS:PORT` or a port.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Self::Unix(path.into()));
        }
        let text = text.strip_prefix("tcp:").unwrap_or(text);
        let port_only = text.strip_prefix(':').unwrap_or(text);
        port_only.parse().map(Self::Port).or_else(|_| text.parse().map(Self::Tcp)).ok()
    }

    /// Reads `@name`: a socket that only processes of the same network can connect to.
    ///
    /// There is no file, so that none has to be shared, and none can be replaced by something else.
    pub fn parse_name(text: &str) -> Option<Self> {
        let name = text.strip_prefix('@')?;
        let good = !name.is_empty() && UnixAddress::from_abstract_name(name).is_ok();
        good.then(|| Self::Name(name.to_owned()))
    }

    /// Binds it.
    pub async fn bind(&self) -> io::Result<Listener> {
        match self {
            Self::Port(port) => {
                let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port));
                match TcpListener::bind(all).await {
                    // A kernel without IPv6.
                    Err(fault) if fault.kind() != io::ErrorKind::AddrInUse => {
                        TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).await
                    }
                    bound => bound,
                }
                .map(Listener::Tcp)
            }
            Self::Tcp(address) => TcpListener::bind(address).await.map(Listener::Tcp),
            Self::Unix(path) => bind_unix(path),
            Self::Name(name) => bind_name(name),
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    let bound = match UnixListener::bind(path) {
        Err(fault) if fault.kind() == io::ErrorKind::AddrInUse => {
            if StdUnixStream::connect(path).is_ok() {
                return Err(fault);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }?;
    Ok(Listener::Unix(bound, SocketFile(path.to_owned())))
}

fn bind_name(name: &str) -> io::Result<Listener> {
    let listener = StdUnixListener::bind_addr(&UnixAddress::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    Ok(Listener::Name(UnixListener::from_std(listener)?, name.to_owned()))
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port {port}"),
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Name(name) => write!(f, "@{name}"),
        }
    }
}

impl Listener {
    /// The next connection.
    pub async fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Connection::Tcp(stream))
            }
            Self::Unix(listener, _) | Self::Name(listener, _) => {
                Ok(Connection::Unix(listener.accept().await?.0))
            }
        }
    }

    /// The port, path or name that it is bound to.
    pub fn place(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| "?".into(), |bound| bound.port().to_string())
            }
            Self::Unix(_, file) => file.0.display().to_string(),
            Self::Name(_, name) => format!("@{name}"),
        }
    }

    /// Whether only processes of this machine, with access to a path or to this network, can
    /// connect.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Unix(..) | Self::Name(..))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone with its directory.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Connection {
    /// Closes it in a way that the other end cannot take for a regular end.
    pub fn reset(self) {
        if let Self::Tcp(stream) = self {
            // Should it fail, the end looks regular, as on a Unix socket.
            let _ = stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
