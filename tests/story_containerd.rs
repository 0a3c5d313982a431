//! The whole program over a real containerd of its own: counts follow real load, zero is frozen and thaws,
//! functions go on without tidegate and are taken over, and find the gateway by its name.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

#[path = "support/containers.rs"]
mod containers;
#[path = "../providers/containerd/tests/support/daemon.rs"]
mod daemon;
#[path = "../providers/containerd/tests/support/images.rs"]
mod images;
#[path = "support/load.rs"]
mod load;
mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::DirEntry;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use containers::{PATIENCE, command, function, import, ready, replica_pids, start};
use daemon::Daemon;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Start, Tidegate, have};

/// Replicas in which something runs or is frozen.
fn replicas(daemon: &Daemon) -> BTreeSet<OsString> {
    let groups = daemon.cgroups().into_iter().flat_map(|it| std::fs::read_dir(it).into_iter());
    let lives = |group: &DirEntry| {
        let pids = std::fs::read_to_string(group.path().join("cgroup.procs"));
        pids.is_ok_and(|pids| !pids.trim().is_empty())
    };
    groups.flatten().flatten().filter(lives).map(|group| group.file_name()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_follow_the_load_freeze_at_zero_and_answer_again() {
    let Some(daemon) = Daemon::start() else { return };
    if !have("hey", "story_containerd") {
        return;
    }
    import(&daemon);
    let mut tidegate = start(&daemon);
    let labels = json!({
        "com.openfaas.scale.type": "capacity", "com.openfaas.scale.target": "5",
        "com.openfaas.scale.target-proportion": "1", "com.openfaas.scale.max": "4",
        "com.openfaas.scale.zero": "true", "com.openfaas.scale.zero-duration": "5s",
    });
    tidegate.deploy(function("work", labels)).await;
    ready(&tidegate, "work", 1).await;
    assert_eq!(tidegate.call("work", "echo $OPENFAAS_NAME").await.body().as_ref(), b"work\n");

    let url = format!("{}/function/work", tidegate.url);
    let hey = load::Hey::start(&["-z", "15s", "-c", "20", "-m", "POST", "-d", "sleep 0.3", &url]);
    ready(&tidegate, "work", 4).await;
    let codes = load::codes(&hey.finish());
    assert!(codes.iter().all(|(code, _)| *code == 200) && !codes.is_empty(), "{codes:?}");
    tidegate.wait_for_counts("work", "zero", PATIENCE, |wanted, ready| wanted + ready == 0).await;

    // The frozen one is still there and answers without a new start; those beside it are still on their way out.
    let deadline = Instant::now() + PATIENCE;
    while replicas(&daemon).len() > 1 {
        assert!(Instant::now() < deadline, "more than one is left: {:?}", replicas(&daemon));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = replica_pids(&daemon);
    assert!(!before.is_empty(), "nothing is frozen");
    let answer = tidegate.call("work", "echo again").await;
    assert_eq!((answer.status(), answer.body().as_ref()), (StatusCode::OK, b"again\n".as_ref()));
    assert!(before.iter().all(|pid| Path::new("/proc").join(pid).exists()), "started anew");
    assert_eq!(tidegate.stop(), Some(0));
}

/// How many replicas a function has in each phase.
async fn phases(tidegate: &Tidegate, name: &str) -> Vec<String> {
    let described = tidegate.describe(name).await;
    let replicas = described["replicaStatus"].as_array().cloned().unwrap_or_default();
    replicas.iter().filter_map(|replica| replica["phase"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_is_frozen_then_created_then_removed_and_answers_from_each() {
    let Some(daemon) = Daemon::start() else { return };
    import(&daemon);
    let mut tidegate = start(&daemon);
    let labels = json!({
        "com.openfaas.scale.zero": "true", "com.openfaas.scale.zero-duration": "1s",
        "com.tidegate.scale.warm-duration": "3s", "com.tidegate.scale.created-duration": "6s",
    });
    tidegate.deploy(function("sinks", labels)).await;
    ready(&tidegate, "sinks", 1).await;
    let answers = async |tidegate: &Tidegate| {
        let answer = tidegate.call("sinks", "echo here").await;
        assert_eq!((answer.status(), answer.body().as_ref()), (StatusCode::OK, b"here\n".as_ref()));
    };
    let sinks = async |tidegate: &Tidegate, to: &[&str]| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = phases(tidegate, "sinks").await;
            if seen == to {
                return;
            }
            assert!(Instant::now() < deadline, "{seen:?} and not {to:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    for depth in [vec!["frozen"], vec!["created"], vec![]] {
        sinks(&tidegate, &depth).await;
        let described = tidegate.describe("sinks").await;
        let available = described["availableReplicas"].as_u64().unwrap_or(0);
        assert_eq!(available, 0, "{depth:?}: {described:#}");
        answers(&tidegate).await;
    }
    // Killed meanwhile, tidegate comes back to what is created.
    sinks(&tidegate, &["created"]).await;
    tidegate.kill_9();
    let mut tidegate = start(&daemon);
    answers(&tidegate).await;
    let (_, told) = tidegate.json(Method::GET, "/system/scaling/sinks", Value::Null).await;
    assert_eq!(told["policy"]["created_seconds"], 6.0, "{told:#}");
    assert_eq!(tidegate.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_go_on_without_tidegate_and_are_taken_over() {
    let Some(daemon) = Daemon::start() else { return };
    import(&daemon);
    let mut tidegate = start(&daemon);
    tidegate.deploy(function("steady", json!({"com.openfaas.scale.min": "2"}))).await;
    ready(&tidegate, "steady", 2).await;
    let before = replica_pids(&daemon);

    tidegate.kill_9();
    assert_eq!(replica_pids(&daemon), before);
    let mut tidegate = start(&daemon);
    ready(&tidegate, "steady", 2).await;
    let answer = tidegate.call("steady", "echo still here >&2; echo still here").await;
    assert_eq!(answer.body().as_ref(), b"still here\nstill here\n");
    // Each call forks a shell, so that only the longer-lived are compared.
    assert!(before.iter().all(|pid| Path::new("/proc").join(pid).exists()), "started anew");

    // Functions find the gateway where its name says.
    let port = tidegate.url.rsplit(':').next().expect("a port").to_owned();
    let ask = format!("wget -q -O - http://gateway:{port}/healthz && echo well");
    let answer = tidegate.call("steady", &ask).await;
    assert!(String::from_utf8_lossy(answer.body()).ends_with("well\n"), "{:?}", answer.body());

    let described = tidegate.describe("steady").await;
    assert_eq!(described["image"], "function:test", "{described:#}");
    let pids = replica_pids(&daemon);
    tidegate.stop();
    // Stopping leaves functions running, too.
    assert!(pids.iter().any(|pid| Path::new("/proc").join(pid).exists()));
    let tidegate = start(&daemon);
    let output = command(&daemon, &["remove", "steady", "-g", &tidegate.url]);
    assert!(output.status.success(), "{output:?}");
    let deadline = Instant::now() + PATIENCE;
    while !replica_pids(&daemon).is_empty() {
        assert!(Instant::now() < deadline, "containers are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A function calls others by name: through the gateway, which counts the calls and wakes whom they mean.
#[tokio::test(flavor = "multi_thread")]
async fn functions_call_each_other_by_name_and_wake_each_other() {
    let Some(daemon) = Daemon::start() else { return };
    import(&daemon);
    let tidegate = start(&daemon);
    let pets = json!({"name": "pets", "labels": {"openfaas": "1"}});
    let (status, body) = tidegate.json(Method::POST, "/system/namespace/pets", pets).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let sleepy =
        json!({"com.openfaas.scale.zero": "true", "com.openfaas.scale.zero-duration": "1h"});
    let in_pets = |name: &str, process: &str| {
        let mut one = function(name, json!({}));
        one["namespace"] = json!("pets");
        one["envProcess"] = json!(process);
        one
    };
    tidegate.deploy(function("caller", json!({}))).await;
    tidegate.deploy(function("callee", sleepy)).await;
    tidegate.deploy(in_pets("caller", "serve shell")).await;
    tidegate.deploy(in_pets("callee", "serve")).await;
    ready(&tidegate, "caller", 1).await;
    ready(&tidegate, "callee", 1).await;

    // The callee runs what it gets, so that it tells whose it is.
    let ask = |host: &str| {
        format!("wget -q -O - --post-data='echo $OPENFAAS_NAMESPACE' http://{host}/any/path 2>&1")
    };
    let port = tidegate.url.rsplit(':').next().expect("a port").to_owned();
    let said = async |caller: &str, words: &str| {
        let answer = tidegate.call(caller, words).await;
        String::from_utf8_lossy(answer.body()).into_owned()
    };
    let hosts = [
        "callee:8080".to_owned(),
        "callee.openfaas-fn:8080".to_owned(),
        "callee.openfaas-fn.svc.cluster.local:8080".to_owned(),
        format!("callee:{port}"),
    ];
    for host in &hosts {
        assert_eq!(said("caller", &ask(host)).await, "openfaas-fn\n", "{host}");
    }
    let metrics = tidegate.metrics().await;
    let counted =
        "gateway_function_invocation_total{function_name=\"callee.openfaas-fn\",code=\"200\"} 4\n";
    assert!(metrics.contains(counted), "{metrics}");

    // At zero it is woken.
    tidegate.scale("callee", 0).await;
    ready(&tidegate, "callee", 0).await;
    assert_eq!(said("caller", &ask("callee:8080")).await, "openfaas-fn\n");
    ready(&tidegate, "callee", 1).await;

    // A bare name is one of the caller's own namespace, if there is one.
    tidegate
        .wait_for_counts("callee?namespace=pets", "ready", PATIENCE, |_, ready| ready == 1)
        .await;
    tidegate
        .wait_for_counts("caller?namespace=pets", "ready", PATIENCE, |_, ready| ready == 1)
        .await;
    // That callee only says again what it gets.
    let echoed = "echo $OPENFAAS_NAMESPACE";
    assert_eq!(said("caller.pets", &ask("callee:8080")).await, echoed);
    assert_eq!(said("caller", &ask("callee.pets:8080")).await, echoed);
    assert_eq!(said("caller.pets", &ask("callee.openfaas-fn:8080")).await, "openfaas-fn\n");

    // Nobody is found at once, and management not under a function's name.
    let told = said("caller", &ask("nosuch:8080")).await;
    assert!(told.contains("bad address"), "{told}");
    let told =
        said("caller", "wget -S -O - --header 'Host: nosuch' http://gateway:8080/ 2>&1").await;
    assert!(told.contains("404"), "{told}");
    let told =
        said("caller", "wget -q -O - --post-data='echo mine' http://callee:8080/system/functions")
            .await;
    assert_eq!(told, "mine\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_what_containerd_lacks_and_auto_does_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("none.sock").display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["doctor", "--pre", "--provider", "containerd"]).current_dir(folder.path());
    command.env("TIDEGATE_STATE_DIR", folder.path().join("state"));
    let output = command.env("TIDEGATE_CONTAINERD_SOCKET", &nowhere).output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains(&nowhere) && told.contains("apt-get install containerd"), "{told}");

    let output = command.env("TIDEGATE_SHIMS", "0").output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("settings") && told.contains("TIDEGATE_SHIMS=\"0\""), "{told}");

    let auto = Start::new().var("TIDEGATE_PROVIDER", "auto");
    let tidegate = auto.var("TIDEGATE_CONTAINERD_SOCKET", &nowhere).start();
    ready(&tidegate, "hello", 1).await;
}
