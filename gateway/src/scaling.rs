//! What the REST handlers ask of the scale loop, which alone changes replica counts.

use async_trait::async_trait;
use thiserror::Error;
use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::ProviderError;

/// The scale loop as the REST handlers see it.
#[async_trait]
pub trait Scaling: Send + Sync + 'static {
    /// Asks for a count on behalf of an operator; returns when it is on its way.
    ///
    /// # Errors
    /// When the function is not deployed, the count is out of bounds or the provider cannot do it.
    async fn scale(&self, function: &FunctionId, to: Replicas) -> Result<(), ScaleError>;

    /// Tells of an alert that began (`firing`) or ended.
    ///
    /// # Errors
    /// As for [`Scaling::scale`].
    async fn alert(&self, function: &FunctionId, firing: bool) -> Result<(), ScaleError>;

    /// Why the count is what it is, and why it is not `why_not`, as JSON; `None` for a function the loop
    /// does not know.
    async fn explain(
        &self,
        function: &FunctionId,
        why_not: Option<Replicas>,
    ) -> Option<serde_json::Value>;
}

/// Why the scale loop did not do what was asked.
#[derive(Debug, Error)]
pub enum ScaleError {
    /// The provider could not.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The request can never work as it is; the text says why: 400.
    #[error("{0}")]
    Refused(String),
    /// The control plane is stopping: 503.
    #[error("the control plane is stopping")]
    Stopping,
}
