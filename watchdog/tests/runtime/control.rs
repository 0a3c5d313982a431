//! The control stream: what a backend learns of a replica, and what becomes of it without one.

use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use crate::harness::{
    Answer, PATIENCE, Watchdog, eventually, folder, is_alive, line, number_in, script,
};

fn said(watchdog: &Watchdog) -> Option<String> {
    line(&mut BufReader::new(watchdog.control.as_ref().unwrap()))
}

fn ask(watchdog: &Watchdog, path: &str) -> Answer {
    let mut stream = UnixStream::connect(watchdog.file("call.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    Answer::read(&mut BufReader::new(stream), false)
}

#[test]
fn a_replica_without_a_mode_is_classic_and_says_ready() {
    let folder = folder();
    let path = script(&folder, "function.sh", "env; exit 2");
    let mut watchdog = Watchdog::controlled(folder, &[("fprocess", &format!("sh {path}"))]);
    assert_eq!(said(&watchdog).as_deref(), Some("ready"));
    let answer = ask(&watchdog, "/x");
    assert_eq!(answer.status, 500);
    let text = answer.text();
    assert!(text.starts_with("exit status 2\n"), "{text}");
    assert!(text.contains("TIDEGATE_REPLICA=r1"), "{text}");
    assert!(!text.contains("TIDEGATE_CONTROL"), "{text}");
    watchdog.signal(Signal::TERM);
    assert_eq!(watchdog.exit().code(), Some(0));
    assert!(!watchdog.file("call.sock").exists());
}

#[test]
fn an_http_child_gets_a_port_of_its_own() {
    const CHILD: &str = "import http.server, os\n\
        class Handler(http.server.BaseHTTPRequestHandler):\n\
        \x20   def do_GET(self): self.send_response(200); self.end_headers(); \
        self.wfile.write((os.environ['PORT'] + ' ' + os.environ['upstream_url']).encode())\n\
        http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()\n";
    let replicas: Vec<_> = (0..3)
        .map(|_| {
            let folder = folder();
            let path = script(&folder, "function.py", CHILD);
            let fprocess = format!("python3 {path}");
            Watchdog::controlled(folder, &[("fprocess", &fprocess), ("mode", "http")])
        })
        .collect();
    let mut ports = Vec::new();
    for replica in &replicas {
        assert_eq!(said(replica).as_deref(), Some("ready"));
        let text = ask(replica, "/").text();
        let (port, url) = text.split_once(' ').unwrap();
        assert_eq!(url, format!("http://127.0.0.1:{port}"));
        ports.push(port.to_owned());
    }
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 3);
}

#[test]
fn a_failed_start_is_reported_with_its_reason() {
    for (vars, reason) in [
        (vec![("fprocess", "/no/such/program")], "/no/such/program"),
        (vec![("fprocess", "/no/such/program"), ("mode", "http")], "/no/such/program"),
        (vec![("fprocess", "false"), ("mode", "http")], "exit status 1"),
        (vec![("fprocess", "cat"), ("max_inflight", "x")], "max_inflight"),
    ] {
        let mut watchdog = Watchdog::controlled(folder(), &vars);
        let line = said(&watchdog).unwrap();
        assert!(line.starts_with("failed ") && line.contains(reason), "{line}");
        assert_eq!(watchdog.exit().code(), Some(1));
    }
}

#[test]
fn without_its_parent_everything_ends_at_once() {
    let function = "sleep 600 & echo $! > $FOLDER/pid; wait";
    let folder = folder();
    let path = script(&folder, "function.sh", function);
    let mut watchdog = Watchdog::controlled(folder, &[("fprocess", &format!("sh {path}"))]);
    assert_eq!(said(&watchdog).as_deref(), Some("ready"));
    let mut stream = UnixStream::connect(watchdog.file("call.sock")).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let grandchild = number_in(watchdog.file("pid"));
    drop(watchdog.control.take());
    watchdog.exit();
    eventually("the grandchild is gone", || !is_alive(grandchild));
    assert!(!watchdog.lock().exists());
}

#[test]
fn without_its_parent_an_http_child_ends_too() {
    let folder = folder();
    let path = script(&folder, "function.sh", "echo $$ > $FOLDER/pid; trap '' TERM; sleep 600");
    let vars = [("fprocess", &*format!("sh {path}")), ("mode", "http")];
    let mut watchdog = Watchdog::controlled(folder, &vars);
    let child = number_in(watchdog.file("pid"));
    drop(watchdog.control.take());
    watchdog.exit();
    eventually("the child is gone", || !is_alive(child));
}
