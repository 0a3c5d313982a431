//! A live run that is recorded is decided anew from its record, and comes out the same: what it had learnt before,
//! what a schedule and an operator asked for, and sleep included.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use support::{PATIENCE, Start, Tidegate};

fn start(state: &Path, record: &Path) -> Tidegate {
    Start::new()
        .state(state)
        .var("TIDEGATE_STABLE_WINDOW", "3s")
        .var("TIDEGATE_FAST_WINDOW", "1s")
        .var("TIDEGATE_RECORD", record.to_str().expect("a path in ASCII"))
        .start()
}

fn function(name: &str, labels: Value) -> Value {
    json!({"service": name, "image": "example/slow:1", "envProcess": "sleep 0.2", "labels": labels})
}

/// Many callers at once, until there is more than one replica, then silence until there is none.
async fn up_and_to_sleep(tidegate: &Tidegate) {
    let calls = async {
        for _ in 0..8 {
            let answers = join_all((0..6).map(|_| tidegate.call("tide", ""))).await;
            assert!(answers.iter().all(|answer| answer.status() == StatusCode::OK), "{answers:?}");
        }
    };
    let grown = tidegate.wait_for_counts("tide", "growth", PATIENCE, |wanted, _| wanted > 1);
    tokio::join!(calls, grown);
    tidegate.wait_for_counts("tide", "sleep", PATIENCE, |wanted, _| wanted == 0).await;
}

fn replay(record: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["simulate", "-o", "json", "--replay"]).arg(record);
    let output = command.output().expect("tidegate starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_run_and_the_next_one_replay_to_the_same_hash() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, record) = (folder.path().join("state"), folder.path().join("run.record"));
    let mut tidegate = start(&state, &record);
    tidegate
        .deploy(function(
            "tide",
            json!({
                "com.openfaas.scale.type": "capacity", "com.openfaas.scale.target": "1",
                "com.openfaas.scale.max": "4", "com.openfaas.scale.zero": "true",
                "com.openfaas.scale.zero-duration": "2s",
                "team": "nobody's business",
            }),
        ))
        .await;
    let learns =
        json!({"com.openfaas.scale.zero": "true", "com.tidegate.scale.zero-policy": "adaptive"});
    tidegate.deploy(function("learner", learns)).await;
    for _ in 0..3 {
        assert_eq!(tidegate.call("learner", "").await.status(), StatusCode::OK);
    }
    let always = json!({"com.tidegate.scale.schedule": "* * * * * for 2m: 2"});
    tidegate.deploy(function("planned", always)).await;
    tidegate.wait_for_counts("planned", "its least count", PATIENCE, |_, ready| ready == 2).await;
    up_and_to_sleep(&tidegate).await;
    tidegate.scale("planned", 3).await;
    assert_eq!(tidegate.stop(), Some(0));

    let mut tidegate = start(&state, &record);
    tidegate.wait_for_counts("planned", "its count", PATIENCE, |wanted, _| wanted > 1).await;
    up_and_to_sleep(&tidegate).await;
    let flushed = Duration::from_secs(5);
    let deadline = tokio::time::Instant::now() + flushed;
    let slept =
        |text: &str| text.lines().any(|line| line.contains("tide") && line.ends_with(",idle"));
    while !slept(&std::fs::read_to_string(&record).expect("a record")) {
        assert!(tokio::time::Instant::now() < deadline, "the record is not written meanwhile");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(tidegate.stop(), Some(0));

    for (record, changes) in [(folder.path().join("run.record.1"), 4), (record, 2)] {
        let text = std::fs::read_to_string(&record).expect("a record");
        assert_eq!(text.contains("\ncommon,"), changes == 2, "{text}");
        let learnt =
            text.lines().any(|line| line.contains(",learner.") && line.contains("adaptive\"%2c"));
        assert_eq!(learnt, changes == 2, "{text}");
        assert!(!text.contains("nobody"), "{text}");
        let again = replay(&record);
        assert_eq!(again["mismatches"], json!([]), "{again}");
        assert_eq!(again["recorded"], again["replayed"]);
        assert!(again["changes"].as_u64() >= Some(changes), "{again}");
    }
}
