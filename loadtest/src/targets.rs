//! Many targets from a YAML file: weights, methods, headers, bodies and what a right answer is.
//!
//! ```yaml
//! gateway: http://127.0.0.1:8080      # where `function:` points to
//! targets:
//! - function: thumbnail               # or url: http://…
//!   weight: 3                         # 3 of 4 calls
//!   method: POST
//!   headers: {X-Sleep: 50ms}
//!   body_file: cat.jpg                # or body: text; files beside this one
//!   expect: {status: 2xx, body: done} # else the call is an error
//! - url: http://127.0.0.1:9000/health
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::Deserialize;
use thiserror::Error;

use crate::plan::{Check, Target};

/// Largest body that is sent; it is kept in memory.
const LARGEST_BODY: u64 = 256 << 20;
const MOST_WEIGHT: u32 = 1_000_000;

/// Why a file of targets cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadTargets {
    /// Not YAML, or an unknown field.
    #[error("{0}")]
    Yaml(String),
    /// Nobody is named.
    #[error("it names no targets")]
    Empty,
    /// One target is wrong.
    #[error("target {number}: {why}")]
    Target {
        /// Counted from 1.
        number: usize,
        /// What is wrong and what would be right.
        why: String,
    },
}

/// What holds for all targets that say nothing else, from the command line.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// Method.
    pub method: Method,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Where `function:` points to.
    pub gateway: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gateway: Option<String>,
    #[serde(default)]
    targets: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    function: Option<String>,
    url: Option<String>,
    weight: Option<u32>,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_file: Option<PathBuf>,
    #[serde(default)]
    expect: Right,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Right {
    status: Option<Statuses>,
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Statuses {
    Code(u16),
    Word(String),
    Codes(Vec<u16>),
}

/// Reads the text of a file in `folder`.
///
/// # Errors
/// When it is no such file; the message names the target.
pub fn read(text: &str, folder: &Path, common: &Common) -> Result<Vec<Target>, BadTargets> {
    let file: File = serde_saphyr::from_str(text)
        .map_err(|error| BadTargets::Yaml(first_line(&error.to_string())))?;
    if file.targets.is_empty() {
        return Err(BadTargets::Empty);
    }
    let gateway = file.gateway.as_deref().or(common.gateway.as_deref());
    let targets = file.targets.into_iter().enumerate();
    targets
        .map(|(index, entry)| {
            entry
                .target(gateway, folder, common)
                .map_err(|why| BadTargets::Target { number: index + 1, why })
        })
        .collect()
}

/// The address of a function at a gateway.
///
/// # Errors
/// When they make no URL.
pub fn function_uri(gateway: &str, function: &str) -> Result<Uri, String> {
    let base =
        if gateway.contains("://") { gateway.to_owned() } else { format!("http://{gateway}") };
    let text = format!("{}/function/{function}", base.trim_end_matches('/'));
    uri(&text)
}

/// An address that can be called.
///
/// # Errors
/// When it is none; the message says what would be.
pub fn uri(text: &str) -> Result<Uri, String> {
    let text = text.trim();
    let bad = || format!("{text:?} is not an address such as http://127.0.0.1:8080/function/cat");
    if !text.is_empty() && !text.contains("://") {
        return Err(format!("{text:?} does not say http:// or https://; write http://{text}"));
    }
    let uri: Uri = text.parse().map_err(|_| bad())?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(other) => {
            return Err(format!("{text:?}: only http:// and https:// are called, not {other}://"));
        }
        None => return Err(bad()),
    }
    match uri.authority() {
        Some(authority) if uri.host().is_some_and(|host| !host.is_empty()) => {
            port_of(authority).map_err(|port| format!("{text:?}: {port:?} is not a port"))?;
            Ok(uri)
        }
        _ => Err(bad()),
    }
}

/// The port as far as one is given. The parser of addresses takes anything behind the colon.
fn port_of(authority: &Authority) -> Result<Option<u16>, String> {
    let behind = authority.as_str().rsplit('@').next().unwrap_or_default();
    let behind = behind.get(authority.host().len()..).unwrap_or_default();
    match behind.strip_prefix(':') {
        None | Some("") => Ok(None),
        Some(port) => {
            port.parse().ok().filter(|port| *port > 0).map(Some).ok_or_else(|| port.to_owned())
        }
    }
}

impl Entry {
    fn target(
        self,
        gateway: Option<&str>,
        folder: &Path,
        common: &Common,
    ) -> Result<Target, String> {
        let uri = match (&self.url, &self.function) {
            (Some(url), None) => uri(url)?,
            (None, Some(function)) => {
                let gateway =
                    gateway.ok_or("function: needs gateway: in the file or --gateway URL")?;
                function_uri(gateway, function)?
            }
            (Some(_), Some(_)) => return Err("give url: or function:, not both".to_owned()),
            (None, None) => return Err("give url: or function:".to_owned()),
        };
        let weight = self.weight.unwrap_or(1);
        if !(1..=MOST_WEIGHT).contains(&weight) {
            return Err(format!("weight must be from 1 to {MOST_WEIGHT}, not {weight}"));
        }
        let method = match &self.method {
            Some(text) => Method::from_bytes(text.to_ascii_uppercase().as_bytes())
                .map_err(|_| format!("{text:?} is not a method such as GET or POST"))?,
            None => common.method.clone(),
        };
        let mut headers = common.headers.clone();
        for (name, value) in &self.headers {
            let bad = || format!("\"{name}: {value}\" is not a header");
            let name = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
            headers.insert(name, HeaderValue::from_str(value).map_err(|_| bad())?);
        }
        let body = match (self.body, self.body_file) {
            (Some(_), Some(_)) => return Err("give body: or body_file:, not both".to_owned()),
            (Some(text), None) => Bytes::from(text),
            (None, Some(path)) => body_from(&folder.join(path))?,
            (None, None) => common.body.clone(),
        };
        let named = self.name.or(self.function);
        let name = named.unwrap_or_else(|| uri.to_string());
        Ok(Target { name, weight, method, uri, headers, body, check: self.expect.check()? })
    }
}

impl Right {
    fn check(self) -> Result<Check, String> {
        let statuses = match self.status {
            None => Vec::new(),
            Some(Statuses::Code(code)) => vec![code],
            Some(Statuses::Codes(codes)) => codes,
            Some(Statuses::Word(word)) => statuses_of(&word)?,
        };
        if let Some(code) = statuses.iter().find(|code| !(100..=999).contains(*code)) {
            return Err(format!("{code} is not a status"));
        }
        Ok(Check { statuses, body_contains: self.body })
    }
}

/// `2xx` is all of 200 to 299; `200` is itself.
fn statuses_of(word: &str) -> Result<Vec<u16>, String> {
    let bad = || format!("status {word:?} is neither a code such as 200 nor a class such as 2xx");
    if let Ok(code) = word.parse() {
        return Ok(vec![code]);
    }
    let class: u16 =
        word.strip_suffix("xx").and_then(|class| class.parse().ok()).ok_or_else(bad)?;
    if !(1..=5).contains(&class) {
        return Err(bad());
    }
    Ok((class * 100..class * 100 + 100).collect())
}

/// A body from a file.
///
/// # Errors
/// When it cannot be read, or is too large to keep.
pub fn body_from(path: &Path) -> Result<Bytes, String> {
    let cannot = |why: &dyn std::fmt::Display| {
        format!("cannot read the body from {}: {why}", path.display())
    };
    let length = std::fs::metadata(path).map_err(|error| cannot(&error))?.len();
    if length > LARGEST_BODY {
        return Err(cannot(&"it is larger than 256 MB"));
    }
    std::fs::read(path).map(Bytes::from).map_err(|error| cannot(&error))
}

/// YAML errors draw the place below their first line; a sentence has room for one.
pub(crate) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_here(text: &str) -> Result<Vec<Target>, BadTargets> {
        let common =
            Common { gateway: Some("http://127.0.0.1:8080/".to_owned()), ..Common::default() };
        read(text, Path::new("."), &common)
    }

    #[test]
    fn everything_that_can_be_said_of_a_target_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("body.txt"), "from a file").expect("written");
        let text = "
gateway: 127.0.0.1:9999
targets:
- function: thumbnail.prod
  weight: 3
  method: post
  headers: {X-Sleep: 50ms, Accept: text/plain}
  body_file: body.txt
  expect: {status: 2xx, body: done}
- url: https://example.test/health
  name: health
  body: '{}'
  expect: {status: [200, 204]}
";
        let mut common = Common::default();
        common.headers.insert("accept", HeaderValue::from_static("*/*"));
        common.headers.insert("x-common", HeaderValue::from_static("1"));
        let targets = read(text, folder.path(), &common).expect("a good file");
        let first = &targets[0];
        assert_eq!(first.name, "thumbnail.prod");
        assert_eq!(first.uri, "http://127.0.0.1:9999/function/thumbnail.prod");
        assert_eq!((first.weight, &first.method), (3, &Method::POST));
        assert_eq!(first.body, "from a file");
        assert_eq!(
            (&first.headers["accept"], &first.headers["x-common"]),
            (&HeaderValue::from_static("text/plain"), &HeaderValue::from_static("1"))
        );
        assert_eq!((first.check.statuses.len(), first.check.statuses[99]), (100, 299));
        assert_eq!(first.check.body_contains.as_deref(), Some("done"));
        let second = &targets[1];
        assert_eq!((second.name.as_str(), second.weight), ("health", 1));
        assert_eq!(second.check.statuses, [200, 204]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("targets: []", "it names no targets"),
            ("targets:\n- weight: 1", "target 1: give url: or function:"),
            (
                "targets:\n- function: a\n- {url: 'http://x', function: a}",
                "target 2: give url: or function:, not both",
            ),
            (
                "targets:\n- {function: a, weight: 0}",
                "target 1: weight must be from 1 to 1000000, not 0",
            ),
            ("targets:\n- {url: 'ftp://x'}", "only http:// and https:// are called, not ftp://"),
            ("targets:\n- {function: a, body: x, body_file: y}", "not both"),
            (
                "targets:\n- {function: a, body_file: /nonexistent}",
                "cannot read the body from /nonexistent: No such file",
            ),
            ("targets:\n- {function: a, expect: {status: 9xx}}", "status \"9xx\" is neither"),
            ("targets:\n- {function: a, expect: {status: 99}}", "99 is not a status"),
            ("targets:\n- {function: a, headers: {'a b': c}}", "is not a header"),
            ("targets:\n- {function: a, wieght: 3}", "wieght"),
            ("targets: 3", ""),
        ];
        for (text, part) in cases {
            let error = read_here(text).expect_err(text).to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port_that_is_one() {
        for good in [
            "http://127.0.0.1",
            "https://[::1]:8443/a?b",
            "http://user:pw@host:1/",
            "http://localhost:/x",
        ] {
            assert!(uri(good).is_ok(), "{good}");
        }
        let cases = [
            ("127.0.0.1:8080/x", "write http://127.0.0.1:8080/x"),
            ("localhost", "write http://localhost"),
            ("http://127.0.0.1:abc/", "\"abc\" is not a port"),
            ("http://127.0.0.1:99999/", "\"99999\" is not a port"),
            ("http://[::1]:0/", "\"0\" is not a port"),
            ("http:///x", "is not an address"),
            ("http://a b/", "is not an address"),
            ("ws://a/", "not ws://"),
            ("", "is not an address"),
        ];
        for (text, part) in cases {
            let why = uri(text).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn a_function_without_a_gateway_is_refused() {
        let error = read("targets:\n- function: a", Path::new("."), &Common::default())
            .expect_err("no gateway");
        assert_eq!(
            error.to_string(),
            "target 1: function: needs gateway: in the file or --gateway URL"
        );
    }
}
