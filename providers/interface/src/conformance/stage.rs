//! Where a case plays: a harness, its open provider, and ways to wait for what must come.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{FunctionId, Replicas};
use tokio::time::{sleep, timeout};

use super::Harness;
use super::http::call;
use crate::{Deployment, FunctionStatus, Phase, Provider, Replica, ReplicaId, ScaleTo};

/// Pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// A harness with its open provider.
pub struct Stage {
    /// The backend's own.
    pub harness: Box<dyn Harness>,
    /// What is tested.
    pub provider: Open,
}

/// The open provider; none for the moment between crash and reopening, when nobody may hold it.
pub struct Open(Option<Arc<dyn Provider>>);

impl Deref for Open {
    type Target = Arc<dyn Provider>;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("it is away only while it is reopened")
    }
}

impl Stage {
    /// Opens the provider over an empty state.
    pub async fn new(mut harness: Box<dyn Harness>) -> Self {
        let provider = Open(Some(harness.open().await));
        Self { harness, provider }
    }

    /// Lets the provider go.
    pub async fn end(self) {
        self.soon("the provider lets go", self.provider.release()).await;
    }

    /// Crashes the control plane and opens it again.
    pub async fn crash_and_reopen(&mut self) {
        self.provider.0 = None;
        self.harness.crash().await;
        self.provider.0 = Some(self.harness.open().await);
    }

    /// Deploys and waits until `count` replicas are ready.
    pub async fn deployed(&self, deployment: Deployment, count: u32) -> FunctionId {
        let function = deployment.function.clone();
        let wanted = Replicas::new(count);
        self.provider.deploy(deployment, wanted).await.expect("a good function is deployed");
        self.ready(&function, count).await;
        function
    }

    /// Scales to `count`, the backend picking victims.
    pub async fn scale(&self, function: &FunctionId, count: u32) {
        self.scale_to(function, ScaleTo::replicas(count)).await;
    }

    /// Scales.
    pub async fn scale_to(&self, function: &FunctionId, to: ScaleTo) {
        self.provider.scale(function, to).await.expect("a deployed function is scaled");
    }

    /// The function now.
    pub async fn status(&self, function: &FunctionId) -> FunctionStatus {
        self.provider.get(function).await.expect("the function is deployed")
    }

    /// Waits until exactly `count` replicas are ready and no other is there.
    pub async fn ready(&self, function: &FunctionId, count: u32) -> FunctionStatus {
        let what = format!("{count} ready replicas of {function} and no other");
        let settled = |status: &FunctionStatus| {
            status.ready().get() == count && status.replicas.len() == count as usize
        };
        self.until(function, &what, settled).await
    }

    /// Waits until the function is as `fits` says.
    pub async fn until(
        &self,
        function: &FunctionId,
        what: &str,
        fits: impl Fn(&FunctionStatus) -> bool,
    ) -> FunctionStatus {
        let patience = self.harness.patience();
        let waiting = async {
            loop {
                let status = self.status(function).await;
                if fits(&status) {
                    return status;
                }
                sleep(LOOK).await;
            }
        };
        match timeout(patience, waiting).await {
            Ok(status) => status,
            Err(_) => panic!("no {what} within {patience:?}: {:#?}", self.status(function).await),
        }
    }

    /// Waits for `coming`.
    pub async fn soon<T>(&self, what: &str, coming: impl Future<Output = T>) -> T {
        let patience = self.harness.patience();
        timeout(patience, coming)
            .await
            .unwrap_or_else(|_| panic!("{what}: not within {patience:?}"))
    }

    /// Calls each ready replica and checks that it echoes.
    pub async fn echoes(&self, status: &FunctionStatus) {
        for replica in ready_replicas(status) {
            self.echoes_one(replica).await;
        }
    }

    /// Calls one replica and checks that it echoes.
    pub async fn echoes_one(&self, replica: &Replica) {
        let body = format!("hello {}", replica.id);
        let answer = self.soon("an answer", call(replica, body.as_bytes())).await;
        let answer = answer.unwrap_or_else(|failure| panic!("{} answers: {failure}", replica.id));
        assert_eq!((answer.status, text(&answer.body)), (200, body));
    }
}

/// Replicas that are ready.
pub(super) fn ready_replicas(status: &FunctionStatus) -> impl Iterator<Item = &Replica> {
    status.replicas.iter().filter(|replica| replica.phase == Phase::Ready)
}

/// Ids of all replicas.
pub(super) fn ids(status: &FunctionStatus) -> Vec<ReplicaId> {
    status.replicas.iter().map(|replica| replica.id.clone()).collect()
}

/// A body as text, without the line end that some functions add.
pub(super) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim_end().to_owned()
}

/// Checks that `result` is the error that `fits`.
#[track_caller]
pub(super) fn refused<T: Debug>(
    result: Result<T, crate::ProviderError>,
    fits: impl Fn(&crate::ProviderError) -> bool,
) {
    match result {
        Err(error) => assert!(fits(&error), "refused for another reason: {error:?}"),
        Ok(done) => panic!("was not refused: {done:?}"),
    }
}
