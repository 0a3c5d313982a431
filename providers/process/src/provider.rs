//! The trait's implementation: from what is asked to durable state and replicas.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::{
    Capabilities, Deployment, FunctionStatus, LogQuery, LogStream, Namespace, Provider,
    ProviderError, ProviderInfo, ReplicaUsage, ScaleTo, Secret, SecretName, Watch,
};
use tokio_util::task::TaskTracker;

use crate::error::BACKEND;
use crate::{Config, OpenError};

/// Runs replicas as watchdog children of this process.
#[derive(Debug)]
pub struct ProcessProvider {
    config: Config,
}

impl ProcessProvider {
    /// Takes the state directory, ends what an earlier run left behind, and starts what was deployed.
    ///
    /// Replicas are tasks of the runtime this is called in, spawned through `tasks`.
    ///
    /// # Errors
    /// When the directory is in use, cannot be written, or holds a damaged file.
    pub async fn open(config: Config, tasks: TaskTracker) -> Result<Arc<Self>, OpenError> {
        drop(tasks);
        Ok(Arc::new(Self { config }))
    }
}

fn missing<T>() -> Result<T, ProviderError> {
    Err(ProviderError::Unsupported { backend: BACKEND, what: "this yet" })
}

#[async_trait]
impl Provider for ProcessProvider {
    fn name(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { freeze: true, victims: true, namespaces: true }
    }

    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        Ok(ProviderInfo {
            provider: "tidegate".to_owned(),
            orchestration: BACKEND.to_owned(),
            release: self.config.release.clone(),
            sha: self.config.sha.clone(),
        })
    }

    async fn deploy(&self, _: Deployment, _: Replicas) -> Result<(), ProviderError> {
        missing()
    }
    async fn update(&self, _: Deployment) -> Result<(), ProviderError> {
        missing()
    }
    async fn delete(&self, _: &FunctionId) -> Result<(), ProviderError> {
        missing()
    }
    async fn list(&self, _: Option<&str>) -> Result<Vec<FunctionStatus>, ProviderError> {
        missing()
    }
    async fn get(&self, _: &FunctionId) -> Result<FunctionStatus, ProviderError> {
        missing()
    }
    async fn scale(&self, _: &FunctionId, _: ScaleTo) -> Result<(), ProviderError> {
        missing()
    }
    async fn secrets(&self, _: &str) -> Result<Vec<SecretName>, ProviderError> {
        missing()
    }
    async fn create_secret(&self, _: Secret) -> Result<(), ProviderError> {
        missing()
    }
    async fn update_secret(&self, _: Secret) -> Result<(), ProviderError> {
        missing()
    }
    async fn delete_secret(&self, _: &SecretName) -> Result<(), ProviderError> {
        missing()
    }
    async fn namespaces(&self) -> Result<Vec<Namespace>, ProviderError> {
        missing()
    }
    async fn create_namespace(&self, _: Namespace) -> Result<(), ProviderError> {
        missing()
    }
    async fn update_namespace(&self, _: Namespace) -> Result<(), ProviderError> {
        missing()
    }
    async fn delete_namespace(&self, _: &str) -> Result<(), ProviderError> {
        missing()
    }
    async fn logs(&self, _: LogQuery) -> Result<LogStream, ProviderError> {
        missing()
    }
    async fn usage(&self, _: &FunctionId) -> Result<Vec<ReplicaUsage>, ProviderError> {
        missing()
    }
    fn watch(&self) -> Watch {
        Box::pin(futures_util::stream::pending())
    }
    async fn release(&self) {}
}
