//! Opens connections: name, TCP, proxy, TLS, each step with its own clear error and its own time.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};

use super::answer::io_text;
use super::request::{Origin, user_info};
use super::stream::Stream;
use crate::clock::now;

/// Why no connection could be opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("unknown host {host:?} ({why}); check the spelling and this machine's DNS")]
    UnknownHost {
        /// The name.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// Nobody listens.
    #[error("connection refused by {0}; check that the server runs and listens on that port")]
    Refused(String),
    /// No connection for another reason.
    #[error("cannot connect to {address}: {why}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// What the system said.
        why: String,
    },
    /// No connection in the time that one call may take.
    #[error(
        "no connection to {address} within {after}; check the address and firewalls between, or allow more time with -t"
    )]
    TimedOut {
        /// `host:port`.
        address: String,
        /// The timeout.
        after: String,
    },
    /// Its certificate does not hold.
    #[error(
        "{address} shows a certificate that is not trusted ({why}); trust its issuer with --cacert FILE or do not check with --insecure"
    )]
    NotTrusted {
        /// `host:port`.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// TLS failed before or beside the certificate.
    #[error("TLS with {address} failed: {why}; check that the port speaks https")]
    Tls {
        /// `host:port`.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// The proxy refused.
    #[error("the proxy {proxy} does not connect to {address}: {why}")]
    Proxy {
        /// The proxy's `host:port`.
        proxy: String,
        /// The target's.
        address: String,
        /// Its answer.
        why: String,
    },
}

/// How long opening took.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct DialTimes {
    pub(crate) dns: Duration,
    pub(crate) total: Duration,
}

/// Opens connections for one thread.
pub(crate) struct Dialer {
    pub(crate) connect_to: Option<SocketAddr>,
    pub(crate) proxy: Option<(Origin, Uri)>,
    pub(crate) tls: Arc<crate::tls::Lazy>,
}

impl Dialer {
    pub(crate) async fn dial(&self, origin: &Origin) -> Result<(Stream, DialTimes), ConnectError> {
        let begin = now();
        let (addresses, dns) = match (self.connect_to, &self.proxy) {
            (Some(address), _) => (vec![address], Duration::ZERO),
            (None, proxy) => {
                let to = proxy.as_ref().map_or(origin, |(proxy, _)| proxy);
                (lookup(to).await?, begin.elapsed())
            }
        };
        let first_hop = self.proxy.as_ref().map_or(origin, |(proxy, _)| proxy);
        let mut tcp = connect(&addresses, first_hop).await?;
        if let (true, Some((proxy, uri))) = (origin.tls, &self.proxy) {
            tunnel(&mut tcp, proxy, uri, origin).await?;
        }
        let stream = if origin.tls {
            let unready = |error: crate::tls::TlsError| ConnectError::Tls {
                address: origin.address(),
                why: error.to_string(),
            };
            let config = self.tls.config().map_err(unready)?;
            Stream::Tls(Box::new(secure(&config, tcp, origin).await?))
        } else {
            Stream::Plain(tcp)
        };
        Ok((stream, DialTimes { dns, total: begin.elapsed() }))
    }
}

async fn lookup(origin: &Origin) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(address) = origin.host.parse::<IpAddr>() {
        return Ok(vec![(address, origin.port).into()]);
    }
    let unknown = |why| ConnectError::UnknownHost { host: origin.host.clone(), why };
    let found = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await;
    let addresses: Vec<_> = found.map_err(|error| unknown(resolver_text(&error)))?.collect();
    if addresses.is_empty() { Err(unknown("no address".to_owned())) } else { Ok(addresses) }
}

fn resolver_text(error: &std::io::Error) -> String {
    io_text(error).trim_start_matches("failed to lookup address information: ").to_lowercase()
}

/// The first address that takes the connection.
async fn connect(addresses: &[SocketAddr], origin: &Origin) -> Result<TcpStream, ConnectError> {
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                // Requests go out whole: waiting for more would only delay them.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(error) => last = Some(error),
        }
    }
    let address = origin.address();
    Err(match last {
        Some(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            ConnectError::Refused(address)
        }
        Some(error) => ConnectError::Unreachable { address, why: io_text(&error) },
        None => ConnectError::Unreachable { address, why: "no address".to_owned() },
    })
}

async fn tunnel(
    tcp: &mut TcpStream,
    proxy: &Origin,
    uri: &Uri,
    origin: &Origin,
) -> Result<(), ConnectError> {
    let refused = |why: String| ConnectError::Proxy {
        proxy: proxy.address(),
        address: origin.address(),
        why,
    };
    let address = origin.address();
    let mut request = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n").into_bytes();
    if let Some(user) = user_info(uri) {
        for part in [b"Proxy-Authorization: ".as_slice(), user.as_bytes(), b"\r\n"] {
            request.extend_from_slice(part);
        }
    }
    request.extend_from_slice(b"\r\n");
    tcp.write_all(&request).await.map_err(|error| refused(io_text(&error)))?;
    // Byte by byte, so that nothing of what follows is taken; once a connection, so no matter.
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 * 1024 {
        let byte = tcp.read_u8().await.map_err(|error| refused(io_text(&error)))?;
        head.push(byte);
    }
    let line = String::from_utf8_lossy(&head);
    let line = line.lines().next().unwrap_or_default();
    if line.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        Ok(())
    } else {
        Err(refused(format!("it answers {line:?}")))
    }
}

async fn secure(
    config: &Arc<rustls::ClientConfig>,
    tcp: TcpStream,
    origin: &Origin,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectError> {
    let address = origin.address();
    let name = ServerName::try_from(origin.host.clone())
        .map_err(|error| ConnectError::Tls { address: address.clone(), why: error.to_string() })?;
    TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => {
                ConnectError::NotTrusted { address, why: crate::tls::certificate_text(why) }
            }
            Some(other) => ConnectError::Tls { address, why: other.to_string() },
            None => ConnectError::Tls { address, why: io_text(&error) },
        }
    })
}
