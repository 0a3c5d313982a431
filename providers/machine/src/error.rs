//! Why the backend could not be opened, and how its failures look to callers of the trait.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tidegate_provider::ProviderError;

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
    /// What the backend drives cannot be used.
    #[error(transparent)]
    Backend(#[from] ProviderError),
}

impl OpenError {
    /// What to make of a failure to do `action`, such as `read`, on `path`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// A failure of the backend itself.
pub fn failed(
    backend: &'static str,
    action: impl Into<String>,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ProviderError {
    ProviderError::Failed { backend, action: action.into(), source: source.into() }
}

/// Does `work`, which waits for the disk, on a thread of its own; `action` names it in the error.
///
/// # Errors
/// When the work fails, or the tokio runtime is shutting down.
pub async fn disk<T: Send + 'static>(
    backend: &'static str,
    action: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ProviderError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| stopped(backend))?;
    done.map_err(|source| failed(backend, action, source))
}

/// A call to a backend that does not run any more.
pub(crate) fn stopped(backend: &'static str) -> ProviderError {
    ProviderError::Unreachable { backend, why: "it has been shut down".to_owned() }
}
