//! The whole program while containerd fails: functions serve on, management says that it cannot, counts stay,
//! and all is well when it is back; and what is seen of replicas that crash.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

#[path = "support/containers.rs"]
mod containers;
#[path = "../providers/containerd/tests/support/daemon.rs"]
mod daemon;
#[path = "../providers/containerd/tests/support/images.rs"]
mod images;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use containers::{PATIENCE, command, function, import, ready, replica_pids, start};
use daemon::Daemon;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use support::Tidegate;

/// Longest that containerd is away in the issue.
const AWAY: Duration = Duration::from_secs(10);

/// Callers who go on until they are told to end.
struct Callers {
    end: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Callers {
    fn start(tidegate: &Arc<Tidegate>, name: &'static str, count: usize) -> Self {
        let (end, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..count).map(|_| {
            let (tidegate, end, calls) = (tidegate.clone(), end.clone(), calls.clone());
            tokio::spawn(async move {
                let mut failures = Vec::new();
                while !end.load(Ordering::Relaxed) {
                    let answer = tidegate.call(name, "sleep 0.05; echo well").await;
                    if answer.status() != StatusCode::OK || answer.body() != "well\n" {
                        failures.push(format!("{} {:?}", answer.status(), answer.body()));
                    }
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                failures
            })
        });
        Self { tasks: tasks.collect(), end, calls }
    }

    /// Waits until so many more calls have ended.
    async fn more(&self, count: u64) {
        let (until, deadline) =
            (self.calls.load(Ordering::Relaxed) + count, Instant::now() + PATIENCE);
        while self.calls.load(Ordering::Relaxed) < until {
            assert!(Instant::now() < deadline, "calls have stopped");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends them; no call may have failed.
    async fn finish(self) {
        self.end.store(true, Ordering::Relaxed);
        for task in self.tasks {
            assert_eq!(task.await.expect("a caller ends"), Vec::<String>::new());
        }
    }
}

async fn listed(tidegate: &Tidegate) -> StatusCode {
    tidegate.json(Method::GET, "/system/functions", Value::Null).await.0
}

async fn until_listed(tidegate: &Tidegate, wanted: StatusCode) {
    let deadline = Instant::now() + PATIENCE;
    while listed(tidegate).await != wanted {
        assert!(Instant::now() < deadline, "management never answers {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_while_containerd_is_restarted_under_load() {
    let Some(mut daemon) = Daemon::start() else { return };
    import(&daemon);
    let tidegate = Arc::new(start(&daemon));
    // Its count follows what is asked, not the load.
    let labels = json!({"com.openfaas.scale.min": "1", "com.openfaas.scale.factor": "0"});
    tidegate.deploy(function("busy", labels)).await;
    ready(&tidegate, "busy", 1).await;
    let callers = Callers::start(&tidegate, "busy", 4);
    for count in [3, 1, 2] {
        callers.more(20).await;
        daemon.restart();
        callers.more(20).await;
        until_listed(&tidegate, StatusCode::OK).await;
        // Also a start and an end go on to their end.
        tidegate.scale("busy", count).await;
        daemon.restart();
        until_listed(&tidegate, StatusCode::OK).await;
        tidegate.scale("busy", count).await;
        ready(&tidegate, "busy", count.into()).await;
    }
    callers.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_serve_and_counts_stay_while_containerd_is_killed_for_ten_seconds() {
    let Some(mut daemon) = Daemon::start() else { return };
    import(&daemon);
    let tidegate = Arc::new(start(&daemon));
    let labels = json!({
        "com.openfaas.scale.type": "capacity", "com.openfaas.scale.target": "4",
        "com.openfaas.scale.target-proportion": "1", "com.openfaas.scale.max": "3",
    });
    tidegate.deploy(function("busy", labels)).await;
    let zero = json!({"com.openfaas.scale.zero": "true", "com.openfaas.scale.zero-duration": "2s"});
    tidegate.deploy(function("cold", zero)).await;
    ready(&tidegate, "busy", 1).await;
    tidegate.wait_for_counts("cold", "zero", PATIENCE, |wanted, _| wanted == 0).await;
    let callers = Callers::start(&tidegate, "busy", 2);
    callers.more(20).await;
    let before = tasks(&daemon);

    daemon.kill();
    let since = Instant::now();
    until_listed(&tidegate, StatusCode::SERVICE_UNAVAILABLE).await;
    // Enough of them for three replicas.
    let more = Callers::start(&tidegate, "busy", 10);
    assert_eq!(tidegate.call("cold", "echo thawed").await.body(), "thawed\n");
    let deploy = function("new", json!({}));
    let scale = json!({"serviceName": "busy", "replicas": 3});
    while since.elapsed() < AWAY {
        for (method, path, body) in [
            (Method::GET, "/system/functions", Value::Null),
            (Method::GET, "/system/function/busy", Value::Null),
            (Method::POST, "/system/functions", deploy.clone()),
            (Method::PUT, "/system/functions", function("busy", json!({}))),
            (Method::POST, "/system/scale-function/busy", scale.clone()),
            (Method::DELETE, "/system/functions", json!({"functionName": "busy"})),
        ] {
            let (status, told) = tidegate.json(method.clone(), path, body).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{method} {path}: {told}");
        }
        more.more(20).await;
    }
    assert_eq!(tasks(&daemon), before, "something was started or ended");

    daemon.launch();
    until_listed(&tidegate, StatusCode::OK).await;
    // Now that it can, the count follows the load.
    ready(&tidegate, "busy", 3).await;
    more.finish().await;
    callers.finish().await;
    assert_eq!(tidegate.describe("busy").await["events"], Value::Null, "nothing crashed");
    tidegate.wait_for_counts("cold", "zero again", PATIENCE, |wanted, _| wanted == 0).await;
    assert_eq!(tidegate.call("cold", "echo again").await.body(), "again\n");
}

/// The first processes of all containers: those who were there before any call.
fn tasks(daemon: &Daemon) -> Vec<String> {
    let first = |pid: &String| {
        let path = format!("/proc/{pid}/cmdline");
        std::fs::read(path).is_ok_and(|line| line.windows(6).any(|word| word == b"/entry"))
    };
    replica_pids(daemon).into_iter().filter(first).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_are_told_by_descriptions_metrics_and_logs() {
    let Some(daemon) = Daemon::start() else { return };
    import(&daemon);
    let tidegate = start(&daemon);
    for (name, process, limits) in [
        ("short", "echo no such thing >&2; exit 3", Value::Null),
        ("greedy", "exec tail -c 100000000 /dev/zero", json!({"memory": "32Mi"})),
    ] {
        let mut function = function(name, json!({}));
        function["envProcess"] = process.into();
        function["limits"] = limits;
        tidegate.deploy(function).await;
    }
    let output = command(&daemon, &["image", "list"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains(images::FUNCTION) && told.contains("short.openfaas-fn"), "{told}");
    let output = command(&daemon, &["image", "prune", "--spare", "0s"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("nothing to remove"), "{told}");
    for (name, reason, words) in [
        ("short", "exit_code", "exited with code 3: no such thing"),
        ("greedy", "oom", "out of memory: "),
    ] {
        let labels = format!("{{function_name=\"{name}.openfaas-fn\",reason=\"{reason}\"}}");
        let series = format!("tidegate_replica_crashes_total{labels} ");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = tidegate.metrics().await;
            let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
            if line.is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count >= 2)) {
                break;
            }
            assert!(Instant::now() < deadline, "no two crashes in {metrics}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let described = tidegate.describe(name).await;
        let event = &described["events"][0];
        assert_eq!(event["reason"], reason, "{described:#}");
        assert!(event["detail"].as_str().is_some_and(|it| it.contains(words)), "{event}");
        assert!(described["replicaStatus"][0]["restarts"].as_u64() > Some(0), "{described:#}");

        let output = command(&daemon, &["describe", name, "-g", &tidegate.url]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.contains("REASON") && told.contains(reason), "{told}");
        let output = command(&daemon, &["logs", name, "-g", &tidegate.url]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.contains(words) && told.contains("; starts again "), "{told}");
    }
}
