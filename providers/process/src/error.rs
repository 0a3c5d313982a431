//! Why the backend could not be opened, and how its failures look to callers of the trait.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tidegate_provider::ProviderError;

/// The backend's name in errors and to clients.
pub(crate) const BACKEND: &str = "process";

/// Why the backend could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process holds the state directory.
    #[error(
        "{path} is in use by another tidegate (process {holder}); stop it, or choose another state directory"
    )]
    InUse {
        /// The state directory.
        path: PathBuf,
        /// The process that holds it, as far as is known.
        holder: String,
    },
    /// The state directory cannot be used.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file of the state is not what was written there.
    #[error("{path} is damaged ({why}); move it away to start without what it holds")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// A failure of the backend itself.
pub(crate) fn failed(
    action: impl Into<String>,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ProviderError {
    ProviderError::Failed { backend: BACKEND, action: action.into(), source: source.into() }
}
