//! Why the platform, not the function, answered a call.

use thiserror::Error;

/// Why the platform, not the function, answered a call.
#[derive(Debug, Error)]
pub enum InvokeError {
    /// No such function: 404.
    #[error("error finding function {0}: it is not deployed")]
    UnknownFunction(String),
}
