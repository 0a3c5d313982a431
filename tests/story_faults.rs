//! What must not be lost: calls during scaling, restarts and crashes; functions across `kill -9`.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::{PATIENCE, Start, Tidegate};

fn sleeper(name: &str, more: &[(&str, &str)]) -> serde_json::Value {
    let labels: serde_json::Map<String, serde_json::Value> =
        more.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
    let script = support::functions().join("long.py");
    json!({
        "service": name, "image": "none",
        "envProcess": format!("python3 {}", script.display()),
        "envVars": {"mode": "http", "exec_timeout": "2m", "write_timeout": "2m", "read_timeout": "2m"},
        "labels": labels,
    })
}

async fn ready(tidegate: &Tidegate, function: &str, count: u64) {
    let what = format!("{count} ready replicas");
    tidegate.wait_for_counts(function, &what, PATIENCE, |_, ready| ready == count).await;
}

/// Processes whose environment carries the marker of a replica of this state directory.
fn replica_processes(state: &std::path::Path) -> BTreeSet<i32> {
    let marker = state.display().to_string();
    let processes = std::fs::read_dir("/proc").expect("proc").filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&environment);
        text.contains("TIDEGATE_REPLICA=") && text.contains(&marker)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_in_100_000_while_the_count_changes_at_random() {
    let tidegate = Arc::new(Start::new().start());
    let function = json!({
        "service": "busy", "image": "none", "envProcess": format!("python3 {}", support::functions().join("long.py").display()),
        "envVars": {"mode": "http"},
        "labels": {"com.openfaas.scale.min": "1", "com.openfaas.scale.max": "8", "com.openfaas.scale.zero": "true"},
    });
    tidegate.deploy(function).await;
    ready(&tidegate, "busy", 1).await;
    let left = Arc::new(AtomicU64::new(100_000));
    let failed = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..16)
        .map(|_| tokio::spawn(caller(tidegate.clone(), left.clone(), failed.clone())))
        .collect();
    let scaler = tokio::spawn(scale_at_random(tidegate.clone(), done.clone()));
    for caller in callers {
        caller.await.expect("a caller ends");
    }
    done.store(true, Ordering::Relaxed);
    let changes = scaler.await.expect("the scaler ends");
    assert_eq!(failed.load(Ordering::Relaxed), 0, "after {changes} changes of the count");
    assert!(changes >= 20, "only {changes} changes");
}

async fn caller(tidegate: Arc<Tidegate>, left: Arc<AtomicU64>, failed: Arc<AtomicU64>) {
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        .is_ok()
    {
        let response = tidegate.call("busy", "x").await;
        if response.status() != StatusCode::OK && failed.fetch_add(1, Ordering::Relaxed) < 5 {
            eprintln!(
                "failed: {} {:?} {:?}",
                response.status(),
                response.headers(),
                response.body()
            );
        }
    }
}

/// 1 ↔ 8 ↔ 0 in an order that is the same in every run.
async fn scale_at_random(tidegate: Arc<Tidegate>, done: Arc<AtomicBool>) -> u32 {
    let mut changes = 0;
    let mut random = 7_u32;
    while !done.load(Ordering::Relaxed) {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        tidegate.scale("busy", [0, 1, 8][(random >> 16) as usize % 3]).await;
        changes += 1;
        tokio::time::sleep(Duration::from_millis(u64::from(random >> 24) * 2)).await;
    }
    changes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_call_and_an_open_websocket_survive_an_idle_period_and_a_scale_down() {
    let tidegate = Arc::new(
        Start::new().var("TIDEGATE_STABLE_WINDOW", "3s").var("TIDEGATE_FAST_WINDOW", "1s").start(),
    );
    let labels = [
        ("com.openfaas.scale.zero", "true"),
        ("com.openfaas.scale.zero-duration", "2s"),
        ("com.openfaas.scale.max", "4"),
    ];
    tidegate.deploy(sleeper("long", &labels)).await;
    ready(&tidegate, "long", 1).await;
    tidegate.scale("long", 4).await;
    ready(&tidegate, "long", 4).await;
    let calling = tidegate.clone();
    let request = {
        let mut request = tidegate.request(http::Method::POST, "/function/long", "");
        request.headers_mut().insert("x-sleep", "60s".parse().expect("a header value"));
        request
    };
    let call = tokio::spawn(async move { calling.send(request).await.status() });
    let ws_url = format!("{}/function/long/ws", tidegate.url.replace("http://", "ws://"));
    let (mut socket, _) = tokio_tungstenite::connect_async(ws_url).await.expect("upgraded");
    socket.send("before".into()).await.expect("sent");
    assert_eq!(
        socket.next().await.expect("open").expect("echoed").into_text().expect("text").as_str(),
        "before"
    );
    tidegate.scale("long", 1).await;
    tidegate.wait_for_counts("long", "one wanted", PATIENCE, |wanted, _| wanted == 1).await;
    assert_eq!(
        call.await.expect("the call ends"),
        StatusCode::OK,
        "after 60 s, past idle time and scale-down"
    );
    socket.send("after".into()).await.expect("sent");
    assert_eq!(
        socket.next().await.expect("open").expect("echoed").into_text().expect("text").as_str(),
        "after"
    );
    socket.close(None).await.expect("closed");
    while socket.next().await.is_some() {}
    drop(socket);
    tidegate
        .wait_for_counts("long", "zero at last", PATIENCE, |wanted, ready| {
            wanted == 0 && ready == 0
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_a_replica_fails_only_its_calls_with_502_and_it_is_replaced() {
    let tidegate = Arc::new(Start::new().start());
    tidegate
        .deploy(sleeper(
            "victim",
            &[("com.openfaas.scale.min", "2"), ("com.openfaas.scale.max", "2")],
        ))
        .await;
    ready(&tidegate, "victim", 2).await;
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let tidegate = tidegate.clone();
            tokio::spawn(async move {
                let mut request = tidegate.request(http::Method::POST, "/function/victim", "x");
                request.headers_mut().insert("x-sleep", "3s".parse().expect("a header value"));
                tidegate.send(request).await.status()
            })
        })
        .collect();
    let in_flight =
        r#"gateway_function_invocation_inflight{function_name="victim.openfaas-fn"} 10"#;
    wait_for_metric(&tidegate, in_flight).await;
    let watchdog = watchdogs(&tidegate.state, "victim").into_iter().next().expect("a replica runs");
    kill_process(Pid::from_raw(watchdog).expect("a pid"), Signal::KILL).expect("it was there");
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.expect("the call ends").as_u16());
    }
    let broken = statuses.iter().filter(|status| **status == 502).count();
    let fine = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!((broken, fine), (5, 5), "{statuses:?}");
    ready(&tidegate, "victim", 2).await;
    let status = tidegate.describe("victim").await;
    assert!(
        status["replicaStatus"]
            .as_array()
            .expect("states")
            .iter()
            .any(|state| state["restarts"].as_u64() > Some(0)),
        "{status:#}"
    );
}

/// Replica processes that are watchdogs, not the functions below them.
fn watchdogs(state: &std::path::Path, function: &str) -> Vec<i32> {
    let name = format!("OPENFAAS_NAME={function}");
    let is_watchdog = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if !environment.split(|byte| *byte == 0).any(|word| word == name.as_bytes()) {
            return false;
        }
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"fwatchdog")
    };
    replica_processes(state).into_iter().filter(is_watchdog).collect()
}

async fn wait_for_metric(tidegate: &Tidegate, line: &str) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let text = tidegate.metrics().await;
        if text.contains(line) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{line} not in\n{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_every_function_is_back_and_no_orphan_remains() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let mut tidegate = Start::new().state(&state).start();
    for name in ["one", "two"] {
        tidegate.deploy(sleeper(name, &[("com.openfaas.scale.max", "5")])).await;
        ready(&tidegate, name, 1).await;
    }
    tidegate.scale("two", 3).await;
    ready(&tidegate, "two", 3).await;
    let before = replica_processes(&state);
    assert!(before.len() >= 4, "{before:?}");
    tidegate.kill_9();
    let tidegate = Start::new().state(&state).start();
    ready(&tidegate, "one", 1).await;
    ready(&tidegate, "two", 3).await;
    let after = replica_processes(&state);
    assert!(after.is_disjoint(&before), "orphans: {:?}", after.intersection(&before));
    assert_eq!(tidegate.call("one", "x").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_in_10_000_across_a_graceful_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let mut tidegate = Start::new().state(&state).start();
    // A factor of zero switches the community rule off: the load is not to change the count here.
    tidegate.deploy(sleeper("steady", &[("com.openfaas.scale.factor", "0")])).await;
    ready(&tidegate, "steady", 1).await;
    let port = tidegate.url.rsplit(':').next().expect("a port").to_owned();
    let left = Arc::new(AtomicU64::new(10_000));
    let failed = Arc::new(AtomicU64::new(0));
    let url = format!("{}/function/steady", tidegate.url);
    let callers: Vec<_> = (0..8)
        .map(|_| tokio::spawn(stubborn_caller(url.clone(), left.clone(), failed.clone())))
        .collect();
    while left.load(Ordering::Relaxed) > 7_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(tidegate.stop(), Some(0), "a drained stop is a success");
    let tidegate = Start::new().state(&state).var("TIDEGATE_PORT", &port).start();
    for caller in callers {
        caller.await.expect("a caller ends");
    }
    assert_eq!(failed.load(Ordering::Relaxed), 0, "accepted calls that failed");
    assert_eq!(tidegate.counts("steady").await, (1, 1), "a restart changes no count");
}

/// A refused connection was not accepted and is tried again; an answer other than 200, or a connection
/// that breaks after the request was accepted, is a failure.
async fn stubborn_caller(url: String, left: Arc<AtomicU64>, failed: Arc<AtomicU64>) {
    use http_body_util::{BodyExt, Full};
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<Full<bytes::Bytes>>();
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        .is_ok()
    {
        loop {
            let request = http::Request::post(&url).body(Full::from("x")).expect("a good request");
            match client.request(request).await {
                Ok(response) if response.status() == StatusCode::OK => {
                    if response.into_body().collect().await.is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    break;
                }
                Ok(response) => {
                    eprintln!("failed: {}", response.status());
                    failed.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(error) if error.is_connect() => {
                    tokio::time::sleep(Duration::from_millis(10)).await
                }
                Err(error) => {
                    eprintln!("failed: {error:?}");
                    failed.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}
