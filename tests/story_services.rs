//! Services as a user has them: a compose file brought up by the real program, reached by a function, handed over,
//! taken over, listed, read, and taken down.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

#[path = "../providers/containerd/tests/support/daemon.rs"]
mod daemon;
#[path = "../providers/containerd/tests/support/images.rs"]
mod images;
mod support;

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use daemon::Daemon;
use serde_json::{Value, json};
use support::{Start, Tidegate};

/// Containers are started through several programs, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

const FILE: &str = "\
services:
  db:
    image: service:test
    restart: always
    environment: {TEXT: \"${TEXT:-kept}\"}
    command: sh -c 'echo serving; echo $$TEXT >/data/index.html; exec httpd -f -p 8000 -h /data'
    volumes: [\"data:/data\"]
    stop_grace_period: 1s
  web:
    image: service:test
    depends_on: [db]
    command: [sh, -c, 'exec sleep 1000']
    stop_grace_period: 1s
volumes: {data: }
";

/// What tidegate and its commands are told, so that nothing is shared with another test.
fn vars(daemon: &Daemon) -> Vec<(&'static str, String)> {
    vec![
        ("TIDEGATE_PROVIDER", "containerd".to_owned()),
        ("TIDEGATE_CONTAINERD_SOCKET", daemon.socket().display().to_string()),
        ("TIDEGATE_CONTAINERD_PREFIX", daemon.prefix()),
        ("TIDEGATE_RUN_DIR", daemon.path("run").display().to_string()),
        ("TIDEGATE_BRIDGE", daemon.bridge()),
        ("TIDEGATE_SUBNET", daemon.config().subnet.to_string()),
        ("TIDEGATE_MASQUERADE", "false".to_owned()),
        ("TIDEGATE_PULL_POLICY", "Never".to_owned()),
    ]
}

fn command(daemon: &Daemon, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(words).current_dir(daemon.path("")).env("NO_COLOR", "1");
    command.env("TIDEGATE_STATE_DIR", daemon.path("state")).envs(vars(daemon));
    command
}

fn run(daemon: &Daemon, words: &[&str]) -> Output {
    command(daemon, words).output().expect("tidegate ends by itself")
}

/// What it wrote, when all went well.
fn good(daemon: &Daemon, words: &[&str]) -> String {
    let output = run(daemon, words);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The process that looks after services.
struct Up(Child);

impl Up {
    fn start(daemon: &Daemon) -> Self {
        let mut command = command(daemon, &["services", "up"]);
        Self(command.stderr(Stdio::null()).spawn().expect("it was built"))
    }

    fn end(mut self, signal: rustix::process::Signal) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).expect("it runs");
        self.0.wait().expect("it was started here").code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the list of services fits.
fn listed(daemon: &Daemon, what: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let output = run(daemon, &["services", "list", "-o", "json"]);
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if fits(&all) {
            return all;
        }
        assert!(begun.elapsed() < PATIENCE, "not {what} in time: {all:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn all_run(all: &[Value]) -> bool {
    let names: Vec<&str> = all.iter().filter_map(|one| one["name"].as_str()).collect();
    names == ["db", "web"] && all.iter().all(|one| one["state"] == "running" && one["detail"] == "")
}

async fn asked(tidegate: &Tidegate) -> String {
    let answer = tidegate.call("caller", "wget -q -O - http://db:8000/index.html").await;
    String::from_utf8_lossy(answer.body()).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compose_file_is_brought_up_changed_taken_over_and_taken_down() {
    let Some(daemon) = Daemon::start() else { return };
    let (function, service) = (daemon.path("function.tar"), daemon.path("service.tar"));
    images::write(&function);
    let config = json!({"Env": ["PATH=/bin"]});
    images::write_as(&service, "docker.io/library/service:test", &config, &[]);
    for file in [&function, &service] {
        good(&daemon, &["image", "import", file.to_str().expect("ASCII")]);
    }
    std::fs::write(daemon.path("compose.yaml"), FILE).expect("a folder");
    let up = Up::start(&daemon);
    listed(&daemon, "running", all_run);

    let start = Start::new().state(&daemon.path("state"));
    let start = vars(&daemon).iter().fold(start, |start, (name, value)| start.var(name, value));
    let mut tidegate = start.start();
    let caller =
        json!({"service": "caller", "image": "function:test", "envProcess": "serve shell"});
    tidegate.deploy(caller).await;
    tidegate.wait_for_counts("caller", "1 ready", PATIENCE, |_, ready| ready == 1).await;
    assert_eq!(asked(&tidegate).await, "kept");
    assert!(good(&daemon, &["services", "logs", "db"]).ends_with("serving\n"));

    // A change is handed to the process that runs, and changes one of them.
    std::fs::write(daemon.path(".env"), "TEXT=changed\n").expect("a folder");
    let told = run(&daemon, &["services", "up"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("Started db") && !told.contains("Started web"), "{told}");
    assert_eq!(asked(&tidegate).await, "changed");

    // They go on without it, and the next one takes them over.
    assert_eq!(up.end(rustix::process::Signal::TERM), Some(0));
    assert_eq!(asked(&tidegate).await, "changed");
    let left = listed(&daemon, "left alone", |all| all.len() == 2);
    assert!(left.iter().all(|one| one["detail"] == "nobody looks after it"), "{left:#?}");
    Up::start(&daemon).end(rustix::process::Signal::KILL);
    let up = Up::start(&daemon);
    let all = listed(&daemon, "taken over", all_run);
    assert!(all.iter().all(|one| one["restarts"] == 0), "{all:#?}");
    good(&daemon, &["services", "restart", "db"]);
    let all = listed(&daemon, "restarted", |all| all_run(all) && all[0]["restarts"] == 1);
    assert_eq!(all[0]["address"], left[0]["address"]);
    assert_eq!(asked(&tidegate).await, "changed");

    // A bad file changes nothing.
    std::fs::write(daemon.path("bad.yaml"), "services: {db: {image: x, privileged: true}}\n")
        .expect("a folder");
    let bad = run(&daemon, &["services", "up", "-f", "bad.yaml"]);
    let told = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert_eq!(bad.status.code(), Some(2));
    assert!(told.contains("privileged is not supported") && told.contains("bad.yaml:1:"), "{told}");
    listed(&daemon, "as it was", all_run);

    assert!(good(&daemon, &["services", "down", "-o", "json"]).contains("web"));
    drop(up);
    assert_eq!(listed(&daemon, "gone", |all| all.is_empty()).len(), 0);
    assert_eq!(std::fs::read_dir(daemon.path("run/services/netns")).expect("a folder").count(), 0);
    assert!(daemon.path("state/services/volumes/data/index.html").exists(), "volumes stay");
    assert_eq!(tidegate.stop(), Some(0));
}
