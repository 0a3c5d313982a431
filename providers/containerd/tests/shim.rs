//! What looks after containers, as others use it who know nothing of tidegate: `ctr`, containerd itself, and the
//! kernel.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/images.rs"]
mod images;
#[path = "support/place.rs"]
mod place;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::function;
use place::{Place, ask};
use rustix::mount::UnmountFlags;
use tidegate_provider::CrashReason;

const SHELL: &str = "serve shell";
const NAMESPACE: &str = "openfaas-fn";

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ours_and_one_for_each_function_and_gone_after_the_last_replica() {
    let Some(place) = Place::with(|it| it.shim = None).await else { return };
    let one = place.deployed(function("one", SHELL), 3).await;
    let two = place.deployed(function("two", SHELL), 1).await;
    let shims = place.harness.daemon.shims();
    assert_eq!(shims.len(), 2, "{shims:?}");
    for shim in &shims {
        let line = fs::read_to_string(format!("/proc/{shim}/cmdline")).expect("it runs");
        assert!(line.starts_with("containerd-shim-tidegate\0"), "{line}");
        let below = fs::read_to_string(format!("/proc/{shim}/task/{shim}/children"));
        let below = below.expect("it runs").split_whitespace().count();
        assert!([1, 3].contains(&below), "nobody but the replicas: {below}");
    }
    let sockets: Vec<String> = shims.iter().map(|it| daemon::socket(*it)).collect();
    place.scale(&one, 0).await;
    place.scale(&two, 0).await;
    let ended = || place.harness.daemon.shims().is_empty();
    assert!(tokio::task::block_in_place(|| daemon::within(Duration::from_secs(30), ended)));
    for socket in sockets {
        assert!(!Path::new(&socket).exists(), "{socket}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_in_a_replica_and_their_output_and_status_come_back() {
    let Some(place) = Place::with(|it| it.shim = None).await else { return };
    let id = place.deployed(function("shell", SHELL), 1).await;
    place.ready(&id, 1).await;
    let task = place.ctr(NAMESPACE, &["tasks", "list", "-q"]);
    let exec = |name: &str, words: &[&str]| {
        let all = [&["tasks", "exec", "--exec-id", name, &task][..], words].concat();
        place.ctr(NAMESPACE, &all)
    };
    assert_eq!(exec("a", &["/bin/busybox", "echo", "hello"]), "hello");
    assert_eq!(exec("a", &["/bin/busybox", "sh", "-c", "exit 0"]), "", "its name is free again");
    assert_eq!(
        exec("b", &["/bin/nothing"]),
        "",
        "it cannot be started, and nobody waits for its end"
    );
    assert_eq!(exec("b", &["/bin/busybox", "echo", "again"]), "again");
    let pids = place.ctr(NAMESPACE, &["tasks", "ps", &task]);
    assert!(pids.lines().count() >= 2, "a heading and its processes: {pids}");
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_says_what_was_paused_and_resumed() {
    let Some(place) = Place::with(|it| it.shim = None).await else { return };
    let id = place.deployed(function("shell", SHELL), 1).await;
    let status = place.ready(&id, 1).await;
    let task = place.ctr(NAMESPACE, &["tasks", "list", "-q"]);
    place.ctr(NAMESPACE, &["tasks", "pause", &task]);
    assert!(place.ctr(NAMESPACE, &["tasks", "list"]).contains("PAUSED"));
    place.ctr(NAMESPACE, &["tasks", "resume", &task]);
    assert!(place.ctr(NAMESPACE, &["tasks", "list"]).contains("RUNNING"));
    assert_eq!(ask(&status.replicas[0], "echo on").await, "on");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_with_and_without_names_reach_the_first_process() {
    let Some(place) = Place::with(|it| it.shim = None).await else { return };
    let hears = "trap 'echo heard' USR1; trap 'echo heard' 37; nc -ll -p 8080 -e /handler & while :; do wait; done";
    let id = place.deployed(function("hears", hears), 1).await;
    let task = place.ctr(NAMESPACE, &["tasks", "list", "-q"]);
    for (number, signal) in ["SIGUSR1", "37"].iter().enumerate() {
        place.ctr(NAMESPACE, &["tasks", "kill", "--signal", signal, &task]);
        let heard = async {
            while place.logs(&id).await.iter().filter(|line| *line == "heard").count() <= number {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), heard).await.expect(signal);
    }
}

/// Makes containers as runc does, and notes in `calls` what it was asked for.
fn noting_runtime(folder: &Path, calls: &Path) -> String {
    let script = format!("#!/bin/sh\necho \" $* \" >>{}\nexec runc \"$@\"\n", calls.display());
    written(&folder.join("noting"), &script)
}

fn written(program: &Path, script: &str) -> String {
    fs::write(program, script).expect("a file");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("its own file");
    program.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_at_once_is_made_and_started_by_one_execution_and_removed_by_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let calls = folder.path().join("calls");
    let program = noting_runtime(folder.path(), &calls);
    let open = Place::with(|it| (it.shim, it.oci_runtime) = (None, Some(program)));
    let Some(place) = open.await else { return };
    let asked = |word: &str| {
        let calls = fs::read_to_string(&calls).unwrap_or_default();
        calls.lines().filter(|line| line.contains(&format!(" {word} "))).count()
    };
    let words = ["run", "create", "start", "delete"];
    let id = place.deployed(function("once", SHELL), 1).await;
    place.ready(&id, 1).await;
    let task = place.ctr(NAMESPACE, &["tasks", "list", "-q"]);
    let namespace = format!("{}{NAMESPACE}", place.harness.daemon.prefix());
    let noted = Path::new("/run/containerd/runc").join(&namespace).join(&task);
    let group = Path::new("/sys/fs/cgroup");
    let groups = || {
        let roots = fs::read_dir(group).expect("mounted").flatten().map(|root| root.path());
        let all = roots.chain([group.to_owned()]).map(|root| root.join(&namespace).join(&task));
        all.filter(|path| path.exists()).collect::<Vec<_>>()
    };
    assert!(noted.exists(), "{}", noted.display());
    assert!(!groups().is_empty(), "{task}");
    place.scale(&id, 0).await;
    place.ready(&id, 0).await;
    let patience = Duration::from_secs(30);
    let is_gone = || !noted.exists() && groups().is_empty();
    assert!(tokio::task::block_in_place(|| daemon::within(patience, is_gone)), "{:?}", groups());
    assert_eq!(words.map(&asked), [1, 0, 0, 0]);
    // One that waits to be wanted is made by one, and started by another.
    place.create(&id).await;
    assert_eq!(words.map(&asked), [1, 1, 0, 0]);
    place.scale(&id, 1).await;
    assert_eq!(place.text(&id, "echo started").await, "started");
    assert_eq!(words.map(&asked), [1, 1, 1, 0]);
}

/// Containerd tells of an end as soon as there is one, and here before anybody knows the task.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_before_the_making_was_answered_is_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "#!/bin/sh\nrunc \"$@\"; done=$?\ncase \" $* \" in *\" run \"*) sleep 0.3 ;; esac\nexit $done\n";
    let program = written(&folder.path().join("late"), script);
    let open = Place::with(|it| (it.shim, it.oci_runtime) = (None, Some(program)));
    let Some(place) = open.await else { return };
    let id = place.deploy(function("gone", "exit 3"), 1).await;
    // Much less than what looks for it otherwise take.
    let crashed = place.until(&id, |it| it.crashes.count(CrashReason::ExitCode) >= 2);
    let status = tokio::time::timeout(Duration::from_secs(15), crashed).await.expect("it is heard");
    let said: Vec<&str> = status.crashes.last().map(|it| it.detail.as_str()).collect();
    assert!(said.iter().all(|it| it.starts_with("exited with code 3")), "{said:?}");
}

/// Makes containers as runc does, but the first one late, and is slow to end when it removes one: so that one that is still
/// being made is there only after it was to be removed. `begun` is there once the first was asked for.
fn slow_runtime(folder: &Path, begun: &Path) -> String {
    let program = folder.join("slow");
    let begun = begun.display();
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in\n\
         *\" create \"*|*\" run \"*) mkdir {begun} 2>/dev/null && sleep 0.5; runc \"$@\"; done=$?; mkdir {begun}/end; exit $done ;;\n\
         *\" delete \"*) runc \"$@\"; done=$?; sleep 1; exit $done ;;\n\
         esac\nexec runc \"$@\"\n"
    );
    written(&program, &script)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_shim_was_making_is_not_left_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let begun = folder.path().join("begun");
    let program = slow_runtime(folder.path(), &begun);
    let open = Place::with(|it| (it.shim, it.oci_runtime) = (None, Some(program)));
    let Some(place) = open.await else { return };
    let id = place.deploy(function("slow", SHELL), 1).await;
    let patience = Duration::from_secs(30);
    assert!(tokio::task::block_in_place(|| daemon::within(patience, || begun.exists())));
    place.harness.daemon.shims().into_iter().for_each(daemon::end);
    let status = place.ready(&id, 1).await;
    let said: Vec<&str> = status.crashes.last().map(|it| it.detail.as_str()).collect();
    assert!(
        !said.iter().any(|it| it.contains("exist")),
        "the first one was removed in time: {said:?}"
    );
    place.scale(&id, 0).await;
    place.ready(&id, 0).await;
    assert!(begun.join("end").exists(), "the first one was made");
    let made = format!("/run/containerd/runc/{}{NAMESPACE}", place.harness.daemon.prefix());
    let left = || fs::read_dir(&made).into_iter().flatten().count();
    let clean = || left() == 0 && place.processes().is_empty();
    let clean = tokio::task::block_in_place(|| daemon::within(patience, clean));
    assert!(clean, "{} containers, processes {:?}", left(), place.processes());
}

/// containerd 2.1 may remove a bundle before it calls who cleans up.
#[tokio::test(flavor = "multi_thread")]
async fn one_whose_bundle_vanished_is_ended_all_the_same() {
    let Some(mut place) = Place::with(|it| it.shim = None).await else { return };
    let program = place.harness.config.collector.clone().expect("it is built with its tests");
    let id = place.deployed(function("lost", SHELL), 1).await;
    place.ready(&id, 1).await;
    let task = place.ctr(NAMESPACE, &["tasks", "list", "-q"]);
    let namespace = format!("{}{NAMESPACE}", place.harness.daemon.prefix());
    let made = Path::new("/run/containerd/runc").join(&namespace).join(&task);
    let processes = place.processes();
    assert!(made.exists() && !processes.is_empty(), "{task}: {processes:?}");

    place.crash();
    place.harness.daemon.kill();
    for shim in place.harness.daemon.shims() {
        let socket = daemon::socket(shim);
        daemon::end(shim);
        fs::remove_file(socket).expect("it listened there");
    }
    let bundles = place.harness.daemon.path("st/io.containerd.runtime.v2.task");
    let bundle = bundles.join(&namespace).join(&task);
    rustix::mount::unmount(bundle.join("rootfs"), UnmountFlags::DETACH).expect("mounted");
    fs::remove_dir_all(&bundle).expect("containerd made it");

    let words = ["-namespace", &namespace, "-id", &task, "-bundle"];
    let done = Command::new(program).args(words).arg(&bundle).arg("delete").output();
    let done = done.expect("a program");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{said}");
    assert!(!made.exists(), "{}", made.display());
    assert_eq!(place.living(&processes), Vec::<String>::new());
    assert_eq!(place.processes(), Vec::<String>::new());
}
