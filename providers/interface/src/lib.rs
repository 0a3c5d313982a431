#![doc = include_str!("../README.md")]

#[cfg(feature = "testing")]
pub mod conformance;
mod crashes;
mod deployment;
mod error;
#[cfg(feature = "testing")]
pub mod fake;
mod pairs;
mod provider;
mod status;

pub use crashes::{Crash, CrashReason, Crashes};
pub use deployment::{BadSecretName, Deployment, Resources, Secret, SecretName};
pub use error::ProviderError;
pub use pairs::Pairs;
pub use provider::{
    Capabilities, Change, Depth, LogLine, LogQuery, LogStream, Namespace, Provider, ProviderInfo,
    ScaleTo, Watch,
};
pub use status::{Address, FunctionStatus, Phase, Replica, ReplicaId, ReplicaUsage};
