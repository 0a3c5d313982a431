//! A request as environment variables, for the modes that start a process per call.
//!
//! `Http_Method`, `Http_Path` and the like are ours alone: a header that would become one of them is
//! left out, as is `Proxy`, which many programs would take for a setting of their own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderName, request};

use crate::config::Mode;
use crate::fault::Fault;

/// Longest string that Linux passes to a process, with its name, `=` and final NUL.
const LONGEST: usize = 128 * 1024;

/// Names that no header may take.
const OURS: [&str; 7] = [
    "Http_Method",
    "Http_Query",
    "Http_Path",
    "Http_Host",
    "Http_ContentLength",
    "Http_Transfer_Encoding",
    "Http_Proxy",
];

/// The variables of a request.
///
/// # Errors
/// When one of them cannot be passed to a process.
pub fn variables(
    parts: &request::Parts,
    mode: Mode,
) -> Result<BTreeMap<OsString, OsString>, Fault> {
    let mut variables = BTreeMap::new();
    for name in parts.headers.keys() {
        let Some(value) = parts.headers.get(name) else { continue };
        let variable = variable_name(name);
        let is_ours = OURS.iter().any(|ours| ours.eq_ignore_ascii_case(&variable));
        // Of two headers that differ in `-` and `_` alone, the one with dashes counts.
        let is_second = name.as_str().contains('_') && has_dashed_twin(parts, name);
        if !is_ours && !is_second {
            add(&mut variables, variable, OsStr::from_bytes(value.as_bytes()))?;
        }
    }
    add(&mut variables, "Http_Method".into(), OsStr::new(parts.method.as_str()))?;
    if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
        add(&mut variables, "Http_Query".into(), OsStr::new(query))?;
    }
    let path = percent_decoded(parts.uri.path());
    if path.contains(&0) {
        return Err(Fault::Nul);
    }
    add(&mut variables, "Http_Path".into(), &OsString::from_vec(path))?;
    let chunked = parts.headers.contains_key(TRANSFER_ENCODING);
    if chunked {
        add(&mut variables, "Http_Transfer_Encoding".into(), OsStr::new("chunked"))?;
    }
    if mode == Mode::Classic {
        add_classic(&mut variables, parts, chunked)?;
    }
    Ok(variables)
}

fn add_classic(
    variables: &mut BTreeMap<OsString, OsString>,
    parts: &request::Parts,
    chunked: bool,
) -> Result<(), Fault> {
    if let Some(host) = parts.headers.get(HOST) {
        add(variables, "Http_Host".into(), OsStr::from_bytes(host.as_bytes()))?;
    }
    let declared = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = if chunked { "-1" } else { declared.unwrap_or("0") };
    add(variables, "Http_Content_Length".into(), OsStr::new(length))?;
    add(variables, "Http_ContentLength".into(), OsStr::new(length))
}

fn add(
    variables: &mut BTreeMap<OsString, OsString>,
    name: String,
    value: &OsStr,
) -> Result<(), Fault> {
    if name.len() + value.len() + 2 > LONGEST {
        return Err(Fault::HeaderTooLong { name });
    }
    variables.insert(name.into(), value.to_owned());
    Ok(())
}

fn variable_name(name: &HeaderName) -> String {
    format!("Http_{}", canonical(name.as_str()).replace('-', "_"))
}

fn has_dashed_twin(parts: &request::Parts, name: &HeaderName) -> bool {
    let variable = variable_name(name);
    parts
        .headers
        .keys()
        .any(|other| other != name && variable_name(other).eq_ignore_ascii_case(&variable))
}

/// A header's name as HTTP/1 usually writes it: `Content-Type`.
pub fn canonical(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|letter| {
            let shown =
                if upper { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
            upper = letter == '-';
            shown
        })
        .collect()
}

/// The bytes that a percent-encoded text stands for; what is no escape stays as it is.
pub fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        });
        match digits {
            Some(byte) if *first == b'%' => {
                decoded.push(byte);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn of(request: http::request::Builder, mode: Mode) -> BTreeMap<String, String> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        variables(&parts, mode)
            .unwrap()
            .into_iter()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect()
    }

    #[test]
    fn a_request_becomes_variables() {
        let request = Request::post("/a%20b/%2e?q=1&r=%20")
            .header("host", "me")
            .header("x-call-id", "7")
            .header("content-length", "5")
            .header("x-many", "first")
            .header("x-many", "second");
        let found = of(request, Mode::Classic);
        for (name, value) in [
            ("Http_Method", "POST"),
            ("Http_Path", "/a b/."),
            ("Http_Query", "q=1&r=%20"),
            ("Http_Host", "me"),
            ("Http_X_Call_Id", "7"),
            ("Http_Content_Length", "5"),
            ("Http_ContentLength", "5"),
            ("Http_X_Many", "first"),
        ] {
            assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn no_header_poses_as_the_request_line() {
        let request = Request::get("/")
            .header("query", "spoofed")
            .header("path", "/spoofed")
            .header("proxy", "http://evil")
            .header("x-a", "dashed")
            .header("x_a", "underscored");
        let found = of(request, Mode::Streaming);
        assert!(!found.contains_key("Http_Query"));
        assert!(!found.contains_key("Http_Proxy"));
        assert_eq!(found.get("Http_Path").map(String::as_str), Some("/"));
        assert_eq!(found.get("Http_X_A").map(String::as_str), Some("dashed"));
        assert!(!found.contains_key("Http_X_a"));
    }

    #[test]
    fn what_no_process_can_be_given_is_refused() {
        let long = "x".repeat(LONGEST);
        let (parts, ()) = Request::get("/").header("x-long", long).body(()).unwrap().into_parts();
        assert!(matches!(variables(&parts, Mode::Classic), Err(Fault::HeaderTooLong { .. })));
        let (parts, ()) = Request::get("/%00").body(()).unwrap().into_parts();
        assert!(matches!(variables(&parts, Mode::Classic), Err(Fault::Nul)));
    }

    proptest! {
        #[test]
        fn percent_encoding_reads_back(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            let text: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(percent_decoded(&text), bytes);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = percent_decoded(&text);
            let _ = canonical(&text);
        }
    }
}
