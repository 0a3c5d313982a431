//! Why a call to containerd failed, and how that looks to callers of the trait.

use std::io;

use containerd_client::tonic::{Code, Status};
use thiserror::Error;
use tidegate_provider::ProviderError;

use crate::pull::PullError;

/// The backend's name in errors and to clients.
pub(crate) const BACKEND: &str = "containerd";

/// Why something could not be done with containerd, or with the network of a container.
#[derive(Debug, Error)]
pub enum Failure {
    /// containerd cannot be reached.
    #[error("containerd does not answer ({why}); see `systemctl status containerd`")]
    Away {
        /// What the connection said.
        why: String,
    },
    /// containerd refused.
    #[error("cannot {action}: {}", status.message())]
    Refused {
        /// What was tried.
        action: &'static str,
        /// What it said.
        status: Box<Status>,
    },
    /// containerd did not answer in time.
    #[error("cannot {action}: no answer from containerd within {seconds} s")]
    TooSlow {
        /// What was tried.
        action: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// A file, folder or mount cannot be used.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An image could not be pulled.
    #[error(transparent)]
    Pull(PullError),
    /// What was asked or given cannot be used, in words for users.
    #[error("{0}")]
    Told(String),
}

impl Failure {
    /// What `status` means for whoever tried `action`.
    pub(crate) fn new(action: &'static str, status: Status) -> Self {
        // The connection's own failures have a cause; what the daemon says has none.
        let broken = std::error::Error::source(&status).is_some();
        let locked = status.message().contains("locked");
        if broken || status.code() == Code::Unavailable && !locked {
            return Self::Away { why: whole(&status) };
        }
        Self::Refused { action, status: Box::new(status) }
    }

    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { status, .. } => Some(status.code()),
            _ => None,
        }
    }

    /// Whether what was asked about does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code() == Some(Code::NotFound)
    }

    /// Whether what was to be made exists.
    pub(crate) fn is_there_already(&self) -> bool {
        self.code() == Some(Code::AlreadyExists)
    }

    /// Whether somebody else is at it: worth another try.
    pub(crate) fn is_locked(&self) -> bool {
        self.code() == Some(Code::Unavailable)
    }

    /// Whether what was written is not what was to be written.
    pub(crate) fn is_mismatch(&self) -> bool {
        self.code() == Some(Code::FailedPrecondition)
    }

    /// Whether a shim was not there any more when it was asked: replicas share one, which ends with the last
    /// of them.
    pub(crate) fn is_of_a_shim(&self) -> bool {
        const SIGNS: [&str; 3] = ["failed to start shim", "ttrpc: closed", "connection refused"];
        matches!(self, Self::Refused { status, .. }
            if SIGNS.iter().any(|sign| status.message().contains(sign)))
    }

    /// Whether something is in the way that a start left which was cut off, as by a kill of containerd: it knows a
    /// task by that name which it cannot find, or has a folder for it which it does not clear.
    pub(crate) fn is_of_a_start_cut_off(&self) -> bool {
        self.is_there_already()
            || matches!(self, Self::Refused { status, .. } if status.message().contains("file exists"))
    }

    /// Whether containerd could not be reached or did not answer.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::TooSlow { .. })
    }
}

/// A connection's failure with its causes, which say more than it does.
fn whole(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(one) = cause {
        let said = one.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = one.source();
    }
    text
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away { why } => Self::Unreachable { backend: BACKEND, why },
            Failure::TooSlow { seconds, .. } => {
                Self::TooSlow { backend: BACKEND, limit: std::time::Duration::from_secs(seconds) }
            }
            Failure::Pull(error) => error.into(),
            Failure::Told(why) => Self::Invalid(why),
            Failure::Refused { action, .. } => Self::Failed {
                backend: BACKEND,
                action: action.to_owned(),
                source: Box::new(failure),
            },
            Failure::Io { ref action, .. } => {
                Self::Failed { backend: BACKEND, action: action.clone(), source: Box::new(failure) }
            }
        }
    }
}

/// What is absent already need not be removed.
pub(crate) fn or_absent<T>(result: Result<T, Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if !failure.is_not_found() => Err(failure),
        _ => Ok(()),
    }
}

/// What is there already need not be made.
pub(crate) fn or_there<T>(result: Result<T, Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if !failure.is_there_already() => Err(failure),
        _ => Ok(()),
    }
}
