//! The containerd backend for the conformance suite and other tests: real containers on a containerd of its own.
//!
//! Each opening runs in a runtime of its own. Ending that at once is what `kill -9` looks like from outside.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::FunctionId;
use tidegate_provider::conformance::Harness;
use tidegate_provider::{Deployment, Provider};
use tidegate_provider_containerd::{Config, ContainerdProvider, OpenError, import_images};
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::TaskTracker;

use crate::daemon::Daemon;
use crate::images;

pub struct ContainerdHarness {
    runtime: Option<Runtime>,
    pub config: Config,
    pub daemon: Daemon,
    imported: bool,
}

impl ContainerdHarness {
    /// None where there can be no containerd.
    pub fn new() -> Option<Self> {
        Daemon::start().map(Self::on)
    }

    /// One on this containerd.
    pub fn on(daemon: Daemon) -> Self {
        let config = daemon.config();
        Self { runtime: None, config, daemon, imported: false }
    }

    /// Opens the backend, after its image was brought in.
    pub async fn open_provider(&mut self) -> Arc<ContainerdProvider> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let config = self.config.clone();
        let opening = async {
            loop {
                let opening = ContainerdProvider::open(config.clone(), TaskTracker::new());
                match runtime.spawn(opening).await.expect("opening does not panic") {
                    // What was under way at the crash still holds the directory.
                    Err(OpenError::InUse { .. }) => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    opened => return opened.unwrap_or_else(|failure| panic!("{failure:?}")),
                }
            }
        };
        let provider = tokio::time::timeout(Duration::from_secs(60), opening).await;
        let provider = provider.expect("what is left of a crashed backend ends soon");
        self.runtime = Some(runtime);
        if !std::mem::replace(&mut self.imported, true) {
            let file = self.daemon.path("function.tar");
            images::write(&file);
            let names = import_images(&self.config, &file, None).await;
            assert_eq!(names.expect("a good image"), [images::FUNCTION]);
        }
        provider
    }
}

impl ContainerdHarness {
    /// Ends the control plane, and starts none.
    pub fn runtime_off(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A function of the test image; `process` says what it does.
pub fn function(name: &str, process: &str) -> Deployment {
    Deployment {
        function: FunctionId::parse(name).expect("a good name"),
        image: "function:test".to_owned(),
        process: process.to_owned(),
        env: [].into(),
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
impl Harness for ContainerdHarness {
    async fn open(&mut self) -> Arc<dyn Provider> {
        self.open_provider().await
    }

    async fn crash(&mut self) {
        let runtime = self.runtime.take().expect("it was opened");
        runtime.shutdown_background();
    }

    fn echo(&self, name: &str) -> Deployment {
        function(name, "serve")
    }

    fn never_ready(&self, name: &str) -> Deployment {
        function(name, "exec sleep 1000")
    }

    fn crashing(&self, name: &str) -> Deployment {
        function(name, "echo this cannot work >&2; exit 3")
    }

    fn tells_secret(&self, name: &str, secret: &str) -> Deployment {
        let mut deployment = function(name, &format!("secret {secret}"));
        deployment.secrets.push(secret.to_owned());
        deployment
    }

    fn impossible(&self, name: &str) -> Option<Deployment> {
        let mut deployment = self.echo(name);
        deployment.image = "no-such-image:anywhere".to_owned();
        Some(deployment)
    }

    /// Containers are started through several programs, on a machine that does much else.
    fn patience(&self) -> Duration {
        Duration::from_secs(90)
    }
}

impl Drop for ContainerdHarness {
    fn drop(&mut self) {
        // A runtime must not be dropped inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
