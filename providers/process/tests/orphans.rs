//! `kill -9` of the control plane, from outside: nothing stays behind, and everything comes back.

#[path = "support/harness.rs"]
#[expect(dead_code, reason = "shared with the conformance suite")]
mod harness;
#[path = "support/procs.rs"]
mod procs;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::shell;
use tidegate_core::Replicas;
use tidegate_provider::{Deployment, Provider};
use tidegate_provider_process::ProcessProvider;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

/// A control plane of its own process, with `icy` frozen.
fn host(state_dir: &Path) -> Child {
    let mut host = Command::new(env!("CARGO_BIN_EXE_process-host"))
        .arg(state_dir)
        .args([env!("CARGO_BIN_EXE_process-replica"), "icy"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the host starts");
    let mut line = String::new();
    let out = host.stdout.take().expect("a pipe");
    BufReader::new(out).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    host
}

fn functions() -> Vec<(Deployment, u32)> {
    // Two of these leave processes in sessions of their own behind.
    let daemon = "cat; setsid sleep 1000 >/dev/null 2>&1 </dev/null &";
    vec![
        (shell("plain", "classic", "exec cat"), 3),
        (shell("daemon", "classic", daemon), 1),
        (shell("icy", "classic", "exec cat"), 1),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_everything_is_back_and_no_orphan_remains() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path();
    let config = harness::config(state);
    {
        let provider =
            ProcessProvider::open(config.clone(), TaskTracker::new()).await.expect("it opens");
        for (deployment, count) in functions() {
            provider.deploy(deployment, Replicas::new(count)).await.expect("a good function");
        }
        provider.release().await;
    }
    assert_eq!(procs::all(state), [], "release ends all");

    let mut host = host(state);
    let before = procs::all(state);
    let frozen = before.iter().filter(|it| it.state == 'T').count();
    assert!(before.len() >= 5 && frozen >= 1, "{before:?}");
    let daemon = before.iter().find(|it| it.replica.starts_with("daemon-")).expect("it runs");
    let socket = state
        .join("run")
        .join(
            daemon
                .replica
                .rsplitn(3, '-')
                .take(2)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join("-"),
        )
        .join("s");
    let address = tidegate_provider::Address::Unix(std::sync::Arc::new(socket));
    tidegate_provider::conformance::http::call_at(&address, b"go").await.expect("it answers");

    host.kill().expect("it runs");
    host.wait().expect("it ended");
    // Watchdogs notice by themselves; what is frozen cannot.
    procs::until("end of all that is not frozen or hidden", || {
        let left = procs::all(state);
        left.iter().all(|it| it.state == 'T' || it.replica.starts_with("daemon-")).then_some(())
    })
    .await;

    let provider =
        ProcessProvider::open(config, TaskTracker::new()).await.expect("the lock is free");
    let alive = procs::all(state);
    assert!(
        alive.iter().all(|it| !before.iter().any(|old| old.replica == it.replica)),
        "{alive:?}"
    );
    let back = async {
        loop {
            let list = provider.list(None).await.expect("a list");
            if list.iter().all(|it| it.ready() == it.desired) {
                return list;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let list = timeout(Duration::from_secs(30), back).await.expect("all is back");
    let counts: Vec<u32> = list.iter().map(|it| it.ready().get()).collect();
    assert_eq!(counts, [1, 0, 3], "daemon, icy at zero, plain");
    provider.release().await;
    assert_eq!(procs::all(state), []);
}
