//! Values of single flags, each with an error that says what would be right.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method, Uri};
use tidegate_core::parse_duration;

/// More open calls than any machine of ours holds; keeps arithmetic far from its limits.
const MOST_WORKERS: usize = 1_000_000;
const MOST_THREADS: usize = 1024;

/// A header as given.
pub type Header = (HeaderName, HeaderValue);

/// User and password, ready to be sent; prints without the password.
#[derive(Clone)]
pub struct Login {
    header: HeaderValue,
}

impl Login {
    /// The `Authorization` header.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

fn whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number above 0"))
}

pub(super) fn calls(text: &str) -> Result<u64, String> {
    match whole(text)? {
        0 => Err("must be at least 1".to_owned()),
        count => Ok(count),
    }
}

pub(super) fn workers(text: &str) -> Result<usize, String> {
    match whole(text)? {
        0 => Err("must be at least 1".to_owned()),
        count if count > MOST_WORKERS => Err(format!("at most {MOST_WORKERS}")),
        count => Ok(count),
    }
}

pub(super) fn threads(text: &str) -> Result<usize, String> {
    match whole(text)? {
        0 => Err("must be at least 1".to_owned()),
        count if count > MOST_THREADS => Err(format!("at most {MOST_THREADS}")),
        count => Ok(count),
    }
}

/// hey's `-q`: 0 is no limit.
pub(super) fn each(text: &str) -> Result<f64, String> {
    let rate: f64 = text
        .trim_end_matches("/s")
        .parse()
        .map_err(|_| format!("{text:?} is not a number of calls a second"))?;
    if (0.0..=10_000_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("must be between 0 and 10 million".to_owned())
    }
}

pub(super) fn span(text: &str) -> Result<Duration, String> {
    let span = parse_duration(text).map_err(|error| error.to_string())?;
    if span.is_zero() { Err("must be longer than 0".to_owned()) } else { Ok(span) }
}

/// Whole seconds as in hey, or a duration; 0 is none.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => parse_duration(text).map_err(|_| {
            format!("{text:?} is neither seconds, such as 20, nor a duration, such as 500ms")
        }),
    }
}

pub(super) fn method(text: &str) -> Result<Method, String> {
    Method::from_bytes(text.to_ascii_uppercase().as_bytes())
        .map_err(|_| format!("{text:?} is not a method such as GET or POST"))
}

pub(super) fn header(text: &str) -> Result<Header, String> {
    let bad = || format!("{text:?} is not a header such as 'X-Sleep: 300ms'");
    let (name, value) = text.split_once(':').ok_or_else(bad)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| bad())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| bad())?;
    Ok((name, value))
}

pub(super) fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text)
        .map_err(|_| format!("{text:?} has characters that no header may have"))
}

pub(super) fn login(text: &str) -> Result<Login, String> {
    // The text itself stays out of the message.
    let (user, _) = text.split_once(':').ok_or("it must be user:password")?;
    if user.is_empty() {
        return Err("it must be user:password".to_owned());
    }
    let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(text)))
        .map_err(|_| "it must be user:password".to_owned())?;
    header.set_sensitive(true);
    Ok(Login { header })
}

pub(super) fn proxy(text: &str) -> Result<Uri, String> {
    let full = match text.split_once("://") {
        None => format!("http://{text}"),
        Some(("http", _)) => text.to_owned(),
        Some(_) => return Err(format!("{text:?}: only http:// proxies are spoken to")),
    };
    crate::targets::uri(&full)
        .map_err(|_| format!("{text:?} is not a proxy such as 127.0.0.1:3128"))
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("127.0.0.1{text}") } else { text.to_owned() };
    full.parse().map_err(|_| format!("{text:?} is not an address such as 127.0.0.1:9100"))
}
