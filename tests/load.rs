//! `tidegate load` as a user meets it: hey's words, what is printed where, exit codes, Ctrl-C.
#![allow(
    clippy::disallowed_methods,
    reason = "waits for another program in real time, with deadlines"
)]

#[allow(dead_code, reason = "the command line's tests use more of it")]
#[path = "cli/fake.rs"]
mod fake;
#[allow(dead_code, reason = "the command line's tests use more of it")]
#[path = "cli/program.rs"]
mod program;

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fake::{Fake, Reply};
use program::{Outcome, Tidegate};
use rustix::process::{Pid, Signal, kill_process};

fn server() -> Fake {
    Fake::start(|_| Reply::new(200, "hello\n"))
}

fn load(words: &[&str]) -> Outcome {
    Tidegate::new(&[&["load"], words].concat()).run()
}

#[test]
fn heys_words_send_what_hey_would_send() {
    let server = server();
    let url = format!("{}/x?a=1", server.url());
    let words = [
        "-n",
        "12",
        "-c=3",
        "-m",
        "POST",
        "-d",
        "-body",
        "-H",
        "X-A: 1",
        "-A=text/plain",
        "-T",
        "a/b",
        "-a",
        "me:pw",
        "-host",
        "h.test",
        "-disable-compression",
        "-disable-redirects",
        "-t",
        "5",
        "--cpus=1",
        &url,
    ];
    let outcome = load(&words).success();
    assert!(outcome.out.starts_with("\nSummary:\n  Total:\t"), "{}", outcome.out);
    assert!(
        outcome.out.contains("Status code distribution:\n  [200]\t12 responses\n"),
        "{}",
        outcome.out
    );
    assert_eq!(outcome.err, "");
    let seen = server.seen();
    assert_eq!(seen.len(), 12);
    for request in seen {
        assert_eq!(
            (request.line().as_str(), request.body.as_slice()),
            ("POST /x?a=1", b"-body".as_slice())
        );
        let headers = ["x-a", "accept", "content-type", "authorization", "host", "accept-encoding"]
            .map(|name| request.header(name).to_owned());
        assert_eq!(headers, ["1", "text/plain", "a/b", "Basic bWU6cHc=", "h.test", ""]);
        assert!(request.header("user-agent").starts_with("tidegate-load/"));
    }
}

#[test]
fn two_hundred_calls_are_the_default() {
    let server = server();
    let outcome = load(&[&server.url()]).success();
    assert_eq!(server.seen().len(), 200);
    assert!(outcome.out.contains("[200]\t200 responses"), "{}", outcome.out);
}

#[test]
fn csv_and_json_are_all_there_is_on_stdout() {
    let server = server();
    let outcome = load(&["-n", "10", "-c", "2", "-o", "csv", &server.url()]).success();
    let lines: Vec<&str> = outcome.out.lines().collect();
    assert_eq!(
        lines[0],
        "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"
    );
    assert_eq!(lines.len(), 11);
    let results = load(&["-n=10", "-c=2", "--output=json", &server.url()]).success().json();
    assert_eq!(results["api_version"], "tidegate.dev/load/v1");
    assert_eq!(results["total"]["statuses"]["200"], 10);
    assert_eq!(results["total"]["corrected"]["percentiles"][2][0], 50.0);
}

#[test]
fn a_missed_expectation_is_exit_code_1() {
    let server = server();
    let url = server.url();
    let met =
        load(&["-n", "10", "-c", "1", "--expect", "errors=0,p99<10s,status.5xx=0", &url]).success();
    assert!(met.out.contains("Expectations:\n  met "), "{}", met.out);
    let missed = load(&["-n", "10", "-c", "1", "--expect=errors=0", "-expect", "max<1ns", &url]);
    assert_eq!(missed.code, 1, "{}", missed.err);
    assert!(missed.out.contains("MISSED  max<1ns"), "{}", missed.out);
}

#[test]
fn many_targets_come_from_a_file() {
    let server = server();
    let file = format!(
        "gateway: {}\ntargets:\n- {{function: cat, weight: 3, method: POST, body: meow}}\n- {{function: dog, expect: {{status: 404}}}}\n",
        server.url()
    );
    let outcome = Tidegate::new(&["load", "-n", "40", "-c", "1", "--targets", "t.yml"])
        .file("t.yml", &file)
        .run()
        .success();
    let count = |line: &str| server.seen().iter().filter(|request| request.line() == line).count();
    assert_eq!((count("POST /function/cat"), count("GET /function/dog")), (30, 10));
    let row = |name: &str| {
        outcome
            .out
            .lines()
            .find(|line| line.trim_start().starts_with(name))
            .expect(name)
            .split_whitespace()
            .take(4)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!((row("cat ").as_str(), row("dog ").as_str()), ("cat 30 30 0", "dog 10 10 10"));
}

#[test]
fn an_open_loop_tells_how_the_schedule_was_kept() {
    let server = server();
    let outcome = load(&["--rate", "100/s", "-z", "1s", &server.url()]).success();
    assert_eq!(server.seen().len(), 100);
    for part in ["corrected  uncorrected", "Schedule:\n", "100 calls that were due were sent\n"] {
        assert!(outcome.out.contains(part), "{part}: {}", outcome.out);
    }
}

#[test]
fn what_cannot_be_run_is_one_sentence_and_exit_code_2() {
    let plain = server();
    let tls = plain.url().replace("http://", "https://");
    let cases: [(&[&str], &str); 15] = [
        (&[], "nobody to call"),
        (&["-n", "many", "http://127.0.0.1/"], "is not a whole number"),
        (
            &["-disable-keepalives", "http://127.0.0.1/"],
            "similar argument exists: '--disable-keepalive'",
        ),
        (&["--profile", "zigzag:3/s", "http://127.0.0.1/"], "unknown profile \"zigzag\""),
        (&["-n", "1", "-c", "2", "http://127.0.0.1/"], "-n cannot be less than -c"),
        (&["-c", "x", "http://127.0.0.1/"], "for -c (--workers): \"x\" is not a whole number"),
        (&["--expect", "", "http://127.0.0.1/"], "compares nothing"),
        (&["127.0.0.1:8080"], "write http://127.0.0.1:8080"),
        (&["http://127.0.0.1:abc/"], "\"abc\" is not a port"),
        (&["http://127.0.0.1:1/"], "connection refused by 127.0.0.1:1"),
        (&["http://no-such-host.invalid/"], "unknown host \"no-such-host.invalid\""),
        (&["-n", "1", "-c", "1", &tls], "TLS with 127.0.0.1"),
        (&["--rate", "2000/s", "http://example.test/"], "add --yes"),
        (
            &["-g", "http://127.0.0.1:1", "http://127.0.0.1:1/function/cat"],
            "the gateway at http://127.0.0.1:1 cannot be asked",
        ),
        (
            &["--report", "/nonexistent/out.html", "http://127.0.0.1:1/"],
            "cannot write /nonexistent/out.html",
        ),
    ];
    for (words, sentence) in cases {
        let outcome = load(words).failed(2, &["error: ", sentence]);
        let errors = outcome.err.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!((errors, outcome.out.as_str()), (1, ""), "{words:?}: {}", outcome.err);
    }
}

#[test]
fn a_watched_function_is_asked_for_with_the_gateways_password() {
    let gateway = Fake::start(|request| match request.path.as_str() {
        "/function/cat" => Reply::new(200, "meow"),
        _ if request.header("authorization") != "Basic YWRtaW46c2VjcmV0" => Reply::new(401, "no"),
        "/system/scaling/cat?namespace=openfaas-fn" => {
            Reply::new(200, r#"{"desired":3,"ready":2,"min":1}"#)
        }
        _ => Reply::new(404, ""),
    });
    let url = format!("{}/function/cat", gateway.url());
    let words =
        ["load", "-n", "20", "-c", "2", "-g", &gateway.url(), "--expect", "replicas=2", &url];
    let outcome = Tidegate::new(&words).env("TIDEGATE_PASSWORD", "secret").run().success();
    assert!(
        outcome.out.contains("Replicas of cat.openfaas-fn:\n  ready: 2 from"),
        "{}",
        outcome.out
    );
    Tidegate::new(&words)
        .env("TIDEGATE_PASSWORD", "wrong")
        .run()
        .failed(2, &["wants another password"]);
    // A function must never see it.
    assert!(gateway.seen().iter().all(|request| !request.path.starts_with("/function")
        || request.header("authorization").is_empty()));
}

/// Sends a signal as soon as the server has seen some calls; gives exit code and stdout.
fn interrupted(signal: Signal) -> (Option<i32>, String) {
    let server = server();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["load", "--rate", "50/s", "-z", "60s", &server.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let begin = Instant::now();
    while server.seen().len() < 20 {
        assert!(begin.elapsed() < Duration::from_secs(30), "no load came");
        std::thread::yield_now();
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("it runs");
    let mut out = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
    (child.wait().expect("it ends").code(), out)
}

#[test]
fn ctrl_c_prints_the_summary_so_far() {
    let (code, out) = interrupted(Signal::INT);
    assert_eq!(code, Some(130), "{out}");
    assert!(out.contains("Summary:\n") && out.contains("this is the load so far."), "{out}");
    assert!(!out.contains("NOT kept"), "{out}");
}

#[test]
fn sigterm_does_so_too() {
    let (code, out) = interrupted(Signal::TERM);
    assert_eq!(code, Some(143), "{out}");
    assert!(out.contains("Summary:\n"), "{out}");
}

/// What a terminal of 100×30 is sent, and the exit code.
fn on_terminal(words: &[&str]) -> (Option<i32>, String) {
    let line = format!(
        "stty cols 100 rows 30; exec {} load {}",
        env!("CARGO_BIN_EXE_tidegate"),
        words.join(" ")
    );
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .output()
        .expect("script is part of every Debian");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

const SCREEN_TAKEN: &str = "\x1b[?1049h";
const SCREEN_GIVEN_BACK: &str = "\x1b[?1049l";

#[test]
fn a_terminal_gets_a_screen_and_has_it_back_for_the_summary() {
    let server = server();
    let (code, shown) = on_terminal(&["--rate", "50/s", "-z", "2s", &server.url()]);
    assert_eq!(code, Some(0), "{shown}");
    let (before, screen) = shown.split_once(SCREEN_TAKEN).expect("taken");
    let (screen, after) = screen.split_once(SCREEN_GIVEN_BACK).expect("given back");
    assert!(!before.contains("Summary"), "{before}");
    assert!(screen.contains("answered a second"), "{screen}");
    assert!(after.contains("Summary:\r\n") && after.contains("[200]\t100 responses"), "{after}");
}

#[test]
fn a_run_that_is_over_at_once_flashes_no_screen() {
    let server = server();
    let (code, shown) = on_terminal(&["-n", "5", "-c", "1", &server.url()]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains('\x1b') && shown.contains("[200]\t5 responses"), "{shown}");
}

#[test]
fn rows_on_a_terminal_are_not_lost_in_a_screen() {
    let server = server();
    let (code, shown) =
        on_terminal(&["-o", "csv", "-c", "1", "-q", "20", "-z", "2s", &server.url()]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains('\x1b') && shown.starts_with("response-time,"), "{shown}");
    assert_eq!(shown.lines().count(), server.seen().len() + 1, "{shown}");
}

#[test]
fn help_begins_with_examples_and_the_command_is_listed() {
    assert!(load(&["--help"]).success().out.starts_with("Examples:\n  tidegate load "));
    assert!(Tidegate::new(&["help", "load"]).run().success().out.contains("--disable-keepalive"));
    assert!(Tidegate::new(&["--help"]).run().success().out.contains("  load  "));
}
