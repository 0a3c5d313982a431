//! What this backend promises of processes: crashes, ends, frozen families, environments, logs, files.

#[path = "support/harness.rs"]
#[expect(dead_code, reason = "shared with the conformance suite")]
mod harness;
#[path = "support/place.rs"]
mod place;
#[path = "support/procs.rs"]
mod procs;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use futures_util::StreamExt;
use harness::shell;
use place::Place;
use tidegate_core::{DEFAULT_NAMESPACE, Replicas};
use tidegate_provider::conformance::http::call;
use tidegate_provider::{
    Change, Depth, Phase, Provider, ProviderError, ScaleTo, Secret, SecretName,
};
use tidegate_provider_process::{OpenError, ProcessProvider};
use tokio_util::task::TaskTracker;

const CAT: &str = "exec cat";
/// A child that listens as the watchdog says, and answers with its own number.
const SERVER: &str = "exec python3 -c \"import os,http.server as h\nclass H(h.BaseHTTPRequestHandler):\n def do_POST(s):\n  b=str(os.getpid()).encode(); s.send_response(200); s.send_header(\\\"Content-Length\\\",str(len(b))); s.end_headers(); s.wfile.write(b)\nh.HTTPServer((\\\"127.0.0.1\\\",int(os.environ[\\\"PORT\\\"])),H).serve_forever()\"";

fn kill(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, signal).expect("it runs");
}

fn frozen() -> ScaleTo {
    ScaleTo { replicas: Replicas::ZERO, victims: Vec::new(), depth: Depth::Frozen }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_is_replaced_and_its_family_ends() {
    let place = Place::open().await;
    let function = place.deployed(shell("victim", "http", SERVER), 2).await;
    let before = place.provider.get(&function).await.expect("deployed");
    let victim = &before.replicas[0];
    let family: Vec<i32> = procs::all(place.path())
        .into_iter()
        .filter(|it| it.replica == victim.id.as_str())
        .map(|it| it.pid)
        .collect();
    assert!(family.len() >= 2, "a watchdog and its child: {family:?}");
    let watchdog = *family.iter().min().expect("some");
    kill(watchdog, rustix::process::Signal::KILL);

    let status =
        place.until(&function, |it| it.replicas[0].restarts == 1 && it.ready().get() == 2).await;
    assert_eq!(status.replicas[1], before.replicas[1], "the other one is not touched");
    assert_eq!(status.replicas[0].detail, "");
    call(&status.replicas[0], b"").await.expect("the new one answers");
    assert!(
        procs::all(place.path())
            .iter()
            .all(|it| !family.contains(&it.pid) || it.replica != victim.id.as_str())
    );
    assert!(place.log(&function, None).await.iter().any(|line| line.text.contains("SIGKILL")));
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_is_told_with_code_and_last_error() {
    let place = Place::open().await;
    let function = place.deploy(shell("loops", "http", "echo no such table >&2; exit 7"), 1).await;
    let status = place.until(&function, |it| it.replicas[0].restarts >= 3).await;
    assert!(status.replicas[0].detail.contains('7'), "{}", status.replicas[0].detail);
    place.provider.release().await;
    assert!(procs::all(place.path()).is_empty());
}

/// On a call it says something and ends.
const FUSE: &str = "exec python3 -c \"import os,http.server as h\nclass H(h.BaseHTTPRequestHandler):\n def do_POST(s):\n  os.write(2,b\\\"no such table\\\\n\\\"); os._exit(7)\nh.HTTPServer((\\\"127.0.0.1\\\",int(os.environ[\\\"PORT\\\"])),H).serve_forever()\"";

#[tokio::test(flavor = "multi_thread")]
async fn the_last_error_line_of_a_crash_is_told() {
    let place = Place::with(|config| config.backoff_first = Duration::from_secs(60)).await;
    let function = place.deployed(shell("fuse", "http", FUSE), 1).await;
    let mut told = place.provider.watch();
    let status = place.provider.get(&function).await.expect("deployed");
    let _ = call(&status.replicas[0], b"").await;
    loop {
        if let Some(Change::Function(status)) = told.next().await
            && let Some(replica) = status.replicas.first()
            && replica.detail.contains("no such table")
        {
            break;
        }
    }
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_program_is_told() {
    let place = Place::open().await;
    let mut deployment = shell("missing", "http", "");
    deployment.process = "/no/such/program".to_owned();
    let function = place.deploy(deployment, 1).await;
    place.detail(&function, "/no/such/program").await;
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_not_ready_in_time_is_killed_and_tried_again() {
    let place = Place::with(|config| config.start_deadline = Duration::from_millis(200)).await;
    let function = place.deploy(shell("late", "http", "exec sleep 1000"), 1).await;
    place.detail(&function, "not ready within 200ms").await;
    place.provider.release().await;
    assert!(procs::all(place.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_start_slowly_do_not_keep_others_from_starting() {
    let place = Place::with(|config| config.parallel_starts = 1).await;
    place.deploy(shell("slow", "http", "exec sleep 1000"), 3).await;
    let function = place.deployed(shell("fast", "classic", CAT), 1).await;
    assert_eq!(place.text(&function, "hi").await, "hi");
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_takes_descendants_that_hide_and_ignore_it() {
    let place = Place::with(|config| config.grace = Duration::from_millis(200)).await;
    let script = "trap \"\" TERM; setsid sleep 1001 & sleep 1002 & while true; do sleep 1003; done";
    // Never ready, but running; then deaf to SIGTERM.
    let function = place.deploy(shell("stubborn", "http", script), 1).await;
    procs::until("whole family", || (procs::all(place.path()).len() >= 5).then_some(())).await;
    place.scale(&function, ScaleTo::replicas(0)).await;
    place.until(&function, |it| it.replicas.is_empty()).await;
    assert_eq!(procs::all(place.path()), []);
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn freezing_stops_the_whole_family_and_keeps_the_minimum() {
    let place = Place::open().await;
    let mut deployment = shell("icy", "http", SERVER);
    deployment.labels.insert("com.openfaas.scale.min".to_owned(), "2".to_owned());
    let function = place.deployed(deployment, 3).await;
    let child = place.text(&function, "").await;
    place.scale(&function, frozen()).await;
    let status = place.until(&function, |it| it.replicas.len() == 2).await;
    assert_eq!(status.count(Phase::Frozen).get(), 2);
    let stopped = || procs::all(place.path()).iter().all(|it| it.state == 'T').then_some(());
    procs::until("family that is stopped whole", stopped).await;
    assert!(procs::all(place.path()).len() >= 4, "two watchdogs and two children");

    place.scale(&function, ScaleTo::replicas(2)).await;
    let status = place.provider.get(&function).await.expect("deployed");
    assert_eq!(status.ready().get(), 2, "thawed at once");
    assert_eq!(place.text(&function, "").await, child, "the same process goes on");

    place.scale(&function, frozen()).await;
    place.provider.release().await;
    assert_eq!(procs::all(place.path()), [], "frozen ones hear SIGTERM too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_replica_that_is_killed_is_gone_and_a_new_one_starts_at_need() {
    let place = Place::open().await;
    let function = place.deployed(shell("brittle", "classic", CAT), 1).await;
    place.scale(&function, frozen()).await;
    place.until(&function, |it| it.count(Phase::Frozen).get() == 1).await;
    for process in procs::all(place.path()) {
        kill(process.pid, rustix::process::Signal::KILL);
    }
    place.until(&function, |it| it.replicas.is_empty()).await;
    place.scale(&function, ScaleTo::replicas(1)).await;
    assert_eq!(place.text(&function, "hi").await, "hi");
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_the_functions_own_and_clean() {
    let place = Place::open().await;
    let mut deployment = shell("env", "classic", "env; pwd");
    deployment.env.insert("GREETING".to_owned(), "two\nlines = more".to_owned());
    let function = place.deployed(deployment, 1).await;
    let env = place.text(&function, "").await;
    for wanted in [
        "GREETING=two\nlines = more\n",
        "OPENFAAS_NAME=env\n",
        "OPENFAAS_NAMESPACE=openfaas-fn\n",
        "PATH=/usr/local/sbin:",
    ] {
        assert!(env.contains(wanted), "{wanted:?} in {env}");
    }
    assert!(!env.contains("CARGO"), "{env}");
    let run = place.path().canonicalize().expect("there").join("run");
    assert!(env.contains(&format!("TMPDIR={}", run.display())), "{env}");
    assert!(env.trim_end().lines().last().expect("pwd").starts_with(run.to_str().expect("text")));
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_may_name_the_folder_it_starts_in() {
    let place = Place::open().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let path = elsewhere.path().canonicalize().expect("there").display().to_string();
    let mut deployment = shell("home", "classic", "pwd");
    let annotation = "com.tidegate.process.directory".to_owned();
    deployment.annotations.insert(annotation.clone(), path.clone());
    let function = place.deployed(deployment.clone(), 1).await;
    assert_eq!(place.text(&function, "").await.trim(), path);
    deployment.annotations.insert(annotation, "relative/path".to_owned());
    let refused = place.provider.update(deployment).await;
    assert!(matches!(refused, Err(ProviderError::Invalid(_))), "{refused:?}");
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_here_is_refused_with_a_way_out() {
    let place = Place::open().await;
    let one = Replicas::ONE;
    let mut image_only = shell("image", "classic", CAT);
    image_only.process.clear();
    let error = place.provider.deploy(image_only.clone(), one).await.expect_err("no process");
    let text = error.to_string();
    assert!(
        text.contains("containerd") && text.contains("Kubernetes") && text.contains("fprocess"),
        "{text}"
    );
    for (name, value) in [
        ("TIDEGATE_CONTROL", "x"),
        ("A=B", "x"),
        ("", "x"),
        ("NUL", "a\0b"),
        ("grace_period", "soon"),
    ] {
        let mut bad = shell("bad", "classic", CAT);
        bad.env.insert(name.to_owned(), value.to_owned());
        let refused = place.provider.deploy(bad, one).await;
        assert!(matches!(refused, Err(ProviderError::Invalid(_))), "{name}: {refused:?}");
    }
    // A function of nothing but files needs no process, and fprocess may come as a variable.
    image_only.env.insert("mode".to_owned(), "static".to_owned());
    image_only.env.insert("static_path".to_owned(), "/".to_owned());
    place.deployed(image_only, 1).await;
    let mut by_variable = shell("variable", "classic", CAT);
    by_variable.env.insert("fprocess".to_owned(), std::mem::take(&mut by_variable.process));
    place.deployed(by_variable, 1).await;
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_bounded_and_long_lines_are_cut() {
    let place = Place::with(|config| config.log_bytes = 64 << 10).await;
    let script = "cat >/dev/null; yes 0123456789012345678901234567890123456789 | head -n 10000 >&2; head -c 100000 /dev/zero | tr \\\\0 x >&2; echo >&2; echo last words >&2";
    let function = place.deployed(shell("chatty", "classic", script), 1).await;
    place.call(&function, "").await;
    let lines = loop {
        let lines = place.log(&function, Some(20)).await;
        if lines.iter().any(|line| line.text.contains("last words")) {
            break lines;
        }
        tokio::task::yield_now().await;
    };
    assert!(lines.iter().all(|line| line.text.len() <= 17 << 10));
    let logs = place.path().join("logs").join(function.as_str());
    let mut sizes = Vec::new();
    for created in std::fs::read_dir(logs).expect("logs").flatten() {
        for file in std::fs::read_dir(created.path()).expect("logs").flatten() {
            sizes.push(file.metadata().expect("a file").len());
        }
    }
    assert_eq!(sizes.len(), 2, "one file and the one before it");
    assert!(sizes.iter().all(|size| *size <= 96 << 10), "{sizes:?}");
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_ended_replicas_are_kept_for_a_while_and_go_with_the_function() {
    let place = Place::with(|config| config.log_keeps = 2).await;
    let function = place.deployed(shell("past", "classic", "cat; echo spoken >&2"), 1).await;
    place.call(&function, "").await;
    procs::until("log", || std::fs::exists(place.path().join("logs").join(function.as_str())).ok())
        .await;
    for count in [0, 4, 0] {
        place.scale(&function, ScaleTo::replicas(count)).await;
        place
            .until(&function, |it| it.ready().get() == count && it.replicas.len() == count as usize)
            .await;
    }
    let mut replicas: Vec<_> =
        place.log(&function, None).await.into_iter().map(|it| it.instance).collect();
    replicas.sort();
    replicas.dedup();
    assert!(replicas.len() <= 2, "{replicas:?}");
    place.provider.delete(&function).await.expect("deployed");
    let left = || {
        std::fs::read_dir(place.path().join("logs")).expect("logs").next().is_none().then_some(())
    };
    procs::until("end of the logs", left).await;
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_counts_descendants() {
    let place = Place::open().await;
    let function = place
        .deployed(shell("busy", "http", &format!("(while true; do :; done) & {SERVER}")), 1)
        .await;
    let child = place.text(&function, "").await;
    assert!(!child.is_empty());
    let mut last = place.provider.usage(&function).await.expect("deployed");
    while last[0].cpu_millis < 300 {
        tokio::task::yield_now().await;
        last = place.provider.usage(&function).await.expect("deployed");
    }
    assert!(last[0].cpu_millicores > 0.0 && last[0].memory_bytes > 1 << 20, "{last:?}");
    place.provider.release().await;
    assert_eq!(procs::all(place.path()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_reads_the_state() {
    let place = Place::open().await;
    let name = SecretName::new("token", DEFAULT_NAMESPACE).expect("a good name");
    place.provider.create_secret(Secret { name, value: b"x".to_vec() }).await.expect("new");
    let mut deployment = shell(
        "private",
        "classic",
        "cat; stat -L -c %a \"$TIDEGATE_SECRETS/token\" \"$TIDEGATE_SECRETS\"",
    );
    deployment.secrets.push("token".to_owned());
    let function = place.deployed(deployment, 1).await;
    assert_eq!(place.text(&function, "").await, "600\n700\n");
    let mode = |path: &str| {
        std::fs::metadata(place.path().join(path)).expect("there").permissions().mode() & 0o777
    };
    assert_eq!(
        (mode("functions/private.openfaas-fn.json"), mode("secrets"), mode("run")),
        (0o600, 0o700, 0o700)
    );
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backend_on_the_same_state_is_refused() {
    let place = Place::open().await;
    let second = ProcessProvider::open(harness::config(place.path()), TaskTracker::new()).await;
    let refused = second.expect_err("the directory is taken");
    assert!(
        matches!(&refused, OpenError::InUse { holder, .. } if *holder == std::process::id().to_string()),
        "{refused}"
    );
    place.provider.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_named_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("functions/cat.openfaas-fn.json");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, "{\"half\":").expect("a file");
    let opened = ProcessProvider::open(harness::config(folder.path()), TaskTracker::new()).await;
    let text = opened.expect_err("it is damaged").to_string();
    assert!(text.contains("cat.openfaas-fn.json"), "{text}");
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "{\"half\":");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_with_a_long_path_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = folder.path().join("x".repeat(120));
    let provider =
        ProcessProvider::open(harness::config(&long), TaskTracker::new()).await.expect("it opens");
    let place = Place { folder, provider };
    let function = place.deployed(shell("far", "classic", CAT), 1).await;
    assert_eq!(place.text(&function, "hi").await, "hi");
    place.provider.release().await;
}
