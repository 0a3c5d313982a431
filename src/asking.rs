//! The scale loop as the REST handlers see it: they ask over a channel and wait for the answer.

use async_trait::async_trait;
use tidegate_autoscaler::Ask;
use tidegate_core::{FunctionId, Replicas};
use tidegate_gateway::{ScaleError, Scaling};
use tokio::sync::{mpsc, oneshot};

use crate::loops::scale::Request;

/// Hands asks to the scale loop.
pub struct Asking {
    /// The receiver is the scale loop.
    requests: mpsc::Sender<Request>,
}

impl Asking {
    /// Asks the loop at the other end of `requests`.
    pub fn new(requests: mpsc::Sender<Request>) -> Self {
        Self { requests }
    }

    async fn ask(&self, function: &FunctionId, ask: Ask) -> Result<(), ScaleError> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Ask { function: function.clone(), ask, answer };
        self.requests.send(request).await.map_err(|_| ScaleError::Stopping)?;
        answered.await.map_err(|_| ScaleError::Stopping)?
    }
}

#[async_trait]
impl Scaling for Asking {
    async fn scale(&self, function: &FunctionId, to: Replicas) -> Result<(), ScaleError> {
        self.ask(function, Ask::Operator(to)).await
    }

    async fn alert(&self, function: &FunctionId, firing: bool) -> Result<(), ScaleError> {
        let ask = if firing { Ask::AlertFiring } else { Ask::AlertResolved };
        self.ask(function, ask).await
    }

    async fn explain(
        &self,
        function: &FunctionId,
        why_not: Option<Replicas>,
    ) -> Option<serde_json::Value> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Explain { function: function.clone(), why_not, answer };
        self.requests.send(request).await.ok()?;
        answered.await.ok()?
    }
}
