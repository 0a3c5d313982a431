//! Start, probes, lock file, metrics, draining, and the command line.

use std::io::{self, BufReader, Write as _};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::Command;

use rustix::process::Signal;

use crate::harness::{Answer, Watchdog, eventually, folder};

#[test]
fn health_follows_the_lock_file() {
    let watchdog = Watchdog::shell("cat", &[("mode", "classic")]);
    assert!(watchdog.lock().exists());
    let answer = watchdog.get("/_/health");
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
    assert_eq!(watchdog.send(b"HEAD /_/health HTTP/1.1\r\nHost: t\r\n\r\n").status, 200);
    assert_eq!(watchdog.post("/_/health", b"").status, 405);
    assert_eq!(watchdog.get("/_/ready").status, 200);
    std::fs::remove_file(watchdog.lock()).unwrap();
    assert_eq!(watchdog.get("/_/health").status, 503);
    assert_eq!(watchdog.get("/_/ready").status, 503);
}

#[test]
fn a_port_serves_both_families() {
    let watchdog = Watchdog::shell("echo hi", &[("TIDEGATE_LISTEN", ""), ("port", "0")]);
    assert_eq!(watchdog.get("/").text(), "hi\n");
    let Ok(mut stream) = std::net::TcpStream::connect(("::1", watchdog.port)) else {
        // A machine without IPv6.
        return;
    };
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let answer = crate::harness::Answer::read(&mut std::io::BufReader::new(stream), false);
    assert_eq!(answer.text(), "hi\n");
}

#[test]
fn a_suppressed_lock_does_not_make_it_ill() {
    let watchdog = Watchdog::shell("cat", &[("suppress_lock", "true")]);
    assert!(!watchdog.lock().exists());
    assert_eq!(watchdog.get("/_/health").status, 200);
}

#[test]
fn sigterm_and_sigint_drain() {
    for signal in [Signal::TERM, Signal::INT] {
        let function =
            "echo begun > $FOLDER/begun; while [ ! -e $FOLDER/go ]; do sleep 0.01; done; echo done";
        let mut watchdog = Watchdog::shell(function, &[("mode", "classic")]);
        let mut stream = watchdog.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        eventually("the call runs", || watchdog.file("begun").exists());
        watchdog.signal(signal);
        watchdog.wait_for("Draining 1 requests");
        assert!(!watchdog.lock().exists());
        std::fs::write(watchdog.file("go"), "").unwrap();
        let answer = crate::harness::Answer::read(&mut std::io::BufReader::new(stream), false);
        assert_eq!((answer.status, answer.text().as_str()), (200, "done\n"));
        assert_eq!(watchdog.exit().code(), Some(0));
    }
}

#[test]
fn while_draining_it_is_unhealthy_and_still_serves() {
    let vars = [("mode", "classic"), ("healthcheck_interval", "60s")];
    let watchdog = Watchdog::shell("echo served", &vars);
    watchdog.signal(Signal::TERM);
    watchdog.wait_for("Removing lock-file");
    assert_eq!(watchdog.get("/_/health").status, 503);
    assert_eq!(watchdog.get("/_/ready").status, 503);
    assert_eq!(watchdog.get("/").text(), "served\n");
}

#[test]
fn a_call_beyond_write_timeout_does_not_hold_up_the_end() {
    let vars = [("mode", "classic"), ("write_timeout", "500ms")];
    let mut watchdog = Watchdog::shell("echo $$ > $FOLDER/pid; sleep 600", &vars);
    let mut stream = watchdog.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let pid = crate::harness::number_in(watchdog.file("pid"));
    watchdog.signal(Signal::TERM);
    assert_eq!(watchdog.exit().code(), Some(0));
    eventually("the function is gone", || !crate::harness::is_alive(pid));
}

#[test]
fn a_taken_port_fails_the_start_and_leaves_no_lock() {
    let held = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = held.local_addr().unwrap().to_string();
    let folder = folder();
    std::fs::write(folder.path().join(".lock"), "").unwrap();
    let vars = [("fprocess", "cat"), ("TIDEGATE_LISTEN", address.as_str())];
    let mut watchdog = Watchdog::spawn(folder, &vars);
    assert_eq!(watchdog.exit().code(), Some(1));
    watchdog.wait_for("cannot listen on ");
    assert!(!watchdog.lock().exists());
}

#[test]
fn a_second_watchdog_leaves_the_first_ones_lock() {
    let first = Watchdog::shell("cat", &[]);
    let address = format!("127.0.0.1:{}", first.port);
    let vars = [("fprocess", "cat"), ("TIDEGATE_LISTEN", address.as_str())];
    let mut second = Watchdog::spawn(first.folder.clone(), &vars);
    assert_eq!(second.exit().code(), Some(1));
    assert_eq!(first.get("/_/health").status, 200);
}

#[test]
fn bad_variables_fail_the_start_and_are_all_named() {
    let vars = [
        ("mode", "afterburn"),
        ("write_timeout", "soon"),
        ("max_inflight", "many"),
        ("combine_output", "yes"),
        ("port", "http"),
    ];
    let mut watchdog = Watchdog::spawn(folder(), &vars);
    assert_eq!(watchdog.exit().code(), Some(1));
    for name in
        ["mode=", "write_timeout=", "max_inflight=", "combine_output=", "port=", "fprocess="]
    {
        watchdog.wait_for(name);
    }
    let mut watchdog = Watchdog::spawn(folder(), &[("fprocess", "cat"), ("mode", "http")]);
    assert_eq!(watchdog.exit().code(), Some(1));
    watchdog.wait_for("upstream_url");
}

#[test]
fn metrics_count_calls_and_not_probes() {
    let folder = folder();
    let path = crate::harness::script(&folder, "function.sh", "cat");
    let fprocess = format!("sh {path}");
    let vars =
        [("fprocess", fprocess.as_str()), ("mode", "classic"), ("TIDEGATE_METRICS", "127.0.0.1:0")];
    let watchdog = Watchdog::start(folder, &vars);
    let metrics_port: u16 = watchdog.wait_for("Metrics listening on port: ").parse().unwrap();
    watchdog.post("/", b"x");
    watchdog.call("BREW", "/", "", b"");
    watchdog.get("/_/health");
    let scrape = |path: &str| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", metrics_port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        crate::harness::Answer::read(&mut std::io::BufReader::new(stream), false)
    };
    let answer = scrape("/metrics");
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    for expected in [
        "http_requests_total{code=\"200\",method=\"post\"} 1",
        "http_requests_total{code=\"405\",method=\"unknown\"} 1",
        "http_request_duration_seconds_count{code=\"200\",method=\"post\"} 1",
        "http_requests_in_flight 0",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
    }
    assert!(!text.contains("method=\"get\""));
    assert_eq!(scrape("/other").status, 404);
}

#[test]
fn the_command_line_knows_version_and_healthcheck() {
    let folder = folder();
    let run = |arg: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fwatchdog"));
        command.env_clear().env("TMPDIR", folder.path()).arg(arg).output().unwrap()
    };
    let version = run("--version");
    assert!(version.status.success());
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(run("-run-healthcheck").status.code(), Some(1));
    std::fs::write(folder.path().join(".lock"), "").unwrap();
    assert_eq!(run("-run-healthcheck").status.code(), Some(0));
    assert_eq!(run("-nonsense").status.code(), Some(2));
}

#[test]
fn a_name_is_listened_on_beside_the_port_unless_somebody_has_it() {
    // Names are the machine's, for processes that have no network of their own.
    let name = format!("tidegate-test-{}", std::process::id());
    let local = format!("@{name}");
    let mut first = Watchdog::shell("env", &[("TIDEGATE_LOCAL", &local)]);
    let call = || {
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let mut stream = UnixStream::connect_addr(&address)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")?;
        io::Result::Ok(Answer::read(&mut BufReader::new(stream), false))
    };
    let answer = call().unwrap();
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("TIDEGATE_LOCAL"), "{}", answer.text());
    assert_eq!(first.get("/_/health").status, 200);

    let second = Watchdog::shell("cat", &[("TIDEGATE_LOCAL", &local)]);
    second.wait_for(&format!("not listening on {local}: "));
    assert_eq!(second.post("/", b"by port").text(), "by port");
    first.signal(Signal::TERM);
    assert_eq!(first.exit().code(), Some(0));
    assert!(call().is_err());
}
