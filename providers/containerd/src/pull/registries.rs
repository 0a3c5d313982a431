//! What the backend is told about registries: whom to ask, how, as whom, and how patiently.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// When a registry is asked for an image.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// At each deployment: a tag may have moved. What has not changed is not fetched again.
    Always,
    /// When the image is not on this machine.
    #[default]
    IfNotPresent,
    /// Never: images are brought by hand.
    Never,
}

/// A text that is no pull policy.
#[derive(Debug, thiserror::Error)]
#[error("pull policy {0:?} is not known; use Always, IfNotPresent or Never")]
pub struct UnknownPolicy(String);

impl FromStr for PullPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        match text {
            "Always" => Ok(Self::Always),
            "IfNotPresent" => Ok(Self::IfNotPresent),
            "Never" => Ok(Self::Never),
            other => Err(UnknownPolicy(other.to_owned())),
        }
    }
}

/// Settings of pulls. A host is written as in the name of an image, with its port when it has one.
#[derive(Clone, Debug)]
pub struct Registries {
    /// When a registry is asked, for functions that do not say.
    pub policy: PullPolicy,
    /// Docker's `config.json` files; the first that knows a host gives the login. Those that are not there
    /// are passed over.
    pub logins: Vec<PathBuf>,
    /// Where `docker-credential-…` programs are; none means the folders of `PATH`.
    pub helpers: Option<PathBuf>,
    /// Hosts that speak HTTP without TLS; those on this machine's loopback do unless they are `encrypted`.
    pub plain: Vec<String>,
    /// Hosts on this machine's loopback that speak TLS.
    pub encrypted: Vec<String>,
    /// Hosts that are asked, in this order, before the one that the image names.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Files with certificates, in PEM, of authorities that are trusted beside the system's.
    pub authorities: Vec<PathBuf>,
    /// Proxies on the way to registries.
    pub proxies: Proxies,
    /// Longest silence of a registry.
    pub silence: Duration,
    /// How often a registry that fails is asked, at least 1. What brought something does not count.
    pub tries: u32,
    /// The pause after the first failure; each next one is twice as long.
    pub pause: Duration,
}

impl Default for Registries {
    fn default() -> Self {
        Self {
            policy: PullPolicy::default(),
            logins: vec!["/var/lib/faasd/.docker/config.json".into()],
            helpers: None,
            plain: Vec::new(),
            encrypted: Vec::new(),
            mirrors: BTreeMap::new(),
            authorities: Vec::new(),
            proxies: Proxies::default(),
            silence: Duration::from_secs(60),
            tries: 4,
            pause: Duration::from_millis(500),
        }
    }
}

impl Registries {
    /// Whether a host is spoken to without TLS.
    pub(crate) fn is_plain(&self, host: &str) -> bool {
        let named = |hosts: &[String]| hosts.iter().any(|it| it == host);
        named(&self.plain) || is_loopback(host) && !named(&self.encrypted)
    }

    /// Who is asked before `host` for its images, in order.
    pub(crate) fn mirrors(&self, host: &str) -> impl Iterator<Item = &str> {
        self.mirrors.get(host).into_iter().flatten().map(String::as_str)
    }
}

/// Proxies, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` write them.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For registries that are spoken to without TLS.
    pub http: Option<String>,
    /// For all others.
    pub https: Option<String>,
    /// Hosts that are asked without a proxy, separated by commas.
    pub except: Option<String>,
}

/// Addresses of proxies may hold passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("except", &self.except)
            .finish()
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_kubernetes_writes_them() {
        assert_eq!("Always".parse::<PullPolicy>().expect("known"), PullPolicy::Always);
        let unknown = "always".parse::<PullPolicy>().expect_err("another case").to_string();
        assert!(unknown.contains("Always, IfNotPresent or Never"), "{unknown}");
    }

    #[test]
    fn only_loopback_and_named_hosts_are_spoken_to_without_tls() {
        let mut registries = Registries::default();
        for plain in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert!(registries.is_plain(plain), "{plain}");
        }
        for other in ["docker.io", "localhost.example.com", "10.0.0.1:5000", "127.0.0.1.evil.com"] {
            assert!(!registries.is_plain(other), "{other}");
        }
        registries.plain.push("10.0.0.1:5000".to_owned());
        assert!(registries.is_plain("10.0.0.1:5000") && !registries.is_plain("10.0.0.1"));
        registries.encrypted.push("localhost:5000".to_owned());
        assert!(!registries.is_plain("localhost:5000") && registries.is_plain("localhost"));
    }

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        let http = Some("http://me:secret@proxy".to_owned());
        let shown = format!("{:?}", Proxies { http, ..Proxies::default() });
        assert!(!shown.contains("secret"), "{shown}");
    }
}
