//! The process backend for the conformance suite: real processes in a state directory of its own.
//!
//! Each opening runs in a runtime of its own. Ending that at once is what `kill -9` looks like from outside:
//! no task runs any further, and all control streams close.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tidegate_core::FunctionId;
use tidegate_provider::conformance::Harness;
use tidegate_provider::{Deployment, Provider};
use tidegate_provider_process::{Config, OpenError, ProcessProvider};
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::TaskTracker;

pub struct ProcessHarness {
    folder: TempDir,
    runtime: Option<Runtime>,
}

impl ProcessHarness {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder for the state"), runtime: None }
    }
}

/// Settings for tests: this crate's own watchdog, and short pauses.
pub fn config(state_dir: &std::path::Path) -> Config {
    let mut config = Config::new(state_dir);
    config.watchdog = vec![env!("CARGO_BIN_EXE_process-replica").into()];
    config.backoff_first = Duration::from_millis(10);
    config.backoff_longest = Duration::from_millis(100);
    config.grace = Duration::from_secs(5);
    config
}

/// A function that runs `script` in a shell; `mode` is the watchdog's.
pub fn shell(name: &str, mode: &str, script: &str) -> Deployment {
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    Deployment {
        function: FunctionId::parse(name).expect("a good name"),
        image: "none".to_owned(),
        process: format!("sh -c '{script}'"),
        env: [pair("mode", mode), pair("fprocess_split", "shell"), pair("combine_output", "false")]
            .into(),
        labels: [].into(),
        annotations: [].into(),
        secrets: Vec::new(),
        constraints: Vec::new(),
        limits: None,
        requests: None,
        read_only_root: false,
    }
}

#[async_trait]
impl Harness for ProcessHarness {
    async fn open(&mut self) -> Arc<dyn Provider> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let config = config(self.folder.path());
        let opening = async {
            loop {
                let opening = ProcessProvider::open(config.clone(), TaskTracker::new());
                match runtime.spawn(opening).await.expect("opening does not panic") {
                    // A write that was under way at the crash still holds the directory.
                    Err(OpenError::InUse { .. }) => {
                        tokio::time::sleep(Duration::from_millis(5)).await
                    }
                    opened => return opened.unwrap_or_else(|failure| panic!("{failure:?}")),
                }
            }
        };
        let provider = tokio::time::timeout(Duration::from_secs(20), opening).await;
        let provider = provider.expect("what is left of a crashed backend ends soon");
        self.runtime = Some(runtime);
        provider
    }

    async fn crash(&mut self) {
        let runtime = self.runtime.take().expect("it was opened");
        runtime.shutdown_background();
    }

    fn echo(&self, name: &str) -> Deployment {
        shell(name, "classic", "body=$(cat); echo \"said: $body\" >&2; printf %s \"$body\"")
    }

    fn never_ready(&self, name: &str) -> Deployment {
        shell(name, "http", "exec sleep 1000")
    }

    fn crashing(&self, name: &str) -> Deployment {
        shell(name, "http", "echo this cannot work >&2; exit 3")
    }

    fn tells_secret(&self, name: &str, secret: &str) -> Deployment {
        let script = format!("cat >/dev/null; cat \"$TIDEGATE_SECRETS/{secret}\"");
        let mut deployment = shell(name, "classic", &script);
        deployment.secrets.push(secret.to_owned());
        deployment
    }

    fn impossible(&self, name: &str) -> Option<Deployment> {
        let mut deployment = self.echo(name);
        deployment.process.clear();
        Some(deployment)
    }
}

impl Drop for ProcessHarness {
    fn drop(&mut self) {
        // A runtime must not be dropped inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
