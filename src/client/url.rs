//! Where a gateway is: `http://host:port`, perhaps with a path in front of everything.
//!
//! Read as faas-cli reads it (a missing scheme is `http`, a trailing slash is dropped), but what
//! cannot work is refused with what would.

use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;

use http::Uri;

use crate::cli::failure::Failure;

/// The base address of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayUrl {
    text: String,
    host: String,
    port: u16,
}

impl GatewayUrl {
    /// Where a gateway is when nobody says: `tidegate up`'s own address.
    pub const DEFAULT: &str = "http://127.0.0.1:8080";

    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let trimmed = text.trim();
        let (scheme, rest) = trimmed.split_once("://").unwrap_or(("http", trimmed));
        let full = match scheme.to_ascii_lowercase().as_str() {
            "http" => format!("http://{}", rest.trim_end_matches('/')),
            "https" => return Err(no_tls(trimmed)),
            _ => return Err(bad(trimmed)),
        };
        let uri: Uri = full.parse().map_err(|_| bad(text))?;
        let authority = uri.authority().ok_or_else(|| bad(text))?;
        if authority.as_str().contains('@') {
            return Err(Failure::usage("a gateway address must not hold a password")
                .help("give it by TIDEGATE_PASSWORD or --password-stdin"));
        }
        if uri.query().is_some() || authority.host().is_empty() {
            return Err(bad(text));
        }
        let host = authority.host().to_ascii_lowercase();
        let port = authority.port_u16().unwrap_or(80);
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            text: format!("http://{}{path}", authority.as_str().to_ascii_lowercase()),
            host,
            port,
        })
    }

    /// The address of a path below it; `path` begins with a slash and is encoded already.
    pub fn join(&self, path: &str) -> Result<Uri, Failure> {
        format!("{}{path}", self.text)
            .parse()
            .map_err(|error| Failure::usage(format!("{path:?} is not a path")).because(error))
    }

    /// Its text, as faas-cli keeps it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn bad(text: &str) -> Failure {
    Failure::usage(format!("{text:?} is not the address of a gateway"))
        .help("use http://HOST:PORT, such as http://127.0.0.1:8080")
}

fn no_tls(text: &str) -> Failure {
    Failure::usage(format!("cannot speak to {text}: https is not built in yet"))
        .help("put a local proxy or an SSH tunnel in between and use its http:// address, such as: ssh -L 8080:127.0.0.1:8080 HOST")
}

/// Percent-encodes a text for a query or a path segment.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_faas_cli_reads_them() {
        let read = |text| GatewayUrl::parse(text).expect("an address").to_string();
        assert_eq!(read("127.0.0.1:8080/"), "http://127.0.0.1:8080");
        assert_eq!(read("HTTP://Gateway.Example/"), "http://gateway.example");
        assert_eq!(read("http://proxy/faas/"), "http://proxy/faas");
        let joined = GatewayUrl::parse("http://proxy/faas").expect("an address").join("/healthz");
        assert_eq!(joined.expect("a path").to_string(), "http://proxy/faas/healthz");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for text in [
            "",
            "http://",
            "https://gateway",
            "ftp://gateway",
            "http://a b",
            "http://u:p@h",
            "http://h?x=1",
        ] {
            assert!(GatewayUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_loopback_is_local() {
        let local = |text| GatewayUrl::parse(text).expect("an address").is_local();
        assert!(local("localhost:8080") && local("127.9.9.9") && local("http://[::1]:8080"));
        assert!(!local("10.0.0.1") && !local("localhost.example"));
    }

    #[test]
    fn a_query_value_is_encoded() {
        assert_eq!(
            encode("2026-11-21T00:00:00+01:00 ä/"),
            "2026-11-21T00%3A00%3A00%2B01%3A00%20%C3%A4%2F"
        );
    }
}
