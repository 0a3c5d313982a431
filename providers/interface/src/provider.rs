//! The trait that every backend implements.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::SystemTime;

use async_trait::async_trait;
use futures_core::Stream;
use tidegate_core::{FunctionId, Replicas};

use crate::{
    Deployment, FunctionStatus, ProviderError, ReplicaId, ReplicaUsage, Secret, SecretName,
};

/// A backend that runs replicas of functions.
///
/// Calls for one function may arrive at the same time; a backend orders them itself. Whatever returned
/// `Ok` survives a crash of the control plane.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The backend's name, such as `process`.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Who it is, and whether it is well.
    ///
    /// # Errors
    /// When it cannot be reached.
    async fn info(&self) -> Result<ProviderInfo, ProviderError>;

    /// Deploys a new function with this many replicas on their way; does not wait for them.
    ///
    /// # Errors
    /// When it exists, names an unknown secret or namespace, or cannot be run by this backend.
    async fn deploy(&self, deployment: Deployment, replicas: Replicas)
    -> Result<(), ProviderError>;

    /// Replaces what is deployed. The desired count stays; new replicas become ready before old ones
    /// end, and a revision that never becomes ready leaves the old one serving.
    ///
    /// # Errors
    /// When it does not exist (checked first), or as for deploying.
    async fn update(&self, deployment: Deployment) -> Result<(), ProviderError>;

    /// Removes a function with its replicas. They finish their calls within the backend's grace.
    ///
    /// # Errors
    /// When it does not exist.
    async fn delete(&self, function: &FunctionId) -> Result<(), ProviderError>;

    /// All functions of a namespace, or of all namespaces, in order of their names.
    ///
    /// # Errors
    /// When the backend cannot be reached, or the namespace does not exist.
    async fn list(&self, namespace: Option<&str>) -> Result<Vec<FunctionStatus>, ProviderError>;

    /// One function.
    ///
    /// # Errors
    /// When it does not exist.
    async fn get(&self, function: &FunctionId) -> Result<FunctionStatus, ProviderError>;

    /// Makes the count of replicas what is asked; returns when that is on its way and durable, not when
    /// it is done. Only the scale loop calls this.
    ///
    /// # Errors
    /// When the function does not exist or the backend cannot do it; the count is then unchanged.
    async fn scale(&self, function: &FunctionId, to: ScaleTo) -> Result<(), ProviderError>;

    /// Names of the secrets of a namespace, in order; values never leave the backend.
    ///
    /// # Errors
    /// When the namespace does not exist.
    async fn secrets(&self, namespace: &str) -> Result<Vec<SecretName>, ProviderError>;

    /// Keeps a new secret.
    ///
    /// # Errors
    /// When it exists.
    async fn create_secret(&self, secret: Secret) -> Result<(), ProviderError>;

    /// Replaces a secret; functions read the new value without a restart.
    ///
    /// # Errors
    /// When it does not exist.
    async fn update_secret(&self, secret: Secret) -> Result<(), ProviderError>;

    /// Forgets a secret.
    ///
    /// # Errors
    /// When it does not exist, or a deployed function uses it.
    async fn delete_secret(&self, name: &SecretName) -> Result<(), ProviderError>;

    /// Namespaces that may hold functions; the default one is always among them.
    ///
    /// # Errors
    /// When the backend cannot be reached.
    async fn namespaces(&self) -> Result<Vec<Namespace>, ProviderError>;

    /// Makes a namespace.
    ///
    /// # Errors
    /// When it exists.
    async fn create_namespace(&self, namespace: Namespace) -> Result<(), ProviderError>;

    /// Replaces a namespace's labels and annotations.
    ///
    /// # Errors
    /// When it does not exist.
    async fn update_namespace(&self, namespace: Namespace) -> Result<(), ProviderError>;

    /// Removes a namespace with its secrets.
    ///
    /// # Errors
    /// When it does not exist, is the default one, or holds functions.
    async fn delete_namespace(&self, name: &str) -> Result<(), ProviderError>;

    /// Log lines of a function, oldest first; with `follow`, also those to come, until it is dropped.
    ///
    /// # Errors
    /// When the function does not exist.
    async fn logs(&self, query: LogQuery) -> Result<LogStream, ProviderError>;

    /// What each running replica uses.
    ///
    /// # Errors
    /// When the function does not exist.
    async fn usage(&self, function: &FunctionId) -> Result<Vec<ReplicaUsage>, ProviderError>;

    /// Every function as it is now ([`Change::Function`] each, then [`Change::Synced`]), then each that
    /// changes, with its latest state; steps in between may be skipped. Never blocks the backend.
    fn watch(&self) -> Watch;

    /// Ends or lets go of replicas as suits the backend, when the control plane stops for good.
    async fn release(&self);
}

/// Changes of functions.
pub type Watch = Pin<Box<dyn Stream<Item = Change> + Send>>;

/// Log lines.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<LogLine, ProviderError>> + Send>>;

/// One change seen by [`Provider::watch`].
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The function is now so.
    Function(FunctionStatus),
    /// The function is gone.
    Gone(FunctionId),
    /// All that existed when the watch began has been told.
    Synced,
}

/// What a backend can do beyond the minimum.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Replicas can be frozen with their memory kept.
    pub freeze: bool,
    /// Replicas can be kept created, their programs not started.
    pub create: bool,
    /// The victims named in [`ScaleTo`] are the ones removed.
    pub victims: bool,
    /// Namespaces can be made and removed.
    pub namespaces: bool,
}

/// A wanted count, and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleTo {
    /// The count.
    pub replicas: Replicas,
    /// Replicas to remove first; they have been drained. Ids that are gone are ignored. When more must
    /// go, the backend picks: those not ready first, then the newest.
    pub victims: Vec<ReplicaId>,
    /// At zero: how deep. A backend that [cannot](Capabilities) do that removes.
    pub depth: Depth,
}

/// How deep zero is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Depth {
    /// Replicas are ended.
    #[default]
    Removed,
    /// At least one replica is kept made, its program not started: all that the next scale above zero does is
    /// to start it. Replicas that are there are ended, frozen ones too. One that cannot be made, or is lost, is
    /// not made anew before the next scale.
    Created,
    /// At least one replica is kept frozen, to be thawed by the next scale above zero.
    Frozen,
}

/// Who a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderInfo {
    /// Its name as clients see it.
    pub provider: String,
    /// What it drives.
    pub orchestration: String,
    /// Its release.
    pub release: String,
    /// Its commit.
    pub sha: String,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Which log lines are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// Of which function.
    pub function: FunctionId,
    /// Only of this replica.
    pub instance: Option<String>,
    /// No older than this.
    pub since: Option<SystemTime>,
    /// At most this many of the newest.
    pub tail: Option<usize>,
    /// Whether to go on with lines to come.
    pub follow: bool,
}

/// One log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Which function.
    pub function: FunctionId,
    /// Which replica.
    pub instance: ReplicaId,
    /// When it was written.
    pub at: SystemTime,
    /// What was written, without the end of line.
    pub text: String,
}

impl ScaleTo {
    /// This count, the backend picking any victims.
    pub fn replicas(count: u32) -> Self {
        Self { replicas: Replicas::new(count), victims: Vec::new(), depth: Depth::Removed }
    }
}
