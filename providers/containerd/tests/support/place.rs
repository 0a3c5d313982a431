//! A backend on a containerd of its own, for tests that look behind the trait.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::conformance::http::call;
use tidegate_provider::{
    Deployment, Depth, FunctionStatus, LogQuery, Phase, Provider, Replica, ScaleTo,
};
use tidegate_provider_containerd::{Config, ContainerdProvider};
use tokio::time::{sleep, timeout};

use crate::harness::ContainerdHarness;

/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Place {
    provider: Option<Arc<ContainerdProvider>>,
    pub harness: ContainerdHarness,
}

impl Place {
    /// None where there can be no containerd.
    pub async fn open() -> Option<Self> {
        Self::with(|_| {}).await
    }

    pub async fn with(set: impl FnOnce(&mut Config)) -> Option<Self> {
        Some(Self::over(ContainerdHarness::new()?, set).await)
    }

    /// One on this containerd.
    pub async fn over(mut harness: ContainerdHarness, set: impl FnOnce(&mut Config)) -> Self {
        set(&mut harness.config);
        let provider = harness.open_provider().await;
        Self { provider: Some(provider), harness }
    }

    /// As `kill -9` and a new start.
    pub async fn crash_and_reopen(&mut self) {
        self.crash();
        self.reopen().await;
    }

    /// As `kill -9`.
    pub fn crash(&mut self) {
        self.provider = None;
        self.harness.runtime_off();
    }

    /// A new start over what is there.
    pub async fn reopen(&mut self) {
        self.provider = Some(self.harness.open_provider().await);
    }

    pub fn provider(&self) -> &ContainerdProvider {
        self.provider.as_deref().expect("it is open")
    }

    pub async fn deploy(&self, deployment: Deployment, count: u32) -> FunctionId {
        let function = deployment.function.clone();
        self.provider().deploy(deployment, Replicas::new(count)).await.expect("a good function");
        function
    }

    pub async fn deployed(&self, deployment: Deployment, count: u32) -> FunctionId {
        let function = self.deploy(deployment, count).await;
        self.ready(&function, count).await;
        function
    }

    pub async fn scale(&self, function: &FunctionId, count: u32) {
        self.provider()
            .scale(function, ScaleTo::replicas(count))
            .await
            .expect("a deployed function");
    }

    pub async fn freeze(&self, function: &FunctionId) -> FunctionStatus {
        self.to_zero(function, Depth::Frozen, Phase::Frozen).await
    }

    /// At zero, with one replica that waits to be started, and containerd knows it.
    #[allow(dead_code, reason = "shared by tests and benches that use different parts")]
    pub async fn create(&self, function: &FunctionId) -> FunctionStatus {
        let status = self.to_zero(function, Depth::Created, Phase::Created).await;
        let made = || self.ctr("openfaas-fn", &["tasks", "list"]).contains("CREATED");
        assert!(tokio::task::block_in_place(|| super::daemon::within(PATIENCE, made)));
        status
    }

    async fn to_zero(&self, function: &FunctionId, depth: Depth, phase: Phase) -> FunctionStatus {
        let to = ScaleTo { depth, ..ScaleTo::replicas(0) };
        self.provider().scale(function, to).await.expect("a deployed function");
        self.until(function, |it| it.count(phase) == Replicas::ONE && it.replicas.len() == 1).await
    }

    /// This many replicas are ready, and there are no others.
    pub async fn ready(&self, function: &FunctionId, count: u32) -> FunctionStatus {
        let settled =
            |it: &FunctionStatus| it.ready().get() == count && it.replicas.len() == count as usize;
        self.until(function, settled).await
    }

    pub async fn until(
        &self,
        function: &FunctionId,
        fits: impl Fn(&FunctionStatus) -> bool,
    ) -> FunctionStatus {
        let waiting = async {
            loop {
                let status = self.provider().get(function).await.expect("a deployed function");
                if fits(&status) {
                    return status;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(status) => status,
            Err(_) => panic!("not in time: {:#?}", self.provider().get(function).await),
        }
    }

    /// Waits until a replica's detail holds `text`.
    pub async fn detail(&self, function: &FunctionId, text: &str) -> FunctionStatus {
        self.until(function, |it| it.replicas.iter().any(|replica| replica.detail.contains(text)))
            .await
    }

    /// What the first ready replica answers.
    pub async fn text(&self, function: &FunctionId, body: &str) -> String {
        let status = self.until(function, |status| !status.ready().is_zero()).await;
        let ready = status.replicas.iter().find(|it| it.phase == Phase::Ready);
        ask(ready.expect("one is ready"), body).await
    }

    /// What is left of containers, in containerd's own words.
    pub fn ctr(&self, namespace: &str, words: &[&str]) -> String {
        let namespace = format!("{}{namespace}", self.harness.daemon.prefix());
        let output = Command::new("ctr")
            .arg("--address")
            .arg(self.harness.daemon.socket())
            .args(["--namespace", &namespace])
            .args(words)
            .output()
            .expect("ctr comes with containerd");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Processes of all containers, each by its number on this machine and when it started.
    pub fn processes(&self) -> Vec<String> {
        let groups = self.harness.daemon.cgroups();
        let groups = groups.iter().filter_map(|it| fs::read_dir(it).ok()).flatten().flatten();
        let text = |it: fs::DirEntry| fs::read_to_string(it.path().join("cgroup.procs")).ok();
        let pids: Vec<String> = groups.filter_map(text).collect();
        let mut all: Vec<String> =
            pids.iter().flat_map(|it| it.lines()).filter_map(process).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Which of these processes have not ended.
    pub fn living(&self, processes: &[String]) -> Vec<String> {
        let lives =
            |it: &&String| it.split(' ').next().and_then(process).is_some_and(|now| now == **it);
        processes.iter().filter(lives).cloned().collect()
    }

    /// What there is of a function's log.
    pub async fn logs(&self, function: &FunctionId) -> Vec<String> {
        let query = LogQuery {
            function: function.clone(),
            instance: None,
            since: None,
            tail: None,
            follow: false,
        };
        let lines = self.provider().logs(query).await.expect("a deployed function");
        let lines: Vec<_> = futures_util::StreamExt::collect(lines).await;
        lines.into_iter().map(|line| line.expect("a log that can be read").text).collect()
    }

    /// All files of logs, and how many bytes each has.
    pub fn log_files(&self) -> Vec<(PathBuf, u64)> {
        let mut folders = vec![self.harness.config.settings.state_dir.join("logs")];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(it) if it.is_dir() => folders.push(entry.path()),
                    Ok(it) => files.push((entry.path(), it.len())),
                    // It went meanwhile.
                    Err(_) => {}
                }
            }
        }
        files
    }

    /// Files in a folder of those that a reboot empties.
    pub fn run_files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.harness.config.run_dir.join(folder)).into_iter().flatten();
        entries.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect()
    }
}

pub async fn ask(replica: &Replica, body: &str) -> String {
    let answer = timeout(PATIENCE, call(replica, body.as_bytes())).await;
    let answer = answer.expect("an answer in time").expect("a ready replica answers");
    String::from_utf8_lossy(&answer.body).trim_end().to_owned()
}

/// A process by its number and the tick at which it started; none when it has ended.
fn process(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    (*fields.first()? != "Z").then(|| format!("{pid} {}", fields[19]))
}
