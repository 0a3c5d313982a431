//! Pulling in tests: a containerd of its own, settings that ask nobody but registries on loopback, and looks
//! into what is in containerd afterwards.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use tidegate_provider_containerd::{Config, Failure, PullEvent, Pulled, pull_image};

use crate::daemon::Daemon;

/// A containerd and the settings of pulls into it.
pub struct Puller {
    pub daemon: Daemon,
    pub config: Config,
    pub events: Mutex<Vec<PullEvent>>,
}

impl Puller {
    /// None where there can be no containerd.
    pub fn new() -> Option<Self> {
        let daemon = Daemon::start()?;
        let mut config = daemon.config();
        config.registries.logins = Vec::new();
        config.registries.pause = Duration::from_millis(5);
        Some(Self { daemon, config, events: Mutex::default() })
    }

    /// From now on only this identity token is known.
    pub fn log_in_by_token(&mut self, host: &str, token: &str) {
        let path = self.daemon.path("config.json");
        let entry = serde_json::json!({"auth": "PHRva2VuPjo=", "identitytoken": token});
        let text = serde_json::json!({"auths": {host: entry}}).to_string();
        std::fs::write(&path, text).expect("a file");
        self.config.registries.logins = vec![path];
    }

    /// Pulls an image.
    pub async fn pull(&self, name: &str) -> Result<Pulled, Failure> {
        let note = |event: &PullEvent| self.events.lock().expect("no panics").push(event.clone());
        pull_image(&self.config, name, &note).await
    }

    /// What is said when an image cannot be pulled.
    pub async fn refusal(&self, name: &str) -> String {
        self.pull(name).await.expect_err("it cannot be pulled").to_string()
    }

    /// How often something was tried again.
    pub fn pauses(&self) -> usize {
        let events = self.events.lock().expect("no panics");
        events.iter().filter(|event| matches!(event, PullEvent::Pausing { .. })).count()
    }

    /// What containerd's own client says, in the namespace of functions.
    pub fn ctr(&self, arguments: &[&str]) -> String {
        let output = Command::new("ctr")
            .arg("--address")
            .arg(self.daemon.socket())
            .args(["--namespace", &format!("{}openfaas-fn", self.daemon.prefix())])
            .args(arguments)
            .output()
            .expect("ctr comes with containerd");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Names of images.
    pub fn images(&self) -> Vec<String> {
        self.ctr(&["images", "ls", "-q"]).lines().map(str::to_owned).collect()
    }

    /// Digests of blobs.
    pub fn blobs(&self) -> Vec<String> {
        self.ctr(&["content", "ls", "-q"]).lines().map(str::to_owned).collect()
    }

    /// Leases that have not ended.
    pub fn leases(&self) -> usize {
        self.ctr(&["leases", "ls", "-q"]).lines().count()
    }
}
