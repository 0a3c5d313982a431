//! Flags together: hey's defaults and rules, bounds, safety, files.

use super::*;
use crate::args::{Command, parse};

fn order(line: &str) -> Result<Order, String> {
    let words = line.split_whitespace().map(|word| word.replace('_', " ").into()).collect();
    match parse(words) {
        Ok(Command::Run(flags)) => {
            Order::new(*flags, String::new()).map_err(|error| error.to_string())
        }
        other => panic!("{line}: {other:?}"),
    }
}

fn good(line: &str) -> Order {
    order(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

const URL: &str = "http://127.0.0.1:1/";

#[test]
fn heys_defaults_hold() {
    let order = good(URL);
    let plan = &order.plan;
    assert_eq!((plan.calls, plan.connections, plan.duration), (Some(200), 50, None));
    assert_eq!(plan.timeout, Some(Duration::from_secs(20)));
    assert!(matches!(plan.pace, Pace::Closed { each: None }));
    let target = &plan.targets[0];
    assert_eq!((target.method.as_str(), target.name.as_str()), ("GET", URL));
    assert_eq!(target.headers["content-type"], "text/html");
    assert!(order.notes.is_empty());
}

#[test]
fn a_duration_beats_a_count() {
    let plan = good(&format!("-n 10 -c 20 -z 5s {URL}")).plan;
    assert_eq!(
        (plan.calls, plan.duration, plan.connections),
        (None, Some(Duration::from_secs(5)), 20)
    );
}

#[test]
fn there_are_no_fewer_calls_than_workers() {
    assert_eq!(
        order(&format!("-n 10 -c 20 {URL}")).expect_err("too few"),
        "-n cannot be less than -c: 20 workers for 10 calls leave some without any"
    );
    // Nobody asked for 50 workers.
    assert_eq!(good(&format!("-n 10 {URL}")).plan.connections, 10);
    assert_eq!(good(&format!("-n 60 {URL}")).plan.connections, 50);
}

#[test]
fn zero_means_no_limit_for_time_and_rate() {
    let plan = good(&format!("-t 0 -q 0 {URL}")).plan;
    assert_eq!(plan.timeout, None);
    assert!(matches!(plan.pace, Pace::Closed { each: None }));
}

#[test]
fn headers_are_set_as_hey_sets_them() {
    let plan = good(&format!(
        "-H Content-Type:_a/b -H X-A:_1 -H X-A:_2 -A c/d -a u:p -host h.test -d body -m POST {URL}"
    ))
    .plan;
    let headers = &plan.targets[0].headers;
    assert_eq!(headers["content-type"], "a/b");
    assert_eq!(headers.get_all("x-a").iter().count(), 2);
    assert_eq!(
        (&headers["accept"], &headers["host"], &headers["authorization"]),
        (&"c/d".parse().unwrap(), &"h.test".parse().unwrap(), &"Basic dTpw".parse().unwrap())
    );
    assert_eq!(plan.targets[0].body, "body");
}

#[test]
fn an_open_loop_always_ends_and_says_so() {
    let order = good(&format!("--rate 200 {URL}"));
    assert_eq!((order.plan.duration, order.plan.calls), (Some(Duration::from_secs(60)), None));
    assert_eq!(order.notes, ["ends after 1m; say how long with -z, or how many calls with -n"]);
    assert_eq!(good(&format!("--rate 200/s -n 10 {URL}")).plan.duration, None);
    assert_eq!(
        good(&format!("--rate 200/s -z 3s {URL}")).plan.duration,
        Some(Duration::from_secs(3))
    );
    let order = good(&format!("--profile steps:0/s@1s,9/s@2s {URL}"));
    assert!(order.notes.is_empty() && order.plan.duration.is_none());
    assert_eq!(order.plan.end(), Some(Duration::from_secs(3)));
}

#[test]
fn another_machine_is_spared_without_yes() {
    const THERE: &str = "http://example.test/";
    let refused = order(&format!("--rate 1001/s {THERE}")).expect_err("too much");
    assert_eq!(
        refused,
        "up to 1001 calls a second to example.test, which is not this machine: add --yes if it may take more than 1000"
    );
    assert!(order(&format!("-q 21 -c 50 -z 1s {THERE}")).is_err());
    for fine in ["--rate 1000/s", "--rate 1001/s --yes", "-q 20 -c 50 -z 1s", "-n 1000"] {
        assert!(
            good(&format!("{fine} {THERE}")).notes.iter().all(|note| !note.contains("held")),
            "{fine}"
        );
    }
    let held = good(&format!("-z 5s -c 20 {THERE}"));
    assert!(
        matches!(held.plan.pace, Pace::Closed { each: Some(each) } if (each - 50.0).abs() < 1e-9)
    );
    assert!(
        held.notes[0].starts_with("held at 1000 calls a second: example.test is not this machine")
    );
    assert!(matches!(good(&format!("-z 5s -y {THERE}")).plan.pace, Pace::Closed { each: None }));
    assert!(good(&format!("--rate 5000/s {URL}")).plan.calls.is_none());
}

#[test]
fn functions_are_found_in_the_urls() {
    let order = good(
        "--gateway http://127.0.0.1:1 --expect replicas>=4 http://127.0.0.1:1/function/cat.prod/sub?a=1",
    );
    assert_eq!(order.functions[0].as_str(), "cat.prod");
    assert!(order.criteria[0].needs_gateway());
    let order = good("-g http://127.0.0.1:1 http://127.0.0.1:1/faas/async-function/cat");
    assert_eq!(order.functions[0].as_str(), "cat.openfaas-fn");
    assert!(
        self::order("-g http://127.0.0.1:1 http://127.0.0.1:1/")
            .expect_err("no function")
            .contains("no target is a function")
    );
    assert!(
        self::order("--expect replicas>=4 http://127.0.0.1:1/function/cat")
            .expect_err("no gateway")
            .contains("add --gateway URL")
    );
}

#[test]
fn files_are_read_where_they_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let profile = path("p.yml", "shape: steps\nsteps:\n- {rate: 5/s, hold: 2s}\n");
    assert_eq!(
        good(&format!("--profile {profile} {URL}")).plan.end(),
        Some(Duration::from_secs(2))
    );
    let targets = path("t.yml", "targets:\n- {function: a, weight: 2}\n- {function: b.prod}\n");
    let order = good(&format!("--targets {targets} -g http://127.0.0.1:1"));
    assert_eq!(order.plan.targets.len(), 2);
    assert_eq!(
        order.functions.iter().map(|function| function.to_string()).collect::<Vec<_>>(),
        ["a.openfaas-fn", "b.prod"]
    );
    let body = path("body", "hello");
    assert_eq!(good(&format!("-D {body} {URL}")).plan.targets[0].body, "hello");
    let trace = path(
        "trace.csv",
        "time,function,duration,body\n0,cat,10ms,5\n1,dog,20ms,6\n1.5,cat,1ms,\n",
    );
    let order = good(&format!("--replay {trace} {URL}"));
    assert_eq!(
        order.plan.targets.iter().map(|target| target.uri.path()).collect::<Vec<_>>(),
        ["/function/cat", "/function/dog"]
    );
    assert!(matches!(&order.plan.pace, Pace::Replay(recording) if recording.len() == 3));
}

#[test]
fn bad_files_and_profiles_are_one_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.yml");
    std::fs::write(&path, "shape: steps\nsteps: 3\n").expect("written");
    let path = path.display();
    let cases = [
        ("--profile zigzag:1/s URL".to_owned(), "--profile: unknown profile \"zigzag\""),
        ("--rate fast URL".to_owned(), "--rate: "),
        ("--rate steps:1/s@1s URL".to_owned(), "give it to --profile"),
        (format!("--profile {path} URL"), "--profile: "),
        (format!("--targets {path}"), "--targets: "),
        ("--targets /nonexistent".to_owned(), "cannot read /nonexistent: No such file"),
        ("--targets /nonexistent URL".to_owned(), "leave out"),
        ("--replay /nonexistent http://127.0.0.1:1/".to_owned(), "--replay: cannot read"),
        (format!("--replay {path} http://127.0.0.1:1/"), "--replay: "),
        ("-D /nonexistent URL".to_owned(), "-D: cannot read the body"),
        ("--expect p98<1s URL".to_owned(), "--expect: \"p98\" is not measured"),
        ("ftp://x".to_owned(), "only http:// and https:// are called, not ftp://"),
        ("-n 5".to_owned(), "nobody to call"),
    ];
    for (line, part) in cases {
        let error = order(&line.replace("URL", URL)).expect_err(&line);
        assert!(error.contains(part) && !error.contains('\n'), "{line}: {error}");
    }
}

#[test]
fn http2_is_for_https_as_in_hey() {
    let order = good(&format!("-h2 {URL}"));
    assert_eq!(
        order.notes,
        ["-h2 needs https://, as in hey: http://127.0.0.1:1/ is called with HTTP/1.1"]
    );
    assert!(good("-h2 https://127.0.0.1:1/").notes.is_empty());
}

#[test]
fn watching_needs_a_gateway() {
    let error = order(&format!("--watch-after 5s {URL}")).expect_err("no gateway");
    assert_eq!(error, "--watch-after watches replicas at a gateway; add --gateway URL");
}

#[test]
fn a_rate_is_not_a_profile() {
    let cases = [
        ("-5/s", "\"-5/s\" is not a rate such as 200/s"),
        ("fast", "\"fast\" is not a rate such as 200/s"),
        ("5/x", "\"5/x\" is not a rate such as 200/s"),
        ("ramp:1/s..2/s@3s", "is a profile; give it to --profile"),
        ("0", "never asks for a call"),
    ];
    for (rate, part) in cases {
        let error = order(&format!("--rate {rate} {URL}")).expect_err(rate);
        assert!(error.starts_with("--rate: ") && error.contains(part), "{rate}: {error}");
    }
}

#[test]
fn an_expectation_that_says_nothing_is_refused() {
    assert!(order(&format!("--expect= {URL}")).expect_err("empty").contains("compares nothing"));
}
