//! What is sent, to whom, and how fast.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

/// Everything one run needs to know before its first call.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to call; at least one.
    pub targets: Vec<Target>,
    /// When each call is due.
    pub pace: Pace,
    /// Calls open at once: workers of a closed loop; of an open loop the most that may be open (a call
    /// that finds none free waits, and its latency counts from when it was due).
    pub connections: usize,
    /// Ends the run when this many calls were begun.
    pub calls: Option<u64>,
    /// Ends the run when this much time has passed.
    pub duration: Option<Duration>,
    /// Longest time for one call, its connection included; none waits for ever.
    pub timeout: Option<Duration>,
    /// Threads that send; at least one.
    pub threads: usize,
    /// How connections are made.
    pub transport: Transport,
    /// Seeds weights and random profiles: the same seed sends the same sequence.
    pub seed: u64,
}

/// How connections are made.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// HTTP/2, by ALPN over TLS, by prior knowledge without.
    pub http2: bool,
    /// A new connection for every call.
    pub no_keepalive: bool,
    /// No `Accept-Encoding: gzip`.
    pub no_compression: bool,
    /// Answers 3xx are not followed.
    pub no_redirects: bool,
    /// Certificates are not checked.
    pub insecure: bool,
    /// PEM file with certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// HTTP proxy; absolute-form requests for `http`, `CONNECT` for `https`.
    pub proxy: Option<Uri>,
    /// Connects here instead of where the URL points (tests).
    pub connect_to: Option<SocketAddr>,
}

/// One thing to call.
#[derive(Clone, Debug)]
pub struct Target {
    /// How reports name it: the function's name, or the URL.
    pub name: String,
    /// Its share among all targets' weights; at least 1.
    pub weight: u32,
    /// Method of the call.
    pub method: Method,
    /// Absolute, `http` or `https`.
    pub uri: Uri,
    /// Headers of the call, `Host` only when given.
    pub headers: HeaderMap,
    /// Body of the call.
    pub body: Bytes,
    /// What counts as right.
    pub check: Check,
}

/// What counts as a right answer; else the call is an error.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// Statuses that are right; empty means hey's rule: every answer is, whatever its status.
    pub statuses: Vec<u16>,
    /// Text the body must contain.
    pub body_contains: Option<String>,
}

/// When calls are due.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Each worker sends when its last call has ended, at most so often a second (hey's `-q`).
    Closed {
        /// Calls a second for each worker; none is as fast as answers come.
        each: Option<f64>,
    },
    /// At moments that do not depend on answers.
    Open(crate::profile::Profile),
    /// At the moments of a recording.
    Replay(std::sync::Arc<[Due]>),
}

/// One call of a recording.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// After the start of the run.
    pub at: Duration,
    /// Index into [`Plan::targets`].
    pub target: u32,
    /// How long the function is asked to take, sent as `X-Sleep`; none sends no header.
    pub takes: Option<Duration>,
    /// Bytes of body to send instead of the target's.
    pub body: Option<u64>,
}
