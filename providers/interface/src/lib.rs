//! What every backend promises: the [`Provider`] trait, its types and its errors.
//!
//! ```text
//! gateway, src/loops ──calls──► dyn Provider ◄──implements── process, containerd, kubernetes
//! ```
//!
//! The gateway sees of a replica its id, address and phase; what it is made of is the backend's affair.
//! With feature `testing` come the conformance suite that all backends run unchanged, and a fake that
//! runs it too.

mod deployment;
mod error;
mod provider;
mod status;

pub use deployment::{BadSecretName, Deployment, Resources, Secret, SecretName};
pub use error::ProviderError;
pub use provider::{
    Capabilities, Change, Depth, LogLine, LogQuery, LogStream, Namespace, Provider, ProviderInfo,
    ScaleTo, Watch,
};
pub use status::{Address, FunctionStatus, Phase, Replica, ReplicaId, ReplicaUsage};
