//! `max_inflight`, and what is too large.

use std::io::Write as _;

use crate::harness::{Watchdog, eventually};

#[test]
fn the_call_beyond_max_inflight_is_a_429_at_once() {
    let function =
        "echo begun > $FOLDER/begun; while [ ! -e $FOLDER/go ]; do sleep 0.01; done; echo done";
    let watchdog = Watchdog::shell(function, &[("mode", "classic"), ("max_inflight", "1")]);
    let mut stream = watchdog.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    eventually("the call runs", || watchdog.file("begun").exists());
    let answer = watchdog.get("/");
    assert_eq!(answer.status, 429);
    assert_eq!(answer.text(), "Concurrent request limit exceeded. Max concurrent requests: 1\n");
    assert_eq!(answer.header("x-openfaas-internal"), "faas-middleware");
    assert_eq!(answer.header("content-type"), "text/plain");
    assert_eq!(watchdog.get("/_/ready").status, 429);
    assert_eq!(watchdog.get("/_/health").status, 200);
    std::fs::write(watchdog.file("go"), "").unwrap();
    let first = crate::harness::Answer::read(&mut std::io::BufReader::new(stream), false);
    assert_eq!(first.status, 200);
    eventually("the slot is free", || watchdog.get("/").status == 200);
}

#[test]
fn a_header_block_beyond_a_mebibyte_is_a_431() {
    let watchdog = Watchdog::shell("cat", &[]);
    let mut stream = watchdog.connect();
    let line = format!("X-Long: {}\r\n", "x".repeat(100_000));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n").unwrap();
    for _ in 0..12 {
        // The watchdog may have hung up by now, which is its right.
        if stream.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    let answer = crate::harness::Answer::read(&mut std::io::BufReader::new(stream), false);
    assert_eq!(answer.status, 431);
}

#[test]
fn a_slow_head_is_hung_up_on() {
    use std::io::Read as _;

    let watchdog = Watchdog::shell("cat", &[("read_timeout", "300ms")]);
    let mut stream = watchdog.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHos").unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}
