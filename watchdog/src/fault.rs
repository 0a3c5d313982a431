//! What can go wrong with a call, and the status and words that the caller gets for it.
//!
//! The only place where a failure becomes a status. `X-OpenFaaS-Internal` marks what the platform
//! did, as against what the function did: queue workers retry on its presence.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use http::StatusCode;
use thiserror::Error;

/// Name of the header that marks the platform's own errors.
pub const INTERNAL: &str = "x-openfaas-internal";

/// The limit that a call ran into.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `exec_timeout` or `X-Timeout`.
    Exec,
    /// `write_timeout`.
    Write,
}

/// A request body that did not arrive whole.
#[derive(Debug, Error)]
pub enum BodyFault {
    /// The connection or the framing broke.
    #[error("the request body broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// It took longer than `read_timeout`.
    #[error("the request body took longer than read_timeout")]
    TooSlow,
}

/// Why a call failed.
#[derive(Debug, Error)]
pub enum Fault {
    /// As many calls run as `max_inflight` allows.
    #[error("Concurrent request limit exceeded. Max concurrent requests: {0}")]
    Busy(usize),
    /// A verb that classic mode does not take.
    #[error("classic mode takes GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS")]
    Method,
    /// A request that names no path.
    #[error("the request names no path")]
    NoPath,
    /// The request body did not arrive whole.
    #[error(transparent)]
    Body(#[from] BodyFault),
    /// A path with a NUL cannot be handed to a process.
    #[error("the path contains a NUL, which no process can be given")]
    Nul,
    /// One variable is limited to 128 KiB by the kernel.
    #[error("{name} is longer than the 128 KiB that a process can be given in one variable")]
    HeaderTooLong {
        /// The header or part of the request line.
        name: String,
    },
    /// All variables together are too long for the kernel.
    #[error("the headers are longer than a process can be given")]
    HeadersTooLong,
    /// The process could not be started.
    #[error("cannot start {program}: {fault}")]
    Spawn {
        /// What was to be run.
        program: String,
        /// The system's word.
        fault: io::Error,
    },
    /// The pipe from the process broke.
    #[error("cannot read from the function: {0}")]
    Pipe(io::Error),
    /// The process ended with a status other than 0.
    #[error("{}", exit_text(*.0))]
    Exited(ExitStatus),
    /// A limit in time; `killed` is what classic and serializing callers know it by.
    #[error("{words}")]
    TimedOut {
        /// What the caller is told.
        words: String,
        /// Which status it gets.
        status: StatusCode,
    },
    /// The http child could not be reached.
    #[error("the function does not accept connections: {0}")]
    Unreachable(io::Error),
    /// The http child broke the connection before it answered.
    #[error("the function broke the connection: {0}")]
    Broken(hyper::Error),
}

impl Fault {
    /// The caller's status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Body(_) | Self::Nul | Self::NoPath => StatusCode::BAD_REQUEST,
            Self::HeaderTooLong { .. } | Self::HeadersTooLong => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::TimedOut { status, .. } => *status,
            Self::Spawn { .. }
            | Self::Pipe(_)
            | Self::Exited(_)
            | Self::Unreachable(_)
            | Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The mark of the platform's own errors; none on what the function or the caller did.
    pub fn internal(&self) -> Option<&'static str> {
        match self {
            Self::Busy(_) => Some("faas-middleware"),
            Self::Spawn { .. }
            | Self::Pipe(_)
            | Self::TimedOut { .. }
            | Self::Unreachable(_)
            | Self::Broken(_) => Some("of-watchdog"),
            Self::Method
            | Self::NoPath
            | Self::Body(_)
            | Self::Nul
            | Self::HeaderTooLong { .. }
            | Self::HeadersTooLong
            | Self::Exited(_) => None,
        }
    }

    /// A process that could not be started; a too long environment is the caller's doing.
    pub fn spawn(program: &str, fault: io::Error) -> Self {
        if fault.kind() == io::ErrorKind::ArgumentListTooLong {
            return Self::HeadersTooLong;
        }
        Self::Spawn { program: program.to_owned(), fault }
    }
}

/// An exit status in the words that callers know: `exit status 3`, `signal: killed`.
pub fn exit_text(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return format!("exit status {}", status.code().unwrap_or_default());
    };
    let name = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        11 => "segmentation fault",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        24 => "CPU time limit exceeded",
        25 => "file size limit exceeded",
        other => return format!("signal: signal {other}"),
    };
    let core = if status.core_dumped() { " (core dumped)" } else { "" };
    format!("signal: {name}{core}")
}
