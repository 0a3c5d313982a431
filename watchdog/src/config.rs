//! The environment, read once: every variable that either OpenFaaS watchdog knows, and our few.
//!
//! A bad value fails the start and is named; nothing falls back in silence.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use http::header::HeaderValue;
use tidegate_core::{BadVar, Reader, Vars};

use crate::fprocess::{Fprocess, Split};
use crate::lines::LineStyle;
use crate::listen::Address;

/// How a function is run.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A process per call; the answer waits for its exit status.
    Classic,
    /// A process per call; its output is the answer as it comes.
    Streaming,
    /// A process per call; output gathered, errors without it.
    Serializing,
    /// One long-lived child that speaks HTTP.
    Http,
    /// Files from a folder.
    Static,
}

/// Everything that the environment says.
#[derive(Clone, Debug)]
pub struct Config {
    /// How the function is run.
    pub mode: Mode,
    /// What is run; none in static mode.
    pub fprocess: Option<Fprocess>,
    /// Where calls arrive.
    pub listen: Address,
    /// Where they arrive as well, from this network alone.
    pub local: Option<Address>,
    /// Where metrics are served; none when switched off.
    pub metrics: Option<Address>,
    /// Whether fd 0 is the parent's end of the control stream.
    pub control: bool,
    /// Limits in time.
    pub timeouts: Timeouts,
    /// Most calls at once; none for no limit.
    pub max_inflight: Option<usize>,
    /// Serve without a lock file.
    pub suppress_lock: bool,
    /// Where the lock file goes.
    pub temporary: PathBuf,
    /// Content type of answers, where the mode does not take it from elsewhere.
    pub content_type: Option<HeaderValue>,
    /// Details of the modes that start a process per call.
    pub forks: Forks,
    /// http mode: where the child listens.
    pub upstream: Option<Upstream>,
    /// http mode: read the whole request before passing it on.
    pub buffer_request: bool,
    /// static mode: the folder.
    pub static_path: PathBuf,
    /// Path that answers readiness in the function's stead.
    pub ready_path: Option<String>,
    /// How the function's output appears in the log.
    pub lines: LineStyle,
    /// What is said about each call in the log.
    pub access: AccessLog,
}

/// Limits in time; none means no limit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection's first byte of a request to the last of its body; idle connections too.
    pub read: Option<Duration>,
    /// From the request's headers to the last byte of the answer.
    pub write: Option<Duration>,
    /// For the function.
    pub exec: Option<Duration>,
    /// How long a draining watchdog still accepts calls, so that callers learn of it.
    pub healthcheck_interval: Duration,
}

/// Details of the modes that start a process per call.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Forks {
    /// Request headers, method and path as `Http_*` variables.
    pub cgi_headers: bool,
    /// classic: stderr is part of the answer.
    pub combine_output: bool,
    /// classic: stdin is JSON of headers and body.
    pub marshal_request: bool,
    /// Print the function's output to the log.
    pub write_debug: bool,
    /// Print headers to the log.
    pub debug_headers: bool,
}

/// What is said about each call in the log.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Anything at all.
    pub enabled: bool,
    /// The `X-Call-Id` too.
    pub call_id: bool,
}

/// Where an http child listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What comes in front of each request's path; without a slash at its end.
    pub prefix: String,
}

impl Config {
    /// Reads and checks all variables.
    ///
    /// # Errors
    /// With every variable that is missing or bad.
    pub fn from_vars(vars: &Vars) -> Result<Self, BadVar> {
        let mut reader = vars.reader();
        let control = read_control(vars, &mut reader);
        let mode = read_mode(vars, &mut reader, control);
        let timeouts = read_timeouts(&mut reader, mode, control);
        let config = Self {
            mode,
            fprocess: read_fprocess(vars, &mut reader, mode),
            listen: read_listen(vars, &mut reader),
            local: read_local(vars, &mut reader),
            metrics: read_metrics(vars, &mut reader),
            control,
            timeouts,
            max_inflight: Some(reader.parsed("max_inflight", 0_usize, "a whole number"))
                .filter(|most| *most > 0),
            suppress_lock: reader.flag("suppress_lock", false),
            temporary: reader.text("TMPDIR", "/tmp").into(),
            content_type: read_content_type(vars, &mut reader),
            forks: read_forks(&mut reader),
            upstream: read_upstream(vars, &mut reader, mode, control),
            buffer_request: reader.flag("http_buffer_req_body", false)
                | reader.flag("buffer_http", false),
            static_path: read_static_path(vars, &mut reader),
            ready_path: read_ready_path(vars, &mut reader),
            lines: read_lines(&mut reader),
            access: AccessLog {
                enabled: reader.flag("access_log", true),
                call_id: reader.flag("log_callid", false) | reader.flag("log_call_id", false),
            },
        };
        refuse_unsupported(&mut reader);
        reader.finish(config)
    }
}

fn read_control(vars: &Vars, reader: &mut Reader<'_>) -> bool {
    match vars.get("TIDEGATE_CONTROL") {
        None => false,
        Some("stdin") => true,
        Some(_) => {
            reader.refuse("TIDEGATE_CONTROL", "stdin, or unset");
            false
        }
    }
}

fn read_mode(vars: &Vars, reader: &mut Reader<'_>, control: bool) -> Mode {
    // Only the classic watchdog reads these, so whoever sets one means that.
    let classic_only = ["marshal_request", "combine_output", "write_debug", "debug_headers"];
    match vars.get("mode") {
        Some("classic") => Mode::Classic,
        Some("streaming") => Mode::Streaming,
        Some("serializing") => Mode::Serializing,
        Some("http") => Mode::Http,
        Some("static") => Mode::Static,
        None if control || classic_only.iter().any(|name| vars.is_set(name)) => Mode::Classic,
        None => Mode::Streaming,
        Some(_) => {
            reader.refuse("mode", "classic, streaming, serializing, http or static");
            Mode::Streaming
        }
    }
}

fn read_fprocess(vars: &Vars, reader: &mut Reader<'_>, mode: Mode) -> Option<Fprocess> {
    let split = match vars.get("fprocess_split") {
        None | Some("spaces") => Split::Spaces,
        Some("shell") => Split::Shell,
        Some(_) => {
            reader.refuse("fprocess_split", "spaces or shell");
            Split::Spaces
        }
    };
    if mode == Mode::Static {
        return None;
    }
    let name = alias(vars, "function_process", "fprocess");
    match Fprocess::parse(vars.get(name).unwrap_or_default(), split) {
        Ok(fprocess) => Some(fprocess),
        Err(fault) => {
            reader.refuse(name, format!("the command to run; it {fault}"));
            None
        }
    }
}

fn alias<'a>(vars: &Vars, winner: &'a str, name: &'a str) -> &'a str {
    if vars.get(winner).is_some() { winner } else { name }
}

fn read_listen(vars: &Vars, reader: &mut Reader<'_>) -> Address {
    let port = reader.parsed("port", 8080_u16, "a port from 0 to 65535");
    let Some(text) = vars.get("TIDEGATE_LISTEN") else { return Address::Port(port) };
    Address::parse(text).unwrap_or_else(|| {
        reader.refuse("TIDEGATE_LISTEN", "unix:/path, tcp:ADDRESS:PORT or ADDRESS:PORT");
        Address::Port(port)
    })
}

fn read_local(vars: &Vars, reader: &mut Reader<'_>) -> Option<Address> {
    let text = vars.get("TIDEGATE_LOCAL")?;
    let local = Address::parse_name(text);
    if local.is_none() {
        reader.refuse("TIDEGATE_LOCAL", "@NAME, with a name of at most 107 bytes");
    }
    local
}

fn read_metrics(vars: &Vars, reader: &mut Reader<'_>) -> Option<Address> {
    match vars.get("TIDEGATE_METRICS") {
        None | Some("on") => Some(Address::Port(8081)),
        Some("off") => None,
        Some(text) => Address::parse(text).or_else(|| {
            reader.refuse("TIDEGATE_METRICS", "on, off, a port, ADDRESS:PORT or unix:/path");
            None
        }),
    }
}

fn read_timeouts(reader: &mut Reader<'_>, mode: Mode, control: bool) -> Timeouts {
    let thirty = Duration::from_secs(30);
    let some = |span: Duration| Some(span).filter(|span| !span.is_zero());
    let write = reader.duration("write_timeout", thirty);
    if write.is_zero() && mode != Mode::Classic {
        reader.refuse("write_timeout", "longer than 0");
    }
    let exec_default = if mode == Mode::Classic { Duration::ZERO } else { thirty };
    let interval_default = if control {
        // The gateway has stopped sending before it asks a replica to end.
        Duration::ZERO
    } else {
        // Long enough for callers to learn of it, short enough to leave time for draining.
        write.min(Duration::from_secs(5))
    };
    Timeouts {
        read: some(reader.duration("read_timeout", thirty)),
        write: some(write),
        exec: some(reader.duration("exec_timeout", exec_default)),
        healthcheck_interval: reader.duration("healthcheck_interval", interval_default),
    }
}

fn read_content_type(vars: &Vars, reader: &mut Reader<'_>) -> Option<HeaderValue> {
    let text = vars.get("content_type")?;
    HeaderValue::from_str(text)
        .map_err(|_| reader.refuse("content_type", "usable as a header"))
        .ok()
}

fn read_forks(reader: &mut Reader<'_>) -> Forks {
    Forks {
        cgi_headers: reader.flag("cgi_headers", true),
        combine_output: reader.flag("combine_output", true),
        marshal_request: reader.flag("marshal_request", false),
        write_debug: reader.flag("write_debug", false),
        debug_headers: reader.flag("debug_headers", false),
    }
}

fn read_upstream(
    vars: &Vars,
    reader: &mut Reader<'_>,
    mode: Mode,
    control: bool,
) -> Option<Upstream> {
    if mode != Mode::Http {
        return None;
    }
    let name = alias(vars, "http_upstream_url", "upstream_url");
    match vars.get(name) {
        // The port is chosen later, one for each replica.
        None if control => {
            Some(Upstream { host: "127.0.0.1".into(), port: 0, prefix: String::new() })
        }
        text => text.and_then(Upstream::parse).or_else(|| {
            reader.refuse(name, "the child's address in http mode, such as http://127.0.0.1:3000");
            None
        }),
    }
}

impl Upstream {
    /// Reads `http://host[:port][/path]`.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.trim().parse().ok()?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() {
            return None;
        }
        Some(Self {
            host: uri.host()?.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// `http://host:port/path`, as the child may want to know it.
    pub fn url(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("http://{host}:{}{}", self.port, self.prefix)
    }
}

fn read_static_path(vars: &Vars, reader: &mut Reader<'_>) -> PathBuf {
    if vars.is_set("static_path") && vars.get("static_path").is_none() {
        reader.refuse("static_path", "a folder, or unset");
    }
    reader.text("static_path", "/home/app/public").into()
}

fn read_ready_path(vars: &Vars, reader: &mut Reader<'_>) -> Option<String> {
    let path = vars.get("ready_path")?;
    if !path.starts_with('/') || path.parse::<Uri>().is_err() {
        reader.refuse("ready_path", "a path that begins with /");
    }
    Some(path.to_owned())
}

fn read_lines(reader: &mut Reader<'_>) -> LineStyle {
    let longest =
        reader.parsed("log_buffer_size", 65_536_i64, "a number of bytes, or -1 for no limit");
    LineStyle {
        prefix: reader.flag("prefix_logs", true),
        longest: usize::try_from(longest).ok().map(|longest| longest.max(1)),
    }
}

/// What would be unsafe to ignore.
fn refuse_unsupported(reader: &mut Reader<'_>) {
    if reader.flag("jwt_auth", false) {
        reader.refuse("jwt_auth", "unset: this watchdog does not check tokens itself");
    }
}

#[cfg(test)]
mod tests;
