//! Why a provider could not do what it was asked; the gateway turns these into statuses.

use std::time::Duration;

use thiserror::Error;
use tidegate_core::FunctionId;

/// Why a provider could not do what it was asked, by what the caller does next.
#[derive(Debug, Error)]
pub enum ProviderError {
    /// The function does not exist: 404.
    #[error("function {0} is not deployed")]
    NotDeployed(FunctionId),
    /// The function exists already: 409.
    #[error("function {0} is deployed already; update it instead")]
    AlreadyDeployed(FunctionId),
    /// A secret, namespace or other named thing does not exist: 404.
    #[error("{what} {name:?} does not exist")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A secret, namespace or other named thing exists already: 409.
    #[error("{what} {name:?} exists already")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The request can never work as it is; the text says why and what would: 400.
    #[error("{0}")]
    Invalid(String),
    /// The backend has no such capability: 501.
    #[error("the {backend} provider does not support {what}")]
    Unsupported {
        /// Which backend.
        backend: &'static str,
        /// What was asked of it.
        what: &'static str,
    },
    /// The backend cannot be reached now: 503 with `Retry-After`.
    #[error("the {backend} provider cannot be reached: {why}")]
    Unreachable {
        /// Which backend.
        backend: &'static str,
        /// What it said.
        why: String,
    },
    /// The backend took too long: 504.
    #[error("the {backend} provider did not answer within {limit:?}")]
    TooSlow {
        /// Which backend.
        backend: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// Anything else: 500.
    #[error("the {backend} provider failed to {action}")]
    Failed {
        /// Which backend.
        backend: &'static str,
        /// What it tried.
        action: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
