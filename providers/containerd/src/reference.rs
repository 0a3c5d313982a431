//! Names of images, as users write them and as containerd keeps them.
//!
//! ```text
//! alpine                      docker.io/library/alpine:latest
//! team/app:1                  docker.io/team/app:1
//! 127.0.0.1:5000/app@sha256:… 127.0.0.1:5000/app@sha256:…
//! ```

use std::fmt;

use crate::error::Failure;

/// Longest repository, host left out. Source: the distribution project's grammar of references.
const LONGEST_REPOSITORY: usize = 255;
const LONGEST_TAG: usize = 128;

/// The full name of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The registry, with its port when it has one.
    pub host: String,
    /// The repository within it.
    pub repository: String,
    /// A tag; `latest` when neither tag nor digest was written.
    pub tag: Option<String>,
    /// A digest.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads what a user wrote.
    ///
    /// # Errors
    /// When it is not the name of an image; the text says what is wrong.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let bad = |why: &str| {
            Failure::Told(format!(
                "image {text:?} is not the name of an image: {why}; write it as [HOST/]NAME[:TAG][@sha256:DIGEST]"
            ))
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash belongs to a port.
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (path, tag) = match rest[name_start..].split_once(':') {
            Some((name, tag)) => (&rest[..name_start + name.len()], Some(tag)),
            None => (rest, None),
        };
        let (host, repository) = split_host(path);
        if !repository.split('/').all(is_component) {
            return Err(bad(
                "a name is lower-case letters and digits, with single '.', '_' or '-' in between",
            ));
        }
        if repository.len() > LONGEST_REPOSITORY || !is_host(&host) {
            return Err(bad("its host or length is not valid"));
        }
        if !tag.is_none_or(is_tag) {
            return Err(bad("a tag is up to 128 letters, digits, '.', '_' and '-'"));
        }
        if !digest.is_none_or(is_digest) {
            return Err(bad("a digest is sha256: and 64 hexadecimal digits"));
        }
        let tag = tag.or_else(|| digest.is_none().then_some("latest")).map(str::to_owned);
        Ok(Self { host, repository, tag, digest: digest.map(str::to_owned) })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// What comes before the first slash is a host when it looks like one; short names are of Docker Hub.
fn split_host(path: &str) -> (String, String) {
    const HUB: &str = "docker.io";
    let (host, repository) = match path.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => (HUB, path),
    };
    let host = if host == "index.docker.io" { HUB } else { host };
    if host == HUB && !repository.contains('/') {
        return (HUB.to_owned(), format!("library/{repository}"));
    }
    (host.to_owned(), repository.to_owned())
}

fn is_host(host: &str) -> bool {
    let first = host.as_bytes().first();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'[')
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte))
}

fn is_component(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<&u8>| byte.copied().is_some_and(alphanumeric);
    let bytes = name.as_bytes();
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| alphanumeric(*byte) || b"._-".contains(byte))
        && !name.contains("..")
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=LONGEST_TAG).contains(&tag.len())
        && word(tag.as_bytes()[0])
        && tag.bytes().all(|byte| word(byte) || b".-".contains(&byte))
}

/// Whether this is a digest that containerd and registries know.
pub(crate) fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (written, full) in [
            ("alpine", "docker.io/library/alpine:latest".to_owned()),
            ("team/app:1.0", "docker.io/team/app:1.0".to_owned()),
            ("index.docker.io/alpine", "docker.io/library/alpine:latest".to_owned()),
            ("localhost/a", "localhost/a:latest".to_owned()),
            ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest".to_owned()),
            (&format!("ghcr.io/a/b@{digest}"), format!("ghcr.io/a/b@{digest}")),
            (&format!("a:1@{digest}"), format!("docker.io/library/a:1@{digest}")),
        ] {
            let read = Reference::parse(written).unwrap_or_else(|bad| panic!("{written}: {bad}"));
            assert_eq!(read.to_string(), full);
            assert_eq!(Reference::parse(&full).expect("a full name").to_string(), full);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "",
            "UPPER",
            "a b",
            "a//b",
            "-a",
            "a:",
            "a:b:c",
            "a@sha256:1",
            "ho st.de/a",
            "../a",
            "a..b",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }
}
