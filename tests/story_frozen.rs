//! Frozen replicas give up their memory when all of them take more than they may, or the machine has too little.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

mod support;

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use support::{PATIENCE, Start, Tidegate};

fn function(name: &str) -> Value {
    json!({
        "service": name, "image": "example/cat:1", "envProcess": "cat",
        "labels": {"com.openfaas.scale.zero": "true", "com.openfaas.scale.zero-duration": "1s"},
    })
}

async fn evicted(tidegate: &Tidegate) -> u64 {
    let metrics = tidegate.metrics().await;
    let count = metrics.lines().find_map(|line| line.strip_prefix("tidegate_evictions_total "));
    count.expect("it is there from the start").parse().expect("a number")
}

async fn replicas(tidegate: &Tidegate, function: &str) -> usize {
    let described = tidegate.describe(function).await;
    described["replicaStatus"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_removed_and_starts_anew_when_called() {
    // Enough for one watchdog that is frozen or two, never for six.
    let tidegate = Start::new().var("TIDEGATE_FROZEN_MEMORY", "20Mi").start();
    let names = ["one", "two", "three", "four", "five", "six"];
    for name in names {
        tidegate.deploy(function(name)).await;
        assert_eq!(tidegate.call(name, "").await.status(), StatusCode::OK);
    }
    for name in names {
        tidegate.wait_for_counts(name, "zero", PATIENCE, |wanted, _| wanted == 0).await;
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut left = 0;
        for name in names {
            left += replicas(&tidegate, name).await;
        }
        let evicted = evicted(&tidegate).await;
        if evicted > 0 && left < names.len() {
            break;
        }
        assert!(Instant::now() < deadline, "{left} are left, {evicted} were evicted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for name in names {
        assert_eq!(tidegate.call(name, "").await.status(), StatusCode::OK);
    }
}

/// A floor that no machine keeps: all but one byte of its memory is to be available.
fn impossible_floor() -> String {
    let meminfo = std::fs::read_to_string("/proc/meminfo").expect("a Linux machine");
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|text| text.trim().strip_suffix(" kB")).expect("in kB");
    (kib.parse::<u64>().expect("a number") * 1024 - 1).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_machine_is_short_of_memory_nothing_stays_frozen_and_calls_are_answered() {
    let tidegate = Start::new().var("TIDEGATE_MEMORY_FLOOR", &impossible_floor()).start();
    tidegate.deploy(function("tight")).await;
    assert_eq!(tidegate.call("tight", "").await.status(), StatusCode::OK);
    let deadline = Instant::now() + PATIENCE;
    while evicted(&tidegate).await == 0 {
        assert!(Instant::now() < deadline, "nothing was evicted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(tidegate.metrics().await.contains("tidegate_memory_short 1"));
    let (_, told) = tidegate.json(Method::GET, "/system/scaling/tight", Value::Null).await;
    let decisions = told["decisions"].as_array().expect("a list");
    let evicted = decisions.iter().find(|past| past["reason"] == "evicted").expect("it is told");
    assert_eq!(evicted["by"], "memory", "{told:#}");
    assert_eq!(tidegate.call("tight", "").await.status(), StatusCode::OK);
}
