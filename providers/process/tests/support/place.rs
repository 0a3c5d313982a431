//! A backend in a state directory of its own, for tests that look behind the trait.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tempfile::TempDir;
use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::conformance::http::{Answer, call};
use tidegate_provider::{Deployment, FunctionStatus, LogLine, LogQuery, Phase, Provider, ScaleTo};
use tidegate_provider_process::{Config, ProcessProvider};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

pub struct Place {
    pub folder: TempDir,
    pub provider: Arc<ProcessProvider>,
}

impl Place {
    pub async fn open() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(set: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = super::harness::config(folder.path());
        set(&mut config);
        let provider = ProcessProvider::open(config, TaskTracker::new()).await;
        Self { folder, provider: provider.unwrap_or_else(|failure| panic!("{failure:?}")) }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub async fn deploy(&self, deployment: Deployment, count: u32) -> FunctionId {
        let function = deployment.function.clone();
        self.provider.deploy(deployment, Replicas::new(count)).await.expect("a good function");
        function
    }

    pub async fn deployed(&self, deployment: Deployment, count: u32) -> FunctionId {
        let function = self.deploy(deployment, count).await;
        self.until(&function, |status| status.ready().get() == count).await;
        function
    }

    pub async fn scale(&self, function: &FunctionId, to: ScaleTo) {
        self.provider.scale(function, to).await.expect("a deployed function");
    }

    pub async fn until(
        &self,
        function: &FunctionId,
        fits: impl Fn(&FunctionStatus) -> bool,
    ) -> FunctionStatus {
        let waiting = async {
            loop {
                let status = self.provider.get(function).await.expect("a deployed function");
                if fits(&status) {
                    return status;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        match timeout(Duration::from_secs(30), waiting).await {
            Ok(status) => status,
            Err(_) => panic!("not in time: {:#?}", self.provider.get(function).await),
        }
    }

    /// Waits until the only replica's detail holds `text`.
    pub async fn detail(&self, function: &FunctionId, text: &str) -> FunctionStatus {
        self.until(function, |status| status.replicas.iter().any(|it| it.detail.contains(text)))
            .await
    }

    /// Calls the first ready replica.
    pub async fn call(&self, function: &FunctionId, body: &str) -> Answer {
        let status = self.until(function, |status| !status.ready().is_zero()).await;
        let ready =
            status.replicas.iter().find(|it| it.phase == Phase::Ready).expect("one is ready");
        call(ready, body.as_bytes()).await.expect("a ready replica answers")
    }

    pub async fn text(&self, function: &FunctionId, body: &str) -> String {
        String::from_utf8(self.call(function, body).await.body).expect("text")
    }

    pub async fn log(&self, function: &FunctionId, tail: Option<usize>) -> Vec<LogLine> {
        let function = function.clone();
        let query = LogQuery { function, instance: None, since: None, tail, follow: false };
        let stream = self.provider.logs(query).await.expect("a deployed function");
        stream.map(|line| line.expect("a readable log")).collect().await
    }
}
