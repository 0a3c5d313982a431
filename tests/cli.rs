//! The command line as a user meets it: what is printed where, and with which exit code, against a
//! scripted gateway.

#[path = "cli/fake.rs"]
mod fake;
#[path = "cli/program.rs"]
mod program;

use std::net::{Ipv4Addr, TcpListener};

use fake::{Fake, Reply};
use program::{Outcome, Tidegate};
use serde_json::json;

fn tidegate(args: &[&str]) -> Tidegate {
    Tidegate::new(args)
}

/// Calls the program against `fake` with a password in the environment.
fn at(fake: &Fake, args: &[&str]) -> Tidegate {
    tidegate(args).env("TIDEGATE_GATEWAY", &fake.url()).env("TIDEGATE_PASSWORD", "secret")
}

fn run(fake: &Fake, args: &[&str]) -> Outcome {
    at(fake, args).run()
}

/// A function as the gateway tells of it.
fn status(name: &str, replicas: u32) -> serde_json::Value {
    json!({
        "name": name, "image": "i:latest", "namespace": "openfaas-fn", "envProcess": "cat",
        "labels": { "team": "tide" }, "annotations": {}, "replicas": replicas,
        "availableReplicas": replicas, "invocationCount": 12, "createdAt": "2026-11-21T10:00:00Z",
    })
}

fn closed_port() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

// Without a gateway.

#[test]
fn help_names_every_command_and_every_exit_code() {
    let help = tidegate(&["--help"]).run().success();
    for command in [
        "up",
        "deploy",
        "list",
        "describe",
        "invoke",
        "logs",
        "scale",
        "remove",
        "secret",
        "explain",
        "namespace",
        "doctor",
        "completion",
        "version",
    ] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command} in {}", help.out);
    }
    assert!(!help.out.contains("fwatchdog"));
    assert!(help.out.contains("  5  the gateway cannot be reached"));
    let codes = tidegate(&["help", "exit-codes"]).run().success();
    assert!(codes.out.contains("130  interrupted"), "{}", codes.out);
}

#[test]
fn a_wrong_word_is_a_usage_error_with_a_suggestion() {
    tidegate(&["lst"]).run().failed(2, &["list"]);
    tidegate(&["scale", "cat", "many"]).run().failed(2, &["many"]);
    tidegate(&["describe", "UPPER"]).run().failed(2, &["UPPER", "lower-case"]);
    tidegate(&["describe", "a.b", "-n", "c"]).run().failed(2, &["a.b", "c"]);
}

#[test]
fn https_is_refused_with_a_way_out() {
    tidegate(&["list", "-g", "https://gateway.example"])
        .run()
        .failed(2, &["https is not built in yet", "proxy"]);
}

#[test]
fn a_secret_never_comes_from_an_argument() {
    tidegate(&["secret", "create", "key", "value"]).run().failed(2, &["value"]);
    tidegate(&["list", "-g", "http://admin:pw@127.0.0.1"]).run().failed(2, &["TIDEGATE_PASSWORD"]);
}

#[test]
fn completions_are_scripts() {
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef"), ("fish", "complete -c tidegate")]
    {
        let script = tidegate(&["completion", shell]).run().success().out;
        assert!(script.contains(word), "{shell}");
    }
}

#[test]
fn an_unreachable_gateway_is_exit_code_5_with_cause_and_remedy() {
    let url = closed_port();
    let outcome = tidegate(&["list", "--gateway", &url]).run();
    let outcome = outcome
        .failed(5, &["error: cannot reach the gateway", "because: ", "help: ", "tidegate up"]);
    assert_eq!(outcome.out, "");
    let version = tidegate(&["version", "-g", &url]).run().success();
    assert!(version.out.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn doctor_fails_with_exit_code_6_and_the_command_that_mends_it() {
    let url = closed_port();
    let outcome = tidegate(&["doctor", "-g", &url]).run().failed(6, &["checks failed"]);
    assert!(outcome.out.contains("FAIL reachable"), "{}", outcome.out);
    assert!(outcome.out.contains("mend: tidegate up"), "{}", outcome.out);
    let report = tidegate(&["doctor", "-g", &url, "-o", "json"]).run().failed(6, &[]).json();
    assert_eq!(report["ok"], false);
    assert_eq!(report["checks"][0]["state"], "fail");
}

// The gateway's management API.

#[test]
fn list_prints_a_table_json_or_bare_names() {
    let fake =
        Fake::start(|_| Reply::new(200, json!([status("cat", 2), status("nap", 0)]).to_string()));
    let table = run(&fake, &["list"]).success();
    assert!(table.out.starts_with("FUNCTION  READY  REPLICAS  CALLS  PROCESS\n"), "{}", table.out);
    assert!(table.out.contains("\ncat           2         2     12  cat\n"), "{}", table.out);
    assert!(table.err.contains("next: tidegate describe cat"));
    assert_eq!(run(&fake, &["list", "-o", "json"]).success().json()[1]["name"], "nap");
    let elsewhere = run(&fake, &["list", "-g", &fake.url()]).success();
    assert!(elsewhere.err.contains(&format!("next: tidegate describe cat -g {}", fake.url())));
    let bare = run(&fake, &["list", "-q", "-n", "other"]).success();
    assert_eq!((bare.out.as_str(), bare.err.as_str()), ("cat\nnap\n", ""));
    let lines = fake.lines();
    assert_eq!(lines[0], "GET /system/functions");
    assert_eq!(lines[3], "GET /system/functions?namespace=other");
    assert_eq!(fake.seen()[0].header("authorization"), "Basic YWRtaW46c2VjcmV0");
}

#[test]
fn colours_are_for_terminals_or_on_request() {
    let fake = Fake::start(|_| Reply::new(200, "[]"));
    assert!(!run(&fake, &["list"]).success().out.contains('\x1b'));
    assert!(run(&fake, &["list", "--color", "always"]).success().out.contains('\x1b'));
    let forced = at(&fake, &["list"]).env("CLICOLOR_FORCE", "1");
    assert!(forced.run().success().out.contains('\x1b'));
    let both = at(&fake, &["list"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
    assert!(!both.run().success().out.contains('\x1b'));
}

#[test]
fn a_wrong_password_is_exit_code_4_and_says_where_it_came_from() {
    let fake = Fake::start(|_| Reply::new(401, "invalid credentials"));
    run(&fake, &["list"])
        .failed(4, &["refused the password", "TIDEGATE_PASSWORD", "--password-stdin"]);
    let none = tidegate(&["list", "-g", &fake.url()]).run();
    none.failed(4, &["wants a password", "none was found"]);
}

#[test]
fn the_state_directorys_password_is_tried_before_faas_clis() {
    let right = "Basic YWRtaW46b2xk"; // admin:old
    let fake = Fake::start(move |request| match request.header("authorization") == right {
        true => Reply::new(200, "[]"),
        false => Reply::new(401, ""),
    });
    let config =
        format!("auths:\n- gateway: {}\n  auth: basic\n  token: YWRtaW46b2xk\n", fake.url());
    let call = tidegate(&["list", "-g", &fake.url()])
        .file(".local/state/tidegate/password", "new\n")
        .file(".openfaas/config.yml", &config);
    call.run().success();
    let tried: Vec<String> =
        fake.seen().iter().map(|request| request.header("authorization").to_owned()).collect();
    assert_eq!(tried, ["Basic YWRtaW46bmV3", right]);
}

#[test]
fn a_password_comes_from_stdin() {
    let fake = Fake::start(|_| Reply::new(200, "[]"));
    let call = at(&fake, &["list", "--password-stdin"]).stdin("piped\n");
    call.run().success();
    assert_eq!(fake.seen()[0].header("authorization"), "Basic YWRtaW46cGlwZWQ=");
}

#[test]
fn describe_shows_the_function_and_what_to_do_next() {
    let fake = Fake::start(|_| Reply::new(200, status("cat", 2).to_string()));
    let outcome = run(&fake, &["describe", "cat"]).success();
    for line in ["Name:", "Replicas:   2 ready of 2", "Labels:     team=tide", "/function/cat"] {
        assert!(outcome.out.contains(line), "{line} in {}", outcome.out);
    }
    assert!(outcome.err.contains("next: tidegate logs cat"));
    assert_eq!(fake.lines(), ["GET /system/function/cat?namespace=openfaas-fn&usage=1"]);
}

#[test]
fn explain_shows_the_formula_and_the_last_decisions() {
    let decision = |seconds: f64, to: u32| json!({ "seconds_ago": seconds, "from": 1, "to": to, "by": "autoscaler", "reason": "burst", "why": "9 calls ask for 2" });
    let told = json!({
        "function": "sleep.openfaas-fn", "decision": "stays at 2: the load asks for it", "desired": 2,
        "ready": 1, "pending": 1, "min": 1, "max": 8, "rule": "capacity target 5 for each replica",
        "formula": ["stable average over 30s: ceil(9.000 in flight / (5 × 1)) = 2"], "in_flight": 9,
        "idle": "", "why_not": { "asked": 4, "because": ["the load asks for 2 only"] }, "decisions": [decision(90.0, 7), decision(2.5, 2)],
    });
    let fake = Fake::start(move |_| Reply::new(200, told.to_string()));
    let outcome = run(&fake, &["explain", "sleep", "--last", "1", "--why-not", "4"]).success();
    for words in [
        "Replicas:  2 desired, 1 ready, 1 pending; minimum 1, maximum 8",
        "= 2\n",
        "Why not 4?\n  the load asks for 2 only\n",
        "AGO  FROM  TO  BY          REASON  WHY",
        "2.5s     1   2  autoscaler  burst   9 calls ask for 2",
    ] {
        assert!(outcome.out.contains(words), "{words} in {}", outcome.out);
    }
    assert!(!outcome.out.contains("Idle:") && !outcome.out.contains("1m30s"), "{}", outcome.out);
    assert_eq!(fake.lines(), ["GET /system/scaling/sleep?namespace=openfaas-fn&why-not=4"]);
}

#[test]
fn what_does_not_exist_is_exit_code_3() {
    let fake = Fake::start(|_| Reply::new(404, ""));
    for args in [
        &["describe", "cat"][..],
        &["scale", "cat", "2"],
        &["remove", "cat"],
        &["secret", "remove", "key"],
        &["explain", "cat"],
        &["logs", "cat"],
    ] {
        run(&fake, args).failed(3, &["error: ", "help: "]);
    }
}

#[test]
fn scale_asks_for_a_count() {
    let fake = Fake::start(|_| Reply::new(202, ""));
    let outcome = run(&fake, &["scale", "cat.other", "0"]).success();
    assert!(outcome.err.contains("next: tidegate describe cat.other"));
    let seen = &fake.seen()[0];
    assert_eq!(seen.line(), "POST /system/scale-function/cat?namespace=other");
    assert_eq!(seen.json(), json!({ "serviceName": "cat", "namespace": "other", "replicas": 0 }));
}

#[test]
fn remove_goes_on_after_one_that_is_missing() {
    let fake = Fake::start(|request| match request.json()["functionName"] == "gone" {
        true => Reply::new(404, ""),
        false => Reply::new(202, ""),
    });
    run(&fake, &["remove", "gone", "cat"]).failed(3, &["gone is not deployed", "Removed cat"]);
    assert_eq!(fake.seen()[1].json(), json!({ "functionName": "cat", "namespace": "openfaas-fn" }));
}

#[test]
fn a_secret_is_trimmed_text_or_exact_bytes() {
    let fake = Fake::start(|_| Reply::new(202, ""));
    at(&fake, &["secret", "create", "key"]).stdin(" token \n").run().success();
    let body = fake.seen()[0].json();
    assert_eq!((&body["value"], &body["rawValue"]), (&json!("token"), &json!("dG9rZW4=")));
    at(&fake, &["secret", "update", "key"]).stdin([0xff, b'\n']).run().success();
    let seen = &fake.seen()[1];
    assert_eq!(
        (seen.line().as_str(), &seen.json()["rawValue"]),
        ("PUT /system/secrets", &json!("/wo="))
    );
    assert!(seen.json().get("value").is_none());
    at(&fake, &["secret", "create", "key"]).stdin("\n").run().failed(2, &["empty"]);
}

#[test]
fn a_secret_that_exists_is_replaced_only_when_asked() {
    let fake = Fake::start(|request| match request.method.as_str() {
        "POST" => Reply::new(409, ""),
        _ => Reply::new(202, ""),
    });
    let create = |args: &[&str]| at(&fake, args).stdin("x").run();
    create(&["secret", "create", "key"])
        .failed(1, &["exists already", "tidegate secret update key"]);
    create(&["secret", "create", "key", "--replace"]).success();
    assert_eq!(fake.lines()[1..], ["POST /system/secrets", "PUT /system/secrets"]);
}

#[test]
fn namespaces_are_made_with_the_mark_that_peers_want() {
    let fake = Fake::start(|request| match request.method.as_str() {
        "GET" => Reply::new(200, r#"["openfaas-fn","blue"]"#),
        _ => Reply::new(201, ""),
    });
    run(&fake, &["namespace", "create", "blue"]).success();
    assert_eq!(fake.seen()[0].line(), "POST /system/namespace/");
    assert_eq!(fake.seen()[0].json()["labels"], json!({ "openfaas": "1" }));
    let list = run(&fake, &["namespace", "list"]).success();
    assert_eq!(list.out, "NAMESPACE\nopenfaas-fn\nblue\n");
}

#[test]
fn logs_are_lines_with_time_and_replica() {
    let lines = "{\"name\":\"cat\",\"namespace\":\"openfaas-fn\",\"instance\":\"cat-1\",\"timestamp\":\"2026-11-21T10:00:00.123456Z\",\"text\":\"hello\\n\"}\n";
    let fake = Fake::start(move |_| Reply::new(200, lines.repeat(2)));
    let logs = run(
        &fake,
        &["logs", "cat", "--tail", "2", "--since", "2026-11-21T00:00:00Z", "--instance", "cat-1"],
    );
    assert_eq!(logs.success().out, "2026-11-21T10:00:00.123Z cat-1  hello\n".repeat(2));
    assert_eq!(
        fake.lines()[0],
        "GET /system/logs?name=cat&namespace=openfaas-fn&follow=false&since=2026-11-21T00%3A00%3A00Z&tail=2&instance=cat-1"
    );
    assert_eq!(run(&fake, &["logs", "cat", "-o", "json", "-f"]).success().out, lines.repeat(2));
    assert_eq!(run(&fake, &["logs", "cat", "--plain"]).success().out, "hello\nhello\n");
}

// Invocation.

#[test]
fn invoke_sends_stdin_with_its_length_and_prints_the_answer_alone() {
    let fake = Fake::start(|request| Reply::new(200, request.body.clone()));
    let outcome = at(&fake, &["invoke", "cat"]).stdin("hello\n").run().success();
    assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("hello\n", ""));
    let seen = &fake.seen()[0];
    assert_eq!(seen.line(), "POST /function/cat.openfaas-fn");
    assert_eq!((seen.header("content-length"), seen.header("content-type")), ("6", "text/plain"));
    assert_eq!(seen.header("authorization"), "", "a function never sees the gateway's password");
}

#[test]
fn invoke_takes_method_headers_query_and_path() {
    let fake = Fake::start(|_| Reply::new(200, ""));
    let args = [
        "invoke",
        "f.ns",
        "-X",
        "PUT",
        "-H",
        "X-Sleep: 1s",
        "-H",
        "Content-Type: application/json",
        "--query",
        "a=1 2",
        "--path",
        "items/1",
        "-d",
        "{}",
    ];
    run(&fake, &args).success();
    let seen = &fake.seen()[0];
    assert_eq!(seen.line(), "PUT /function/f.ns/items/1?a=1%202");
    assert_eq!((seen.header("x-sleep"), seen.header("content-type")), ("1s", "application/json"));
    assert_eq!(seen.body, b"{}");
}

#[test]
fn a_streamed_or_large_body_is_sent_in_chunks() {
    let fake = Fake::start(|request| Reply::new(200, request.body.len().to_string()));
    let large = vec![b'x'; 3 << 20];
    let outcome = at(&fake, &["invoke", "cat"]).stdin(large).run().success();
    assert_eq!(outcome.out, (3 << 20).to_string());
    let outcome = at(&fake, &["invoke", "cat", "--stream"]).stdin("abc").run().success();
    assert_eq!(outcome.out, "3");
    assert!(fake.seen().iter().all(|seen| seen.header("transfer-encoding") == "chunked"));
}

#[test]
fn an_unsuccessful_call_keeps_stdout_clean() {
    let fake = Fake::start(|_| Reply::new(500, "exit status 1"));
    let outcome =
        run(&fake, &["invoke", "cat"]).failed(1, &["500", "exit status 1", "tidegate logs cat"]);
    assert_eq!(outcome.out, "");
    let unknown =
        Fake::start(|_| Reply::new(404, "no such function").header("X-OpenFaaS-Internal", "proxy"));
    run(&unknown, &["invoke", "cat"]).failed(3, &["no such function", "tidegate list"]);
    let own = Fake::start(|_| Reply::new(404, "the function's own"));
    run(&own, &["invoke", "cat"]).failed(1, &["the function's own"]);
}

#[test]
fn a_call_that_takes_too_long_is_exit_code_7() {
    let fake = Fake::start(|_| {
        loop {
            std::thread::park();
        }
    });
    run(&fake, &["invoke", "cat", "--timeout", "50ms"]).failed(7, &["did not finish within 50ms"]);
    run(&fake, &["list", "--timeout", "50ms"])
        .failed(7, &["did not answer within 50ms", "--timeout"]);
}

// Stack files.

const STACK: &str = "\
version: 1.0
provider:
  name: openfaas
functions:
  up:
    image: up:${TAG:-latest}
    fprocess: ${STACK_DIR}/up.sh
    environment:
      colour: red
      mode: classic
    environment_file:
      - env/first.yml
      - env/second.yml
    labels:
      com.openfaas.scale.max: 3
      com.openfaas.scale.maximum: 3
  down:
    image: down
    namespace: deep
";

/// A call with the stack file above in a folder `app`.
fn with_stack(fake: &Fake, args: &[&str]) -> Tidegate {
    at(fake, args)
        .file("app/stack.yml", STACK)
        .file("app/env/first.yml", "environment:\n  colour: green\n  size: 1\n")
        .file("app/env/second.yml", "environment:\n  colour: blue\n")
}

#[test]
fn deploy_updates_and_makes_what_is_not_there_yet() {
    let fake = Fake::start(|request| match request.method.as_str() {
        "PUT" if request.json()["service"] == "up" => Reply::new(404, ""),
        _ => Reply::new(202, ""),
    });
    let outcome =
        with_stack(&fake, &["deploy", "-f", "app/stack.yml", "--env", "size=2"]).run().success();
    for words in ["Deployed up", "Updated down.deep", "next: tidegate invoke up"] {
        assert!(outcome.err.contains(words), "{words} in {}", outcome.err);
    }
    assert!(outcome.err.contains("warning: label com.openfaas.scale.maximum has no effect here"));
    assert_eq!(outcome.out, "");
    let lines = fake.lines();
    assert_eq!(lines, ["PUT /system/functions", "POST /system/functions", "PUT /system/functions"]);
    let sent = fake.seen()[1].json();
    assert_eq!(sent["image"], "up:latest");
    assert_eq!(sent["envVars"], json!({ "colour": "blue", "mode": "classic", "size": "2" }));
    assert_eq!(sent["labels"]["com.openfaas.scale.max"], "3");
    let process = sent["envProcess"].as_str().expect("a text");
    assert!(process.starts_with('/') && process.ends_with("/app/up.sh"), "{process}");
    assert_eq!(fake.seen()[2].json()["namespace"], "deep");
}

#[test]
fn deploy_takes_names_and_speaks_json() {
    let fake =
        Fake::start(|_| Reply::new(202, "warning: wet\n").header("Warning", "299 - \"slow\""));
    let args = ["deploy", "-f", "app/stack.yml", "down", "-o", "json"];
    let outcome = with_stack(&fake, &args).run().success();
    assert_eq!(outcome.json()[0]["function"], "down.deep");
    assert_eq!(outcome.json()[0]["warnings"], json!(["slow", "wet"]));
    assert_eq!(fake.seen().len(), 1);
    with_stack(&fake, &["deploy", "-f", "app/stack.yml", "sideways"])
        .run()
        .failed(3, &["sideways", "up"]);
}

#[test]
fn a_mistake_in_the_file_deploys_nothing() {
    let fake = Fake::start(|_| Reply::new(202, ""));
    let deploy = |text: &str| at(&fake, &["deploy"]).file("stack.yml", text).run();
    let label =
        STACK.replace("scale.max: 3", "scale.max: many").replace("environment_file", "secrets");
    deploy(&label).failed(2, &["com.openfaas.scale.max", "many", "nothing has been changed"]);
    deploy(&STACK.replace("image: down", "imagine: down"))
        .failed(2, &["stack.yml", "imagine", "^"]);
    deploy(STACK).failed(2, &["first.yml"]);
    at(&fake, &["deploy"]).run().failed(2, &["no stack.yml", "-f FILE"]);
    assert_eq!(fake.seen().len(), 0);
}

#[test]
fn one_function_is_deployed_by_flags() {
    let fake = Fake::start(|_| Reply::new(202, ""));
    let args = [
        "deploy",
        "--name",
        "up",
        "--fprocess",
        "tr a-z A-Z",
        "-n",
        "blue",
        "--secret",
        "key",
        "--label",
        "a=b=c",
        "--annotation",
        "topic=x",
        "-e",
        "x=1",
    ];
    run(&fake, &args).success();
    let sent = fake.seen()[0].json();
    assert_eq!((&sent["service"], &sent["namespace"]), (&json!("up"), &json!("blue")));
    assert_eq!(sent["envProcess"], "tr a-z A-Z");
    assert_eq!((&sent["secrets"], &sent["labels"]), (&json!(["key"]), &json!({ "a": "b=c" })));
    assert_eq!(
        (&sent["annotations"], &sent["envVars"]),
        (&json!({ "topic": "x" }), &json!({ "x": "1" }))
    );
    run(&fake, &["deploy", "--image", "x"]).failed(2, &["--name"]);
}

#[test]
fn remove_takes_a_stack_file_and_forgives_what_is_gone() {
    let fake = Fake::start(|_| Reply::new(404, ""));
    with_stack(&fake, &["remove", "-f", "app/stack.yml"]).run().success();
    let removed: Vec<_> =
        fake.seen().iter().map(|seen| seen.json()["functionName"].clone()).collect();
    assert_eq!(removed.len(), 2);
    assert!(removed.contains(&json!("up")) && removed.contains(&json!("down")));
}

#[test]
fn the_gateway_is_that_of_flag_environment_and_stack_file_in_this_order() {
    let [flag, ours, file, theirs] = [(); 4].map(|()| Fake::start(|_| Reply::new(202, "")));
    let stack =
        STACK.replace("name: openfaas", &format!("name: openfaas\n  gateway: {}", file.url()));
    let stack = stack.replace("environment_file", "secrets");
    let deploy = |args: &[&str], vars: &[(&str, &Fake)]| {
        let call = tidegate(&[&["deploy", "down"], args].concat()).file("stack.yml", &stack);
        vars.iter().fold(call, |call, (name, fake)| call.env(name, &fake.url())).run().success()
    };
    deploy(&["-g", &flag.url()], &[("TIDEGATE_GATEWAY", &ours), ("OPENFAAS_URL", &theirs)]);
    deploy(&[], &[("TIDEGATE_GATEWAY", &ours), ("OPENFAAS_URL", &theirs)]);
    deploy(&[], &[("OPENFAAS_URL", &theirs)]);
    assert_eq!([flag, ours, file, theirs].map(|fake| fake.seen().len()), [1, 1, 1, 0]);
}

#[test]
fn the_examples_are_good() {
    let fake = Fake::start(|_| Reply::new(202, ""));
    let stack = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/stack.yml");
    let outcome = run(&fake, &["deploy", "-f", stack]).success();
    assert!(!outcome.err.contains("warning"), "{}", outcome.err);
    let functions: Vec<_> = fake.seen().iter().map(|seen| seen.json()).collect();
    assert_eq!(functions.len(), 5);
    for function in functions {
        let process = function["envProcess"].as_str().expect("every example has a process");
        if let Some(script) = process.strip_prefix("python3 ") {
            assert!(std::path::Path::new(script).is_file(), "{script}");
        }
    }
}
