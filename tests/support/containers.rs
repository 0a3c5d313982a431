//! tidegate over a containerd of a test's own, as the program and its commands see it.
#![allow(dead_code, reason = "each story uses its part")]

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::images;
use crate::support::{Start, Tidegate};

/// Containers are started through several programs, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What tidegate and its commands are told, so that nothing is shared with another test.
pub fn vars(daemon: &Daemon) -> Vec<(&'static str, String)> {
    vec![
        ("TIDEGATE_PROVIDER", "containerd".to_owned()),
        ("TIDEGATE_CONTAINERD_SOCKET", daemon.socket().display().to_string()),
        ("TIDEGATE_CONTAINERD_PREFIX", daemon.prefix()),
        ("TIDEGATE_RUN_DIR", daemon.path("run").display().to_string()),
        ("TIDEGATE_BRIDGE", daemon.bridge()),
        ("TIDEGATE_SUBNET", daemon.config().subnet.to_string()),
        ("TIDEGATE_MASQUERADE", "false".to_owned()),
        ("TIDEGATE_STABLE_WINDOW", "4s".to_owned()),
        ("TIDEGATE_FAST_WINDOW", "2s".to_owned()),
    ]
}

pub fn start(daemon: &Daemon) -> Tidegate {
    let start = Start::new().state(&daemon.path("state"));
    vars(daemon).iter().fold(start, |start, (name, value)| start.var(name, value)).start()
}

pub fn command(daemon: &Daemon, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(words).current_dir(daemon.path(""));
    command.env("TIDEGATE_STATE_DIR", daemon.path("state")).envs(vars(daemon));
    command.output().expect("tidegate ends by itself")
}

/// Brings in the test image by the command that users have.
pub fn import(daemon: &Daemon) {
    let file = daemon.path("function.tar");
    images::write(&file);
    let output = command(daemon, &["image", "import", file.to_str().expect("ASCII")]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains(images::FUNCTION), "{told}");
}

/// A function that runs the body of each call as a line of shell.
pub fn function(name: &str, labels: Value) -> Value {
    json!({"service": name, "image": "function:test", "envProcess": "serve shell", "labels": labels})
}

pub async fn ready(tidegate: &Tidegate, name: &str, count: u64) {
    let what = format!("{count} ready");
    tidegate.wait_for_counts(name, &what, PATIENCE, |_, ready| ready == count).await;
}

/// Processes of all containers.
pub fn replica_pids(daemon: &Daemon) -> Vec<String> {
    let mut pids: Vec<String> = daemon
        .cgroups()
        .iter()
        .flat_map(|namespace| std::fs::read_dir(namespace).into_iter().flatten().flatten())
        .flat_map(|group| {
            let pids = std::fs::read_to_string(group.path().join("cgroup.procs"));
            pids.unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}
