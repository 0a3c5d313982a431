//! What is measured beside calls moves counts: the CPU and memory that replicas use, and how long calls take. And
//! tidegate's own memory.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use support::{Start, Tidegate, functions};

/// Values come every few seconds, and latencies are of the last thirty.
const PATIENCE: Duration = Duration::from_secs(120);

fn start() -> Tidegate {
    Start::new().var("TIDEGATE_STABLE_WINDOW", "3s").var("TIDEGATE_FAST_WINDOW", "1s").start()
}

fn function(process: &str, labels: Value) -> Value {
    let mut all = json!({"com.openfaas.scale.max": "3"});
    for (name, value) in labels.as_object().expect("an object") {
        all[name] = value.clone();
    }
    json!({"service": "one", "image": "example/one:1", "envProcess": process, "labels": all})
}

/// Calls it, two at a time, until there are more replicas; then waits until there is one again.
async fn up_and_down(tidegate: &Tidegate, body: &str) {
    tidegate.wait_for_counts("one", "a start", PATIENCE, |_, ready| ready == 1).await;
    let calls = async {
        loop {
            for answer in join_all((0..2).map(|_| tidegate.call("one", body))).await {
                assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
            }
        }
    };
    tokio::select! {
        () = calls => {}
        _ = tidegate.wait_for_counts("one", "growth", PATIENCE, |wanted, ready| wanted > 1 && ready > 1) => {}
    }
    tidegate
        .wait_for_counts("one", "back at 1", PATIENCE, |wanted, ready| wanted == 1 && ready == 1)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_busy_get_help_and_lose_it_when_they_are_not() {
    let tidegate = start();
    let busy = format!("python3 {}", functions().join("busy.py").display());
    let labels = json!({"com.openfaas.scale.type": "cpu", "com.openfaas.scale.target": "200"});
    tidegate.deploy(function(&busy, labels)).await;
    up_and_down(&tidegate, "0.5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_take_too_long_get_more_replicas_until_they_end() {
    let tidegate = start();
    let labels =
        json!({"com.openfaas.scale.type": "latency", "com.tidegate.scale.target": "p95:100ms"});
    tidegate.deploy(function("sleep 0.3", labels)).await;
    up_and_down(&tidegate, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_hold_much_memory_share_it_with_more_until_it_is_free() {
    let tidegate = start();
    let hold = format!("python3 {}", functions().join("hold.py").display());
    let labels = json!({"com.openfaas.scale.type": "memory", "com.openfaas.scale.target": "50Mi"});
    tidegate.deploy(function(&hold, labels)).await;
    up_and_down(&tidegate, "100").await;
}

/// What the C library was told of its allocator is in tidegate's environment, and in no function's.
#[cfg(target_env = "gnu")]
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_kept_as_it_was_chosen_and_functions_hear_nothing_of_it() {
    let name = "GLIBC_TUNABLES";
    let told = |tidegate: &Tidegate| {
        let all = std::fs::read(format!("/proc/{}/environ", tidegate.pid())).expect("it runs");
        let all = String::from_utf8_lossy(&all).into_owned();
        let told = all.split('\0').find_map(|it| it.strip_prefix("GLIBC_TUNABLES="));
        told.map(str::to_owned)
    };
    let chosen = "glibc.malloc.tcache_count=7";
    assert_eq!(told(&Start::new().var(name, chosen).start()).as_deref(), Some(chosen));

    let second = Start::new().var("_TIDEGATE_AGAIN", "1").start();
    assert_eq!(told(&second), None, "it was executed again, and would be for ever");

    let tidegate = start();
    let ours = told(&tidegate).expect("it says so itself");
    assert!(ours.contains("glibc.malloc.tcache_count=0"), "{ours}");
    tidegate.deploy(function("env", json!({}))).await;
    let answer = tidegate.call("one", "").await;
    let answer = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(answer.contains("OPENFAAS_NAME=one") && !answer.contains(name), "{answer}");
}
