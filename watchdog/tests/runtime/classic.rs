//! Classic mode: a process per call, whose exit status decides the answer.

use std::io::Write as _;

use crate::harness::{Watchdog, eventually, is_alive, number_in};

const CLASSIC: (&str, &str) = ("mode", "classic");

#[test]
fn output_is_the_answer_with_its_length_and_the_callers_type() {
    let watchdog = Watchdog::shell("cat", &[CLASSIC]);
    let answer = watchdog.call("POST", "/", "Content-Type: application/json\r\n", b"{\"a\":1}");
    assert_eq!((answer.status, answer.text().as_str()), (200, "{\"a\":1}"));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("content-length"), "7");
    let (_, places) = answer.header("x-duration-seconds").split_once('.').unwrap();
    assert_eq!(places.len(), 6);
    watchdog.wait_for("Forking fprocess.");
    watchdog.wait_for("Wrote 7 Bytes - Duration: ");
}

#[test]
fn without_a_type_the_output_tells() {
    let watchdog = Watchdog::shell("echo '<html>hi</html>'", &[CLASSIC]);
    assert_eq!(watchdog.get("/").header("content-type"), "text/html; charset=utf-8");
    let watchdog = Watchdog::shell("echo hi", &[CLASSIC, ("content_type", "text/x-mine")]);
    assert_eq!(watchdog.get("/").header("content-type"), "text/x-mine");
}

#[test]
fn the_request_is_in_the_environment() {
    let watchdog = Watchdog::shell("env", &[CLASSIC]);
    let answer = watchdog.call("PUT", "/a%20b?q=1", "X-Call-Id: 77\r\nProxy: evil\r\n", b"12345");
    let text = answer.text();
    for expected in [
        "Http_Method=PUT",
        "Http_Path=/a b",
        "Http_Query=q=1",
        "Http_Host=test",
        "Http_X_Call_Id=77",
        "Http_Content_Length=5",
        "Http_ContentLength=5",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
    }
    assert!(!text.to_lowercase().contains("http_proxy"));
    assert!(!text.contains("TIDEGATE_LISTEN"));
    let chunked = watchdog.send(
        b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert!(chunked.text().contains("Http_Content_Length=-1\n"));
    assert!(chunked.text().contains("Http_Transfer_Encoding=chunked\n"));
}

#[test]
fn a_failing_function_is_a_500_with_its_output_and_no_platform_mark() {
    let watchdog = Watchdog::shell("echo out; echo err >&2; exit 3", &[CLASSIC]);
    let answer = watchdog.get("/");
    assert_eq!(answer.status, 500);
    assert_eq!(answer.text(), "exit status 3\nout\nerr\n");
    assert_eq!(answer.header("x-duration-seconds"), "");
    assert_eq!(answer.header("x-openfaas-internal"), "");
    let watchdog = Watchdog::shell("kill -SEGV $$", &[CLASSIC]);
    assert!(watchdog.get("/").text().starts_with("signal: segmentation fault"));
}

#[test]
fn a_process_that_cannot_start_is_the_platforms_500() {
    let folder = crate::harness::folder();
    let watchdog = Watchdog::start(folder, &[("fprocess", "/no/such/program"), CLASSIC]);
    let answer = watchdog.get("/");
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("/no/such/program"));
    assert_eq!(answer.header("x-openfaas-internal"), "of-watchdog");
}

#[test]
fn a_timeout_is_a_408_at_once_and_kills_grandchildren() {
    let function = "sleep 600 & echo $! > $FOLDER/pid; wait";
    let watchdog = Watchdog::shell(function, &[CLASSIC, ("exec_timeout", "300ms")]);
    let answer = watchdog.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (408, "Killed process.\n"));
    assert_eq!(answer.header("x-openfaas-internal"), "of-watchdog");
    let grandchild = number_in(watchdog.file("pid"));
    eventually("the grandchild is gone", || !is_alive(grandchild));
}

#[test]
fn write_timeout_is_a_504_and_not_an_empty_reply() {
    let watchdog = Watchdog::shell("sleep 600", &[CLASSIC, ("write_timeout", "300ms")]);
    let answer = watchdog.get("/");
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("write_timeout"));
    assert_eq!(answer.header("x-openfaas-internal"), "of-watchdog");
}

#[test]
fn a_client_that_goes_away_takes_the_process_with_it() {
    let watchdog = Watchdog::shell("sleep 600 & echo $! > $FOLDER/pid; wait", &[CLASSIC]);
    let mut stream = watchdog.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let grandchild = number_in(watchdog.file("pid"));
    drop(stream);
    eventually("the grandchild is gone", || !is_alive(grandchild));
}

#[test]
fn verbs_without_sense_are_405_and_head_and_options_are_not() {
    let watchdog = Watchdog::shell("echo $Http_Method", &[CLASSIC]);
    let head = watchdog.send(b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!((head.status, head.header("content-length")), (200, "5"));
    assert_eq!(watchdog.call("OPTIONS", "/", "", b"").text(), "OPTIONS\n");
    let odd = watchdog.call("BREW", "/", "", b"");
    assert_eq!(odd.status, 405);
    assert!(odd.header("allow").contains("POST"));
}

#[test]
fn a_function_that_does_not_read_is_fine() {
    let watchdog = Watchdog::shell("echo done", &[CLASSIC]);
    let answer = watchdog.post("/", &vec![b'x'; 10 << 20]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "done\n"));
}

#[test]
fn stderr_can_be_kept_out_of_the_answer() {
    let watchdog =
        Watchdog::shell("echo out; echo err >&2", &[CLASSIC, ("combine_output", "false")]);
    assert_eq!(watchdog.get("/").text(), "out\n");
    watchdog.wait_for("stderr: err");
}

#[test]
fn a_request_can_be_marshalled() {
    let watchdog = Watchdog::shell("cat", &[CLASSIC, ("marshal_request", "true")]);
    let answer = watchdog.call("POST", "/", "X-Twice: 1\r\nX-Twice: 2\r\n", b"hello");
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(json["body"]["raw"], "aGVsbG8=");
    assert_eq!(json["header"]["X-Twice"], serde_json::json!(["1", "2"]));
}

#[test]
fn a_header_too_long_for_a_process_is_a_431_that_says_so() {
    let watchdog = Watchdog::shell("cat", &[CLASSIC]);
    let headers = format!("X-Long: {}\r\n", "x".repeat(140_000));
    let answer = watchdog.call("POST", "/", &headers, b"");
    assert_eq!(answer.status, 431);
    assert!(answer.text().contains("Http_X_Long"));
    assert_eq!(watchdog.get("/%00").status, 400);
}

#[test]
fn a_body_that_never_comes_is_a_400() {
    let watchdog = Watchdog::shell("cat", &[CLASSIC, ("read_timeout", "300ms")]);
    let answer = watchdog.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(answer.status, 400);
}

#[test]
fn classic_only_variables_choose_classic() {
    let watchdog = Watchdog::shell("exit 4", &[("write_debug", "true")]);
    assert!(watchdog.get("/").text().starts_with("exit status 4"));
}
