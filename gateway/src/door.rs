//! The functions' own door: on their network they call each other by name, and `Host` says whom they mean.
//!
//! `http://cat:8080/x` is a call of `cat` with the path `/x`, as `/function/cat/x` is anywhere. Only what comes in at
//! the door's address is read so; elsewhere `Host` changes nothing. `gateway`, addresses, and names that no
//! function can have lead to the ordinary routes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::Request;
use http::header::{HOST, HeaderValue};
use tidegate_core::Callee;
use tokio::net::{TcpListener, TcpStream};

/// Longest `name.namespace`.
const LONGEST_ID: usize = 63 + 1 + 63;

/// Who calls from an address: the namespace of a replica, if one has it. Asked once for each connection.
type NamespaceOf = dyn Fn(IpAddr) -> Option<Arc<str>> + Send + Sync;

/// Where functions come in.
#[derive(Clone)]
pub struct Door {
    address: IpAddr,
    namespace_of: Arc<NamespaceOf>,
}

/// How one tells whether a connection came in through the door.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// It did not.
    Elsewhere,
    /// It did.
    Inside,
    /// By the address that it was made to: the listener has all of the machine's.
    ByAddress,
}

/// A client that came in through the door.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    /// Its namespace, if it is a replica.
    namespace: Option<Arc<str>>,
}

/// The name of a function as a client wrote it, in lower case.
#[derive(Copy, Clone)]
pub(crate) struct HostName {
    bytes: [u8; Callee::LONGEST],
    length: usize,
}

impl Door {
    /// The door at `address`. A bare name means a function of the caller's namespace, which `namespace_of` tells
    /// for the address of a replica, else one of the default namespace.
    pub fn new(
        address: IpAddr,
        namespace_of: impl Fn(IpAddr) -> Option<Arc<str>> + Send + Sync + 'static,
    ) -> Self {
        Self { address, namespace_of: Arc::new(namespace_of) }
    }

    /// Where it is.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    pub(crate) fn leads(&self, listener: &TcpListener) -> Leads {
        match listener.local_addr().map(|at| at.ip().to_canonical()) {
            Ok(address) if address == self.address => Leads::Inside,
            Ok(address) if address.is_unspecified() => Leads::ByAddress,
            _ => Leads::Elsewhere,
        }
    }

    /// What is known of a client, if it came in here.
    pub(crate) fn enter(
        &self,
        leads: Leads,
        stream: &TcpStream,
        peer: SocketAddr,
    ) -> Option<Inside> {
        let here = || stream.local_addr().is_ok_and(|at| at.ip().to_canonical() == self.address);
        let inside = leads == Leads::Inside || (leads == Leads::ByAddress && here());
        inside.then(|| Inside { namespace: (self.namespace_of)(peer.ip().to_canonical()) })
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("address", &self.address).finish_non_exhaustive()
    }
}

impl HostName {
    /// The function's name that a request is made to, if it is one's.
    pub(crate) fn of<B>(request: &Request<B>) -> Option<Self> {
        // A target that names a host wins (RFC 9112, 3.2.2).
        match request.uri().host() {
            Some(host) => Self::read(host.as_bytes()),
            None => Self::read(request.headers().get(HOST).map(HeaderValue::as_bytes)?),
        }
    }

    fn read(host: &[u8]) -> Option<Self> {
        let end = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
        let name = host[..end].strip_suffix(b".").unwrap_or(&host[..end]);
        let mut read = Self { bytes: [0; Callee::LONGEST], length: name.len() };
        read.bytes.get_mut(..name.len())?.copy_from_slice(name);
        read.bytes.make_ascii_lowercase();
        let text = read.text();
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        let is_function = text.bytes().all(good)
            && matches!(Callee::read(text), Some(Callee::Function { .. }))
            && text.parse::<Ipv4Addr>().is_err();
        is_function.then_some(read)
    }

    /// As it was read; nothing when it is no text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    /// Asks `look_up` for the `name` or `name.namespace` that is meant by `caller`, until it knows one.
    pub(crate) fn find<T>(
        &self,
        caller: &Inside,
        look_up: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(Callee::Function { name, namespace }) = Callee::read(self.text()) else {
            return None;
        };
        match (namespace, &caller.namespace) {
            // The two stand in the text as they are looked up.
            (Some(namespace), _) => look_up(self.text().get(..name.len() + 1 + namespace.len())?),
            (None, Some(own)) => in_namespace(name, own, &look_up).or_else(|| look_up(name)),
            (None, None) => look_up(name),
        }
    }
}

/// Looks `name.namespace` up without making a text of its own for it.
fn in_namespace<T>(name: &str, namespace: &str, look_up: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut bytes = [b'.'; LONGEST_ID];
    let (dot, length) = (name.len(), name.len() + 1 + namespace.len());
    bytes.get_mut(..dot)?.copy_from_slice(name.as_bytes());
    bytes.get_mut(dot + 1..length)?.copy_from_slice(namespace.as_bytes());
    look_up(std::str::from_utf8(&bytes[..length]).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is looked up, in order, when nothing is known.
    fn looked_up(host: &str, namespace: Option<&str>) -> Option<Vec<String>> {
        let asked = std::cell::RefCell::new(Vec::new());
        let caller = Inside { namespace: namespace.map(Arc::from) };
        HostName::read(host.as_bytes())?.find(&caller, |name| {
            asked.borrow_mut().push(name.to_owned());
            None::<()>
        });
        Some(asked.into_inner())
    }

    #[test]
    fn a_host_is_read_as_a_function_and_its_namespace() {
        let cases: [(&str, &[&str]); 7] = [
            ("cat", &["cat.pets", "cat"]),
            ("cat:8080", &["cat.pets", "cat"]),
            ("CAT.:80", &["cat.pets", "cat"]),
            ("cat.Other:8080", &["cat.other"]),
            ("cat.other.svc.cluster.local.", &["cat.other"]),
            ("gateway.pets", &["gateway.pets"]),
            ("7", &["7.pets", "7"]),
        ];
        for (host, expected) in cases {
            assert_eq!(looked_up(host, Some("pets")).expect(host), expected, "{host}");
        }
        assert_eq!(looked_up("cat", None).expect("a name"), ["cat"]);
    }

    #[test]
    fn other_hosts_lead_to_the_ordinary_routes() {
        let others = [
            "",
            ":80",
            ".",
            "gateway",
            "gateway:8080",
            "Gateway.OpenFaaS",
            "gateway.openfaas.svc.cluster.local:1",
            "10.62.0.1",
            "10.62.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "faas.example.com",
            "caf\u{e9}",
            "a_b",
        ];
        for host in others {
            assert_eq!(looked_up(host, None), None, "{host}");
        }
        assert!(HostName::read("a".repeat(200).as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn no_host_panics(host in proptest::collection::vec(any::<u8>(), 0..200), own in "[a-z-]{0,63}") {
            let caller = Inside { namespace: Some(own.as_str().into()) };
            if let Some(name) = HostName::read(&host) {
                let _ = name.find(&caller, |_| None::<()>);
            }
        }
    }
}
