//! Calls reach our own watchdog in a container by its local name, and other programs by their port.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

#[path = "support/containers.rs"]
mod containers;
#[path = "../providers/containerd/tests/support/daemon.rs"]
mod daemon;
#[path = "../providers/containerd/tests/support/images.rs"]
mod images;
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use containers::{PATIENCE, command, function, import, ready, replica_pids, start};
use daemon::Daemon;
use http::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::Tidegate;

/// Brings in an image with this program's watchdog and the libraries that it needs.
fn import_ours(daemon: &Daemon) {
    let program = env!("CARGO_BIN_EXE_tidegate");
    let output = Command::new("ldd").arg(program).output().expect("ldd, which comes with libc");
    let told = String::from_utf8(output.stdout).expect("text");
    let libraries = told.split_whitespace().filter_map(|word| word.strip_prefix('/'));
    let mut files: Vec<_> = libraries
        .map(|path| (path, std::fs::read(format!("/{path}")).expect("a library")))
        .collect();
    files.push(("usr/bin/tidegate", std::fs::read(program).expect("a program")));
    let config = json!({
        "Entrypoint": ["/usr/bin/tidegate", "fwatchdog"], "Env": ["PATH=/bin", "fprocess=sh"],
        "User": "app",
    });
    let file = daemon.path("ours.tar");
    images::write_as(&file, "docker.io/library/ours:1", &config, &files);
    let output = command(daemon, &["image", "import", file.to_str().expect("ASCII")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// How the connection of a call came in: by name, by port.
async fn ways(tidegate: &Tidegate, name: &str) -> (bool, bool) {
    let script = "cat /proc/net/unix /proc/net/tcp /proc/net/tcp6; env; true";
    let answer = tidegate.call(name, script).await;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    assert_eq!(answer.status(), StatusCode::OK, "{text}");
    let rows = || text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = |row: &Vec<&str>| row.last() == Some(&"@tidegate") && row.get(5) == Some(&"03");
    let port = |row: &Vec<&str>| {
        row.get(1).is_some_and(|local| local.ends_with(":1F90")) && row.get(3) == Some(&"01")
    };
    let ways = (rows().any(|row| ours(&row)), rows().any(|row| port(&row)));
    assert!(!ways.0 || !text.contains("TIDEGATE_LOCAL"), "the function sees it:\n{text}");
    ways
}

fn watchdog(daemon: &Daemon) -> Option<Pid> {
    let is_first = |pid: &&String| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"/usr/bin/tidegate\0fwatchdog")
    };
    let pid = replica_pids(daemon).iter().find(is_first)?.parse().ok()?;
    Pid::from_raw(pid)
}

#[tokio::test(flavor = "multi_thread")]
async fn our_watchdog_is_called_by_name_and_others_by_port() {
    let Some(daemon) = Daemon::start() else { return };
    import(&daemon);
    import_ours(&daemon);
    let mut tidegate = start(&daemon);
    tidegate.deploy(function("theirs", json!({}))).await;
    tidegate.deploy(json!({"service": "ours", "image": "ours:1"})).await;
    ready(&tidegate, "theirs", 1).await;
    ready(&tidegate, "ours", 1).await;
    for _ in 0..2 {
        assert_eq!(ways(&tidegate, "theirs").await, (false, true));
        assert_eq!(ways(&tidegate, "ours").await, (true, false));
    }

    // Its next life listens anew, and is found.
    kill_process(watchdog(&daemon).expect("it runs"), Signal::KILL).expect("it was there");
    let deadline = Instant::now() + PATIENCE;
    while tidegate.describe("ours").await["replicaStatus"][0]["restarts"].as_u64() != Some(1) {
        assert!(Instant::now() < deadline, "it does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ready(&tidegate, "ours", 1).await;
    assert_eq!(ways(&tidegate, "ours").await, (true, false));
    assert_eq!(tidegate.stop(), Some(0));
}
