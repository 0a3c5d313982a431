//! Streaming and serializing: output as it comes, and what failure looks like.

use std::io::{BufReader, Read as _, Write as _};

use crate::harness::{Watchdog, chunk, eventually, fields, is_alive, line, number_in};

const STREAMING: (&str, &str) = ("mode", "streaming");
const SERIALIZING: (&str, &str) = ("mode", "serializing");

#[test]
fn each_piece_arrives_while_the_function_still_runs() {
    // The function goes on only when told to, so each line must have come through by itself.
    let function = "echo one; while [ ! -e $FOLDER/go ]; do sleep 0.01; done; echo two";
    let watchdog = Watchdog::shell(function, &[STREAMING]);
    let mut stream = watchdog.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let mut from = BufReader::new(stream);
    assert!(line(&mut from).unwrap().contains("200"));
    let headers = fields(&mut from);
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_eq!(chunk(&mut from).unwrap(), b"one\n");
    std::fs::write(watchdog.file("go"), "").unwrap();
    assert_eq!(chunk(&mut from).unwrap(), b"two\n");
    assert_eq!(chunk(&mut from).unwrap(), b"");
    watchdog.wait_for("GET / - 200 - ContentLength: -1B (");
}

#[test]
fn it_is_the_default_mode_and_input_streams_too() {
    let watchdog = Watchdog::shell("while read l; do echo got $l; done", &[]);
    let mut stream = watchdog.connect();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n")
        .unwrap();
    let mut from = BufReader::new(stream.try_clone().unwrap());
    assert!(line(&mut from).unwrap().contains("200"));
    fields(&mut from);
    assert_eq!(chunk(&mut from).unwrap(), b"got a\n");
    stream.write_all(b"2\r\nb\n\r\n0\r\n\r\n").unwrap();
    assert_eq!(chunk(&mut from).unwrap(), b"got b\n");
    assert_eq!(chunk(&mut from).unwrap(), b"");
}

#[test]
fn failure_before_the_first_byte_is_a_500() {
    let watchdog = Watchdog::shell("exit 3", &[STREAMING]);
    let answer = watchdog.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (500, "exit status 3\n"));
    assert_ne!(answer.header("x-duration-seconds"), "");
    assert_eq!(answer.header("x-openfaas-internal"), "");
    let folder = crate::harness::folder();
    let watchdog = Watchdog::start(folder, &[("fprocess", "/no/such/program"), STREAMING]);
    let answer = watchdog.get("/");
    assert_eq!(answer.status, 500);
    assert_eq!(answer.header("x-openfaas-internal"), "of-watchdog");
}

#[test]
fn failure_after_the_first_byte_breaks_the_connection() {
    let watchdog = Watchdog::shell("echo some; exit 3", &[STREAMING]);
    let answer = watchdog.get("/");
    assert_eq!(answer.status, 200);
    assert!(!answer.whole, "a truncated answer looks complete");
    watchdog.wait_for("GET / - 500 - ");
    // To HTTP/1.0 the end of the connection is the end of the answer, so that must be an error.
    let mut old = watchdog.connect();
    old.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(old.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn no_output_and_no_error_is_an_empty_200() {
    let answer = Watchdog::shell("true", &[STREAMING]).get("/");
    assert_eq!((answer.status, answer.body.len(), answer.whole), (200, 0, true));
}

#[test]
fn a_timeout_is_a_504_before_the_first_byte_and_a_break_after_it() {
    let watchdog = Watchdog::shell("sleep 600", &[STREAMING, ("exec_timeout", "300ms")]);
    let answer = watchdog.get("/");
    assert_eq!(answer.status, 504);
    assert_eq!(answer.header("x-openfaas-internal"), "of-watchdog");
    let function = "sleep 600 & echo $! > $FOLDER/pid; echo some; wait";
    let watchdog = Watchdog::shell(function, &[STREAMING, ("exec_timeout", "500ms")]);
    let answer = watchdog.get("/");
    assert_eq!((answer.status, answer.whole), (200, false));
    let grandchild = number_in(watchdog.file("pid"));
    eventually("the grandchild is gone", || !is_alive(grandchild));
}

#[test]
fn x_timeout_shortens_and_never_lengthens() {
    let watchdog = Watchdog::shell("sleep 600", &[STREAMING, ("exec_timeout", "19s")]);
    assert_eq!(watchdog.call("GET", "/", "X-Timeout: 200ms\r\n", b"").status, 504);
    let watchdog = Watchdog::shell("sleep 600", &[STREAMING, ("exec_timeout", "300ms")]);
    for text in ["10m", "0s", "-1s", "soon"] {
        assert_eq!(watchdog.call("GET", "/", &format!("X-Timeout: {text}\r\n"), b"").status, 504);
    }
}

#[test]
fn a_hundred_mebibytes_pass_both_ways_in_bounded_memory() {
    let watchdog = Watchdog::shell("cat", &[STREAMING, ("prefix_logs", "false")]);
    let stream = watchdog.connect();
    let mut writer = stream.try_clone().unwrap();
    const SIZE: usize = 100 << 20;
    let sender = std::thread::spawn(move || {
        let head = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {SIZE}\r\n\r\n");
        writer.write_all(head.as_bytes()).unwrap();
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..SIZE >> 20 {
            writer.write_all(&piece).unwrap();
        }
    });
    let mut from = BufReader::new(stream);
    assert!(line(&mut from).unwrap().contains("200"));
    fields(&mut from);
    let mut total = 0;
    while let Some(data) = chunk(&mut from).filter(|data| !data.is_empty()) {
        total += data.len();
    }
    sender.join().unwrap();
    assert_eq!(total, SIZE);
    let peak = watchdog.memory("VmHWM");
    assert!(peak < 30 << 10, "the watchdog grew to {peak} KiB");
}

#[test]
fn long_log_lines_never_stop_the_function() {
    let function = "head -c 1000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo end >&2; echo ok";
    let watchdog = Watchdog::shell(function, &[STREAMING, ("log_buffer_size", "1000")]);
    for _ in 0..3 {
        assert_eq!(watchdog.get("/").text(), "ok\n");
    }
    watchdog.wait_for("stderr: end");
}

#[test]
fn serializing_answers_whole_or_with_the_error_alone() {
    let watchdog = Watchdog::shell("cat; echo err >&2", &[SERIALIZING]);
    let answer = watchdog.post("/", b"hello");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_ne!(answer.header("x-duration-seconds"), "");
    watchdog.wait_for("stderr: err");

    let answer = Watchdog::shell("echo some; exit 3", &[SERIALIZING]).get("/");
    assert_eq!((answer.status, answer.text().as_str()), (500, "exit status 3\n"));

    let watchdog = Watchdog::shell("sleep 600", &[SERIALIZING, ("exec_timeout", "300ms")]);
    let answer = watchdog.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (500, "signal: killed\n"));
    assert_eq!(answer.header("x-openfaas-internal"), "of-watchdog");
}
