//! The whole HTTP interface as an OpenFaaS client of our own sees it: status, headers and body of each route
//! of the running program, good and bad. What is expected is OpenFaaS's, where `docs/api.md` names no choice
//! of ours.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use support::{PATIENCE, Start, Tidegate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const FUNCTIONS: &str = "/system/functions";
const SECRETS: &str = "/system/secrets";
const NOT_FOUND: &str = "404 page not found\n";

// --- the client

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).expect("a method")
}

fn text(response: &Response<Bytes>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

fn value(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body())
        .unwrap_or_else(|error| panic!("{error}: {}", text(response)))
}

fn field<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

/// Asks with the password and expects a status.
async fn ask(
    tidegate: &Tidegate,
    verb: &str,
    path: &str,
    body: impl Into<Bytes>,
    status: u16,
) -> Response<Bytes> {
    let body = body.into();
    let start = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
    let response = tidegate.send(tidegate.request(method(verb), path, body)).await;
    let said = text(&response);
    assert_eq!(response.status().as_u16(), status, "{verb} {path} {start}: {said}");
    response
}

async fn get(tidegate: &Tidegate, path: &str) -> Value {
    let response = ask(tidegate, "GET", path, "", 200).await;
    assert_eq!(field(&response, "content-type"), "application/json", "{path}");
    value(&response)
}

async fn send(tidegate: &Tidegate, verb: &str, path: &str, body: Value, status: u16) -> String {
    text(&ask(tidegate, verb, path, body.to_string(), status).await)
}

/// A refusal: one or more plain lines, which no client can take for an answer in JSON.
async fn refused(
    tidegate: &Tidegate,
    verb: &str,
    path: &str,
    body: impl Into<Bytes>,
    status: u16,
) -> String {
    let response = ask(tidegate, verb, path, body, status).await;
    let said = text(&response);
    assert_eq!(field(&response, "content-type"), "text/plain; charset=utf-8", "{path}: {said}");
    assert_eq!(field(&response, "x-content-type-options"), "nosniff", "{path}: {said}");
    assert!(said.ends_with('\n') && said.len() > 1, "{path}: {said:?}");
    assert!(serde_json::from_str::<Value>(&said).is_err(), "{path}: {said:?}");
    said
}

/// Asks without a password.
async fn open(tidegate: &Tidegate, verb: &str, path: &str) -> Response<Bytes> {
    let request = Request::builder().method(method(verb)).uri(format!("{}{path}", tidegate.url));
    tidegate.send(request.body(Full::default()).expect("a good request")).await
}

async fn connect(tidegate: &Tidegate) -> TcpStream {
    let address = tidegate.url.trim_start_matches("http://");
    TcpStream::connect(address).await.expect("tidegate listens")
}

/// Sends these bytes and gives all that comes back until the connection is closed.
async fn raw(tidegate: &Tidegate, request: &str) -> String {
    let mut stream = connect(tidegate).await;
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // A reset instead of an end is an end too: what came before it counts.
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.unwrap_or_else(|_| panic!("the connection stays open after {request:?}"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Tries again until `done` gives something.
async fn eventually<T>(what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = done().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        sleep(Duration::from_millis(20)).await;
    }
}

/// One without functions: the demo function, which a first start deploys, is gone.
async fn start() -> Tidegate {
    let tidegate = Start::new().start();
    eventually("the demo function", async || {
        let list = get(&tidegate, FUNCTIONS).await;
        (list[0]["name"] == "hello").then_some(())
    })
    .await;
    send(&tidegate, "DELETE", FUNCTIONS, json!({"functionName": "hello"}), 202).await;
    tidegate
}

fn cat(name: &str) -> Value {
    json!({"service": name, "image": "none", "envProcess": "cat"})
}

/// `cat` with labels that bound its count.
fn labelled(name: &str, labels: Value) -> Value {
    let mut function = cat(name);
    function["labels"] = labels;
    function
}

/// A function that runs a line of shell for each call.
fn shell(name: &str, line: &str) -> Value {
    json!({
        "service": name, "image": "none", "envProcess": format!("sh -c '{line}'"),
        "envVars": {"mode": "streaming", "fprocess_split": "shell", "access_log": "false"},
    })
}

fn python(name: &str, file: &str) -> Value {
    let script = support::functions().join(file);
    json!({
        "service": name, "image": "none", "envProcess": format!("python3 {}", script.display()),
        "envVars": {"mode": "http"},
    })
}

// --- deployments

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_are_deployed_listed_described_updated_and_deleted() {
    let tidegate = start().await;
    assert_eq!(get(&tidegate, FUNCTIONS).await, json!([]));
    // As faas-cli deploys: PUT, and on 404 POST.
    refused(&tidegate, "PUT", FUNCTIONS, cat("plain").to_string(), 404).await;
    assert_eq!(send(&tidegate, "POST", FUNCTIONS, cat("plain"), 202).await, "");
    refused(&tidegate, "POST", FUNCTIONS, cat("plain").to_string(), 409).await;
    let list = get(&tidegate, FUNCTIONS).await;
    let plain = &list[0];
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list:#}");
    assert_eq!(plain["name"], "plain");
    assert_eq!((&plain["image"], &plain["namespace"]), (&json!("none"), &json!("openfaas-fn")));
    assert_eq!(plain["envProcess"], "cat");
    assert_eq!(plain["labels"], json!({"faas_function": "plain"}));
    assert_eq!(plain["annotations"], json!({}));
    assert_eq!(plain["replicas"], 1);
    let created = plain["createdAt"].as_str().expect("always there");
    created.parse::<jiff::Timestamp>().expect("RFC 3339");
    for unsent in ["envVars", "limits", "requests", "secrets", "constraints", "usage"] {
        assert!(plain.get(unsent).is_none(), "{unsent} was not sent: {plain:#}");
    }
    an_own_deployment_is_echoed(&tidegate).await;
    an_image_may_be_left_out(&tidegate).await;
    an_update_replaces_all(&tidegate).await;
    wrong_deployments_change_nothing(&tidegate).await;
    let described = ask(&tidegate, "GET", "/system/function/plain.openfaas-fn", "", 404).await;
    assert_eq!(described.body().len(), 0, "the name is not split here, and 404 has no body");
    ask(&tidegate, "GET", "/system/function/nobody", "", 404).await;
    assert!(get(&tidegate, "/system/function/plain?usage=1").await["usage"].is_object());
    assert!(get(&tidegate, "/system/function/plain?usage=false").await.get("usage").is_none());
    deleted(&tidegate).await;
}

async fn an_own_deployment_is_echoed(tidegate: &Tidegate) {
    for name in ["zeta", "alpha"] {
        send(tidegate, "POST", SECRETS, json!({"name": name, "value": "x"}), 202).await;
    }
    let amounts = json!({"memory": "5Mi", "cpu": "100m"});
    let sent = json!({
        "service": "full", "image": "docker.io/some/image:1.2", "envProcess": "cat",
        "envVars": {"b": "2", "a": "<&>"}, "secrets": ["zeta", "alpha"], "limits": amounts,
        "annotations": {"topic": "a,b"}, "labels": {"team": "x", "com.openfaas.scale.min": "2"},
        "registryAuth": "ignored", "network": null,
    });
    assert_eq!(send(tidegate, "POST", FUNCTIONS, sent.clone(), 202).await, "");
    let described = get(tidegate, "/system/function/full").await;
    for same in ["image", "envProcess", "envVars", "secrets", "limits", "annotations"] {
        assert_eq!(described[same], sent[same], "{same}");
    }
    let labels = json!({"team": "x", "com.openfaas.scale.min": "2", "faas_function": "full"});
    assert_eq!(described["labels"], labels);
    assert_eq!(described["replicas"], 2, "the minimum, at once");
    assert!(described.get("requests").is_none(), "{described:#}");
    let list = get(tidegate, FUNCTIONS).await;
    let listed = list.as_array().expect("a list").iter().find(|one| one["name"] == "full");
    assert_eq!(listed.expect("it is listed")["limits"], amounts);
    send(tidegate, "DELETE", FUNCTIONS, json!({"functionName": "full"}), 202).await;
}

/// A process needs no image; clients find the field all the same.
async fn an_image_may_be_left_out(tidegate: &Tidegate) {
    let bare = json!({"service": "bare", "envProcess": "cat"});
    send(tidegate, "POST", FUNCTIONS, bare, 202).await;
    assert_eq!(get(tidegate, "/system/function/bare").await["image"], "");
    send(tidegate, "DELETE", FUNCTIONS, json!({"functionName": "bare"}), 202).await;
}

async fn an_update_replaces_all(tidegate: &Tidegate) {
    // Keys in any case, unknown ones skipped, the last of equal ones: as Go reads JSON.
    let odd = r#"{"SERVICE":"news","image":"old","Image":"none","envprocess":"cat","what":[1],"secrets":null,"ENVVARS":{"a":"1"}}"#;
    ask(tidegate, "POST", FUNCTIONS, odd, 202).await;
    let before = get(tidegate, "/system/function/news").await;
    assert_eq!((&before["image"], &before["envVars"]), (&json!("none"), &json!({"a": "1"})));
    let mut update = cat("news");
    update["annotations"] = json!({"topic": "t"});
    assert_eq!(send(tidegate, "PUT", FUNCTIONS, update, 202).await, "");
    let after = get(tidegate, "/system/function/news").await;
    assert_eq!(after["annotations"], json!({"topic": "t"}));
    assert!(after.get("envVars").is_none(), "{after:#}");
    send(tidegate, "DELETE", FUNCTIONS, json!({"functionName": "news"}), 202).await;
}

async fn wrong_deployments_change_nothing(tidegate: &Tidegate) {
    let bad = labelled("bad", json!({"com.openfaas.scale.max": "lots"}));
    let said = refused(tidegate, "POST", FUNCTIONS, bad.to_string(), 400).await;
    for part in ["com.openfaas.scale.max", "\"lots\"", "a whole number from 1 to 10000"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    refused(tidegate, "PUT", FUNCTIONS, bad.to_string(), 404).await;
    let mut worse = bad;
    worse["service"] = json!("plain");
    refused(tidegate, "PUT", FUNCTIONS, worse.to_string(), 400).await;
    assert_eq!(
        get(tidegate, "/system/function/plain").await["labels"],
        json!({"faas_function": "plain"})
    );
    let strange = labelled("strange", json!({"com.openfaas.scale.maximum": "5"}));
    let response = ask(tidegate, "POST", FUNCTIONS, strange.to_string(), 202).await;
    let warning = "label com.openfaas.scale.maximum has no effect here";
    assert_eq!(text(&response), format!("warning: {warning}\n"));
    assert_eq!(field(&response, "x-tidegate-warning"), warning);
    send(tidegate, "DELETE", FUNCTIONS, json!({"functionName": "strange"}), 202).await;

    let wrong = [
        json!({"service": "Upper", "image": "none", "envProcess": "cat"}),
        json!({"service": "", "image": "none", "envProcess": "cat"}),
        json!({"service": "../up", "image": "none", "envProcess": "cat"}),
        json!({"service": "w"}),
        json!({"service": "w", "image": "none"}),
        json!({"service": "w", "image": "none", "envProcess": "cat", "secrets": ["nobody"]}),
        json!({"service": "w", "image": "none", "envProcess": "cat", "secrets": ["../up"]}),
        json!({"service": "w", "image": "none", "envProcess": "cat", "namespace": "nowhere"}),
        json!({"service": "w", "image": "none", "envProcess": "cat", "limits": {"memory": "much"}}),
        json!({"service": "w", "image": "none", "envProcess": "cat", "envVars": {"a": 1}}),
        json!([1]),
    ];
    for body in wrong {
        refused(tidegate, "POST", FUNCTIONS, body.to_string(), 400).await;
    }
    for body in ["", "{", "not JSON"] {
        refused(tidegate, "POST", FUNCTIONS, body, 400).await;
        refused(tidegate, "PUT", FUNCTIONS, body, 400).await;
        refused(tidegate, "DELETE", FUNCTIONS, body, 400).await;
    }
    refused(tidegate, "GET", "/system/functions?namespace=nowhere", "", 400).await;
    let names = get(tidegate, FUNCTIONS).await;
    assert_eq!(names.as_array().map(Vec::len), Some(1), "only plain is there: {names:#}");
}

async fn deleted(tidegate: &Tidegate) {
    refused(tidegate, "DELETE", FUNCTIONS, json!({"functionName": ""}).to_string(), 400).await;
    let plain = json!({"functionName": "plain", "namespace": "openfaas-fn"});
    refused(tidegate, "DELETE", "/system/functions?namespace=other", plain.to_string(), 400).await;
    assert_eq!(send(tidegate, "DELETE", FUNCTIONS, plain.clone(), 202).await, "");
    refused(tidegate, "DELETE", FUNCTIONS, plain.to_string(), 404).await;
    ask(tidegate, "GET", "/system/function/plain", "", 404).await;
    assert_eq!(get(tidegate, FUNCTIONS).await, json!([]));
    // The same name again.
    send(tidegate, "POST", FUNCTIONS, cat("plain"), 202).await;
    let again = tidegate.call("plain", "again").await;
    assert_eq!((again.status(), &again.body()[..]), (StatusCode::OK, &b"again"[..]));
    send(tidegate, "DELETE", "/system/functions?namespace=openfaas-fn", plain, 202).await;
}

// --- scaling

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_set_by_operators_and_alerts() {
    let tidegate = start().await;
    make_namespace(&tidegate, "team").await;
    let mut elsewhere = cat("near");
    elsewhere["namespace"] = json!("team");
    send(&tidegate, "POST", FUNCTIONS, elsewhere, 202).await;
    let path = "/system/scale-function/near";
    let near = "/system/function/near?namespace=team";
    // As the SDK says the namespace, and as OpenFaaS's own gateway does.
    let body = json!({"serviceName": "near", "replicas": 2, "namespace": "team"});
    assert_eq!(send(&tidegate, "POST", path, body.clone(), 202).await, "");
    assert_eq!(get(&tidegate, near).await["replicas"], 2);
    let short = json!({"serviceName": "", "replicas": 3});
    send(&tidegate, "POST", &format!("{path}?namespace=team"), short.clone(), 202).await;
    assert_eq!(get(&tidegate, near).await["replicas"], 3);
    refused(&tidegate, "POST", &format!("{path}?namespace=other"), body.to_string(), 400).await;
    refused(&tidegate, "POST", path, short.to_string(), 404).await;
    refused(&tidegate, "POST", "/system/scale-function/nobody", short.to_string(), 404).await;
    let query = format!("{path}?namespace=team");
    for replicas in ["-1", "1.5", "\"3\"", "{}", "99999999999999999999", "4294967296"] {
        let body = format!(r#"{{"serviceName": "near", "replicas": {replicas}}}"#);
        refused(&tidegate, "POST", &query, body, 400).await;
    }
    for body in ["", "{", "[]", r#"{"serviceName": "other", "replicas": 1}"#] {
        refused(&tidegate, "POST", &query, body, 400).await;
    }
    assert_eq!(get(&tidegate, near).await["replicas"], 3, "nothing of that counts");
    zero_is_honoured(&tidegate, &query, near).await;
    alerts(&tidegate).await;
}

async fn zero_is_honoured(tidegate: &Tidegate, scale: &str, describe: &str) {
    let first = tidegate.call("near.team", "up").await;
    assert_eq!((first.status(), text(&first)), (StatusCode::OK, "up".to_owned()));
    send(tidegate, "POST", scale, json!({"serviceName": "near", "replicas": 0}), 202).await;
    let at_zero = get(tidegate, describe).await;
    assert!(at_zero.get("replicas").is_none(), "zero is left out, at once: {at_zero:#}");
    let woken = tidegate.call("near.team", "again").await;
    assert_eq!((woken.status(), text(&woken)), (StatusCode::OK, "again".to_owned()));
    let awake = get(tidegate, describe).await;
    assert_eq!((&awake["replicas"], &awake["availableReplicas"]), (&json!(1), &json!(1)));
    assert_eq!(tidegate.call("near", "").await.status(), StatusCode::NOT_FOUND, "no fallback");
}

fn alert(status: &str, function: &str) -> Value {
    json!({
        "status": status, "labels": {"alertname": "x", "function_name": function},
        "annotations": {}, "startsAt": "2020-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
    })
}

async fn tell(tidegate: &Tidegate, alerts: &[Value]) {
    // The status above the alerts does not count.
    let webhook = json!({"version": "4", "status": "resolved", "receiver": "x", "alerts": alerts});
    assert_eq!(send(tidegate, "POST", "/system/alert", webhook, 200).await, "");
}

async fn alerts(tidegate: &Tidegate) {
    // Maximum, factor, and the count after one firing alert.
    let vectors = [("5", "10", 2), ("5", "100", 5), ("3", "50", 3), ("10", "50", 6), ("5", "0", 1)];
    for (max, factor, expected) in vectors {
        let labels = json!({"com.openfaas.scale.max": max, "com.openfaas.scale.factor": factor});
        send(tidegate, "POST", FUNCTIONS, labelled("step", labels), 202).await;
        tell(tidegate, &[alert("firing", "nobody.openfaas-fn"), alert("firing", "step")]).await;
        let replicas = get(tidegate, "/system/function/step").await["replicas"].clone();
        assert_eq!(replicas, expected, "max {max}, factor {factor}");
        tell(tidegate, &[alert("resolved", "step.openfaas-fn")]).await;
        let replicas = get(tidegate, "/system/function/step").await["replicas"].clone();
        assert_eq!(replicas, 1, "resolved: max {max}, factor {factor}");
        send(tidegate, "DELETE", FUNCTIONS, json!({"functionName": "step"}), 202).await;
    }
    let labels = json!({"com.openfaas.scale.min": "2", "com.openfaas.scale.max": "4"});
    send(tidegate, "POST", FUNCTIONS, labelled("least", labels), 202).await;
    tidegate.scale("least", 4).await;
    tell(tidegate, &[alert("firing", "least")]).await;
    assert_eq!(get(tidegate, "/system/function/least").await["replicas"], 4);
    tell(tidegate, &[alert("resolved", "least")]).await;
    assert_eq!(get(tidegate, "/system/function/least").await["replicas"], 2);
    tell(tidegate, &[alert("firing", ""), alert("firing", "../x"), alert("firing", "a.b.c")]).await;
    tell(tidegate, &[]).await;
    for body in ["", "{", "x", "[]"] {
        let said = refused(tidegate, "POST", "/system/alert", body, 400).await;
        assert_eq!(said, "Unable to parse alert, bad format.\n", "{body:?}");
    }
}

// --- secrets and namespaces

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_kept_and_reach_the_function_alone() {
    let tidegate = start().await;
    assert_eq!(get(&tidegate, SECRETS).await, json!([]));
    let first = json!({"name": "key", "value": "first"});
    refused(&tidegate, "PUT", SECRETS, first.to_string(), 404).await;
    assert_eq!(send(&tidegate, "POST", SECRETS, first.clone(), 202).await, "");
    assert_eq!(send(&tidegate, "POST", SECRETS, first, 409).await, "");
    let listed = get(&tidegate, SECRETS).await;
    assert_eq!(listed, json!([{"name": "key", "namespace": "openfaas-fn"}]), "never the value");
    let named = get(&tidegate, "/system/secrets?namespace=openfaas-fn").await;
    assert_eq!(named, listed);
    refused(&tidegate, "GET", "/system/secrets?namespace=nowhere", "", 400).await;

    let mut reader = shell("reader", "cat \"$secret_mount_path/key\"");
    reader["secrets"] = json!(["key"]);
    send(&tidegate, "POST", FUNCTIONS, reader.clone(), 202).await;
    assert_eq!(text(&tidegate.call("reader", "").await), "first");
    // Bytes win over text; a new revision has the new value.
    let second = json!({"name": "key", "value": "no", "rawValue": "c2Vjb25k"});
    assert_eq!(send(&tidegate, "PUT", SECRETS, second, 202).await, "");
    reader["annotations"] = json!({"revision": "2"});
    send(&tidegate, "PUT", FUNCTIONS, reader, 202).await;
    eventually("the new value", async || {
        (text(&tidegate.call("reader", "").await) == "second").then_some(())
    })
    .await;
    send(&tidegate, "DELETE", FUNCTIONS, json!({"functionName": "reader"}), 202).await;

    for name in ["../up", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "UP", "x\u{0}", "ä"] {
        let body = json!({"name": name, "value": "do-not-tell"}).to_string();
        for verb in ["POST", "PUT", "DELETE"] {
            let said = refused(&tidegate, verb, SECRETS, body.clone(), 400).await;
            assert!(!said.contains("do-not-tell"), "{said}");
        }
    }
    for body in ["", "{", r#"{"name": "x", "value": do-not-tell}"#, r#"{"name": 1}"#] {
        let said = refused(&tidegate, "POST", SECRETS, body, 400).await;
        assert!(!said.contains("do-not-tell"), "{said}");
    }
    let elsewhere = json!({"name": "key", "value": "x", "namespace": "nowhere"});
    refused(&tidegate, "POST", SECRETS, elsewhere.to_string(), 400).await;
    // 202, not 204, on which faas-cli fails.
    assert_eq!(send(&tidegate, "DELETE", SECRETS, json!({"name": "key"}), 202).await, "");
    refused(&tidegate, "DELETE", SECRETS, json!({"name": "key"}).to_string(), 404).await;
    assert_eq!(get(&tidegate, SECRETS).await, json!([]));
}

fn namespace(name: &str) -> Value {
    json!({"name": name, "labels": {"openfaas": "1"}})
}

async fn make_namespace(tidegate: &Tidegate, name: &str) {
    assert_eq!(send(tidegate, "POST", "/system/namespace/", namespace(name), 201).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_hold_functions_and_secrets_apart() {
    let tidegate = start().await;
    assert_eq!(get(&tidegate, "/system/namespaces").await, json!(["openfaas-fn"]));
    make_namespace(&tidegate, "team").await;
    refused(&tidegate, "POST", "/system/namespace/", namespace("team").to_string(), 409).await;
    let names = get(&tidegate, "/system/namespaces").await;
    let mut names: Vec<_> = names.as_array().expect("a list").iter().collect();
    names.sort_by_key(|name| name.as_str());
    assert_eq!(names, ["openfaas-fn", "team"]);
    let team = "/system/namespace/team";
    let read = get(&tidegate, team).await;
    assert_eq!((&read["name"], &read["labels"]["openfaas"]), (&json!("team"), &json!("1")));
    // The documentation of OpenFaaS marks by annotation, its code by label.
    let other = json!({"name": "team", "labels": {"who": "us"}, "annotations": {"openfaas": "1"}});
    assert_eq!(send(&tidegate, "PUT", team, other, 202).await, "");
    assert_eq!(get(&tidegate, team).await["labels"], json!({"who": "us"}));
    for (verb, path, status) in [
        ("GET", "/system/namespace/nowhere", 404),
        ("PUT", "/system/namespace/nowhere", 404),
        ("DELETE", "/system/namespace/nowhere", 404),
        ("PUT", "/system/namespace/other", 400),
    ] {
        refused(&tidegate, verb, path, namespace("nowhere").to_string(), status).await;
    }
    for body in [json!({"name": "x"}), json!({"name": "x", "labels": {"openfaas": "0"}})] {
        refused(&tidegate, "POST", "/system/namespace/", body.to_string(), 400).await;
    }
    for name in ["", "../up", "Upper", "a.b"] {
        refused(&tidegate, "POST", "/system/namespace/", namespace(name).to_string(), 400).await;
    }
    for name in ["openfaas-fn", "openfaas", "kube-system"] {
        let path = format!("/system/namespace/{name}");
        let body = namespace(name).to_string();
        refused(&tidegate, "POST", "/system/namespace/", body.clone(), 400).await;
        refused(&tidegate, "PUT", &path, body.clone(), 400).await;
        refused(&tidegate, "DELETE", &path, body, 400).await;
    }

    let mut far = cat("far");
    far["namespace"] = json!("team");
    send(&tidegate, "POST", FUNCTIONS, far, 202).await;
    assert_eq!(get(&tidegate, FUNCTIONS).await, json!([]));
    let listed = get(&tidegate, "/system/functions?namespace=team").await;
    assert_eq!((&listed[0]["name"], &listed[0]["namespace"]), (&json!("far"), &json!("team")));
    assert_eq!(text(&tidegate.call("far.team", "hello").await), "hello");
    let secret = json!({"name": "key", "value": "x", "namespace": "team"});
    send(&tidegate, "POST", SECRETS, secret, 202).await;
    assert_eq!(get(&tidegate, SECRETS).await, json!([]));
    let listed = get(&tidegate, "/system/secrets?namespace=team").await;
    assert_eq!(listed, json!([{"name": "key", "namespace": "team"}]));
    refused(&tidegate, "DELETE", team, namespace("team").to_string(), 400).await;
    let far = json!({"functionName": "far", "namespace": "team"});
    send(&tidegate, "DELETE", FUNCTIONS, far, 202).await;
    assert_eq!(send(&tidegate, "DELETE", team, namespace("team"), 202).await, "");
    assert_eq!(get(&tidegate, "/system/namespaces").await, json!(["openfaas-fn"]));
}

// --- logs

async fn log_lines(tidegate: &Tidegate, query: &str) -> Vec<Value> {
    let response = ask(tidegate, "GET", &format!("/system/logs?{query}"), "", 200).await;
    assert_eq!(field(&response, "content-type"), "application/x-ndjson");
    let lines = text(&response);
    lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_read_by_tail_since_and_follow() {
    let tidegate = start().await;
    tidegate.deploy(shell("talker", "read line; echo \"said $line\" >&2")).await;
    let said = |lines: &[Value]| -> Vec<Value> {
        let own = lines.iter().filter(|line| line["text"].to_string().contains("said "));
        own.cloned().collect()
    };
    for word in ["one\n", "two\n"] {
        assert_eq!(tidegate.call("talker", word).await.status(), StatusCode::OK);
    }
    let lines = eventually("two lines", async || {
        Some(said(&log_lines(&tidegate, "name=talker").await)).filter(|lines| lines.len() == 2)
    })
    .await;
    for (line, word) in lines.iter().zip(["said one", "said two"]) {
        assert!(line["text"].as_str().expect("text").contains(word), "{line}");
        assert_eq!((&line["name"], &line["namespace"]), (&json!("talker"), &json!("openfaas-fn")));
        assert!(!line["instance"].as_str().expect("text").is_empty(), "{line}");
        let at = line["timestamp"].as_str().expect("text");
        at.parse::<jiff::Timestamp>().expect("RFC 3339");
    }
    let last = log_lines(&tidegate, "name=talker&namespace=openfaas-fn&tail=1").await;
    assert_eq!(last.len(), 1, "{last:?}");
    for all in ["tail=-1", "tail=0", "since=2020-01-01T00:00:00Z", "follow=maybe", "tail=9&tail=0"]
    {
        assert_eq!(
            said(&log_lines(&tidegate, &format!("name=talker&{all}")).await),
            lines,
            "{all}"
        );
    }
    let future = log_lines(&tidegate, "name=talker&since=2999-01-01T00:00:00Z").await;
    assert_eq!(future, Vec::<Value>::new());
    let stranger = log_lines(&tidegate, "name=talker&instance=nobody").await;
    assert_eq!(stranger, Vec::<Value>::new());
    for bad in ["tail=x", "tail=1.5", "since=yesterday", "since=5m"] {
        let path = format!("/system/logs?name=talker&{bad}");
        let said = refused(&tidegate, "GET", &path, "", 422).await;
        assert!(said.starts_with("could not parse the log request"), "{said}");
    }
    refused(&tidegate, "GET", "/system/logs?name=nobody", "", 404).await;
    refused(&tidegate, "GET", "/system/logs", "", 400).await;
    lines_are_followed(&tidegate).await;
}

async fn lines_are_followed(tidegate: &Tidegate) {
    let request = tidegate.request(Method::GET, "/", "");
    let login = request.headers()["authorization"].to_str().expect("text");
    let mut stream = connect(tidegate).await;
    let request = format!(
        "GET /system/logs?name=talker&follow=1&tail=1 HTTP/1.1\r\nhost: x\r\nauthorization: {login}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut seen = String::new();
    for (call, line) in [("", "said two"), ("three\n", "said three"), ("four\n", "said four")] {
        if !call.is_empty() {
            assert_eq!(tidegate.call("talker", call).await.status(), StatusCode::OK);
        }
        while !seen.contains(line) {
            let mut piece = vec![0; 4096];
            let read = timeout(PATIENCE, stream.read(&mut piece)).await;
            let read = read.unwrap_or_else(|_| panic!("no {line:?} after {seen}"));
            let read = read.expect("the stream goes on");
            assert_ne!(read, 0, "it ended after {seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    }
}

// --- the doors

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_methods_and_passwords_are_as_clients_expect() {
    let tidegate = start().await;
    let info = get(&tidegate, "/system/info").await;
    assert!(!info["arch"].as_str().expect("text").is_empty());
    for version in [&info["version"], &info["provider"]["version"]] {
        for part in ["sha", "release"] {
            assert!(!version[part].as_str().expect("never null").is_empty(), "{info:#}");
        }
    }
    for part in ["provider", "orchestration"] {
        assert!(!info["provider"][part].as_str().expect("never null").is_empty(), "{info:#}");
    }
    assert_ne!(info["provider"]["provider"], "faasd", "the certifier would check less");
    let health = open(&tidegate, "GET", "/healthz").await;
    assert_eq!((health.status().as_u16(), health.body().len()), (200, 0));
    let home = open(&tidegate, "GET", "/").await;
    assert_eq!((home.status().as_u16(), field(&home, "location")), (307, "/ui/"));
    let page = ask(&tidegate, "GET", "/ui/", "", 200).await;
    assert!(field(&page, "content-type").starts_with("text/html"), "{page:?}");
    for path in [
        "/ui",
        "/system",
        "/system/",
        "/system/functions/",
        "/system/namespaces/",
        "/system/info/",
        "/system/secrets/",
        "/system/function/",
        "/system/function/a/b",
        "/system/function/a%20b",
        "/system/function/a%2Fb",
        "/system/scale-function/",
        "/system/telemetry",
        "/metrics",
        "/function",
        "/async-function/x",
        "/nothing",
        "//system/functions",
        "/oauth/token",
        "/ui/x",
    ] {
        let response = ask(&tidegate, "GET", path, "", 404).await;
        assert_eq!(text(&response), NOT_FOUND, "{path}");
        assert_eq!(field(&response, "content-type"), "text/plain; charset=utf-8", "{path}");
        assert_eq!(field(&response, "x-content-type-options"), "nosniff", "{path}");
    }
    for (verb, path) in [
        ("PATCH", FUNCTIONS),
        ("DELETE", "/system/info"),
        ("POST", "/system/namespaces"),
        ("GET", "/system/alert"),
        ("GET", "/system/scale-function/x"),
        ("PATCH", SECRETS),
        ("POST", "/system/function/x"),
        ("POST", "/system/logs"),
        ("PATCH", "/system/namespace/x"),
        ("POST", "/healthz"),
        ("POST", "/"),
        ("POST", "/ui/"),
        ("BREW", FUNCTIONS),
    ] {
        assert_eq!(text(&ask(&tidegate, verb, path, "", 405).await), "", "{verb} {path}");
    }
    passwords(&tidegate).await;
    large_and_malformed(&tidegate).await;
}

async fn passwords(tidegate: &Tidegate) {
    let guarded = [
        ("GET", "/ui/"),
        ("GET", "/ui/app.js"),
        ("GET", "/system/info"),
        ("GET", FUNCTIONS),
        ("POST", FUNCTIONS),
        ("PUT", FUNCTIONS),
        ("DELETE", FUNCTIONS),
        ("GET", SECRETS),
        ("GET", "/system/function/x"),
        ("POST", "/system/scale-function/x"),
        ("POST", SECRETS),
        ("POST", "/system/alert"),
        ("GET", "/system/logs?name=x"),
        ("GET", "/system/namespaces"),
        ("POST", "/system/namespace/"),
        ("DELETE", "/system/namespace/x"),
        ("GET", "/system/scaling/x"),
    ];
    for (verb, path) in guarded {
        let response = open(tidegate, verb, path).await;
        assert_eq!(response.status().as_u16(), 401, "{verb} {path}");
        assert_eq!(text(&response), "invalid credentials");
        assert_eq!(field(&response, "www-authenticate"), "Basic realm=\"Restricted\"");
    }
    // Someone else's password, another name, nothing, and what faas-cli sends when never logged in.
    for login in ["Basic YWRtaW46d3Jvbmc=", "Basic eDp4", "Basic", "Basic %", "Bearer ", "Bearer"] {
        let mut request = tidegate.request(Method::GET, FUNCTIONS, "");
        request.headers_mut().insert("authorization", login.parse().expect("a value"));
        let response = tidegate.send(request).await;
        assert_eq!(
            (response.status().as_u16(), text(&response).as_str()),
            (401, "invalid credentials")
        );
    }
    let mut request = tidegate.request(Method::POST, FUNCTIONS, cat("x").to_string());
    request.headers_mut().insert("sec-fetch-site", "cross-site".parse().expect("a value"));
    assert_eq!(tidegate.send(request).await.status().as_u16(), 403);
}

async fn large_and_malformed(tidegate: &Tidegate) {
    let large = " ".repeat((1 << 20) + 1);
    for path in [FUNCTIONS, SECRETS, "/system/alert", "/system/namespace/"] {
        refused(tidegate, "POST", path, large.clone(), 413).await;
    }
    tidegate.deploy(cat("steady")).await;
    for broken in [
        "garbage\r\n\r\n",
        "GET\r\n\r\n",
        "GET /healthz HTTP/9.9\r\nhost: x\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\nna me: x\r\n\r\n",
        "POST /function/steady HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "POST /function/steady HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST /function/steady HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\nx",
        "POST /function/steady HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nx",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\r\n\r\n",
    ] {
        let answer = raw(tidegate, broken).await;
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{broken:?} was answered {answer:?}");
        assert_eq!(open(tidegate, "GET", "/healthz").await.status().as_u16(), 200, "{broken:?}");
    }
    assert_eq!(text(&tidegate.call("steady", "still").await), "still");
}

// --- calls

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_reach_the_function_as_they_were_sent() {
    let tidegate = start().await;
    tidegate.deploy(python("tell", "request.py")).await;
    let targets = [
        ("/function/tell", "/"),
        ("/function/tell/", "/"),
        ("/function/tell.openfaas-fn", "/"),
        ("/function/tell?q=1", "/?q=1"),
        ("/function/tell/a/b/", "/a/b/"),
        ("/function/tell//a//b", "//a//b"),
        ("/function/tell/a%2Fb%3Fc%23d%25zz", "/a%2Fb%3Fc%23d%25zz"),
        ("/function/tell/./a/../b", "/./a/../b"),
        ("/function/tell/a?x=%2F&y=a+b&&z;", "/a?x=%2F&y=a+b&&z;"),
    ];
    for (sent, seen) in targets {
        for verb in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
            let line = format!("{verb} {seen} HTTP/1.1\n");
            let request = format!("{verb} {sent} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            let answer = raw(&tidegate, &request).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{verb} {sent}: {answer}");
            assert!(answer.contains(&line), "{line} in {answer}");
        }
    }
    let head = open(&tidegate, "HEAD", "/function/tell").await;
    assert_eq!((head.status().as_u16(), head.body().len()), (200, 0));
    assert_eq!(field(&head, "x-seen"), "1");
    headers_of_calls(&tidegate).await;
    headers_of_answers(&tidegate).await;
    for path in ["/function/nobody", "/function/tell.nowhere", "/function/tell.openfaas-fn.x/a"] {
        let unknown = open(&tidegate, "POST", path).await;
        assert_eq!(unknown.status().as_u16(), 404, "{path}");
        assert!(text(&unknown).starts_with("error finding function "), "{}", text(&unknown));
        for made in ["x-call-id", "x-start-time", "x-openfaas-internal", "x-tidegate-error"] {
            assert!(!field(&unknown, made).is_empty(), "{made}");
        }
    }
    assert_eq!(open(&tidegate, "POST", "/function/").await.status().as_u16(), 400);
}

async fn headers_of_calls(tidegate: &Tidegate) {
    let request = "POST /function/tell HTTP/1.1\r\nhost: gateway.example\r\n\
        connection: close, X-Secret\r\nx-secret: 1\r\nkeep-alive: 5\r\nte: gzip\r\nupgrade: h2c\r\n\
        proxy-authorization: Basic eA==\r\nproxy-connection: x\r\nauthorization: Bearer y\r\n\
        cookie: a=b\r\nx-call-id: mine\r\nx-start-time: 1\r\nx-forwarded-for: 1.1.1.1\r\n\
        user-agent: tester\r\ncontent-length: 4\r\n\r\nbody";
    let answer = raw(tidegate, request).await;
    let (head, rest) = answer.split_once("\r\n\r\n").expect("a head");
    let (seen, body) = rest.split_once("\n\n").expect("the request");
    assert_eq!(body, "body");
    assert!(head.to_ascii_lowercase().contains("\r\nx-call-id: mine"), "{head}");
    for kept in [
        "authorization: Bearer y",
        "cookie: a=b",
        "x-call-id: mine",
        "user-agent: tester",
        "content-length: 4",
        "x-forwarded-host: gateway.example",
        "x-forwarded-for: 1.1.1.1, 127.0.0.1",
    ] {
        assert!(seen.lines().any(|line| line == kept), "{kept} in {seen}");
    }
    for gone in [
        "x-secret:",
        "keep-alive:",
        "te:",
        "upgrade:",
        "proxy-authorization:",
        "proxy-connection:",
        "transfer-encoding:",
        "accept-encoding:",
    ] {
        assert!(!seen.lines().any(|line| line.starts_with(gone)), "{gone} in {seen}");
    }
    let starts: Vec<_> = seen.lines().filter(|line| line.starts_with("x-start-time:")).collect();
    assert_eq!(starts.len(), 1, "{starts:?}");
    assert_ne!(starts, ["x-start-time: 1"], "ours, as OpenFaaS adds its own");
}

async fn headers_of_answers(tidegate: &Tidegate) {
    let answer = open(tidegate, "POST", "/function/tell").await;
    let id = field(&answer, "x-call-id");
    assert_eq!((id.len(), id.as_bytes()[14], id.as_bytes()[8]), (36, b'4', b'-'), "a UUID: {id}");
    let start: u128 = field(&answer, "x-start-time").parse().expect("nanoseconds");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    assert!(start <= now.expect("after 1970").as_nanos(), "{start}");
    assert!(start > 1_600_000_000_000_000_000, "{start}");
    assert!(field(&answer, "x-served-by").starts_with("tidegate/"));
    field(&answer, "x-duration-seconds").parse::<f64>().expect("seconds");
    assert!(text(&answer).contains(&format!("x-call-id: {id}\n")), "the function has it too");
    assert_eq!((field(&answer, "x-seen"), field(&answer, "x-hidden")), ("1", ""));
    for gone in ["connection", "keep-alive", "transfer-encoding", "x-tidegate-error"] {
        assert!(!answer.headers().contains_key(gone), "{gone}");
    }
    // The function's own status passes, redirects are not followed.
    for status in [201, 302, 404, 418, 500, 503] {
        let mut request = tidegate.request(Method::POST, "/function/tell/x", "");
        request.headers_mut().insert("x-status", status.to_string().parse().expect("a value"));
        let answer = tidegate.send(request).await;
        assert_eq!((answer.status().as_u16(), field(&answer, "location")), (status, "/elsewhere"));
        assert!(!answer.headers().contains_key("x-tidegate-error"), "{status}");
    }
}

// --- what a forked process sees, and metrics

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_sees_the_call_and_its_series_live_as_long_as_it() {
    let tidegate = start().await;
    let mut env = cat("env");
    env["envProcess"] = json!("env");
    env["envVars"] = json!({"own": "value"});
    send(&tidegate, "POST", FUNCTIONS, env, 202).await;
    let mut request = tidegate.request(Method::PUT, "/function/env/a/b?q=1", "");
    request.headers_mut().insert("x-call-id", "mine".parse().expect("a value"));
    let answer = tidegate.send(request).await;
    assert_eq!((answer.status().as_u16(), field(&answer, "x-call-id")), (200, "mine"));
    let seen = text(&answer);
    for line in [
        "Http_Method=PUT",
        "Http_Path=/a/b",
        "Http_Query=q=1",
        "Http_X_Call_Id=mine",
        "own=value",
        "OPENFAAS_NAME=env",
    ] {
        assert!(seen.lines().any(|one| one == line), "{line} in {seen}");
    }
    tidegate.deploy(python("long", "long.py")).await;
    assert_eq!(text(&tidegate.call("long", "").await), "slept\n");
    assert_eq!(tidegate.call("nobody", "").await.status().as_u16(), 404);
    series(&tidegate).await;
    let listed = get(&tidegate, FUNCTIONS).await;
    for function in listed.as_array().expect("a list") {
        assert_eq!(function["invocationCount"], 1, "{function:#}");
    }
    for name in ["env", "long"] {
        send(&tidegate, "DELETE", FUNCTIONS, json!({"functionName": name}), 202).await;
    }
    eventually("the end of all series", async || {
        (!tidegate.metrics().await.contains("function_name=")).then_some(())
    })
    .await;
    assert_eq!(tidegate.call("env", "").await.status().as_u16(), 404);
}

async fn series(tidegate: &Tidegate) {
    let base = tidegate.metrics_url.trim_end_matches("/metrics");
    let at = async |verb: &str, path: &str| {
        let request = Request::builder().method(method(verb)).uri(format!("{base}{path}"));
        tidegate.send(request.body(Full::default()).expect("a good request")).await
    };
    let health = at("GET", "/healthz").await;
    assert_eq!((health.status().as_u16(), text(&health).as_str()), (200, "OK"));
    assert_eq!(at("POST", "/healthz").await.status().as_u16(), 405);
    let nothing = at("GET", "/system/functions").await;
    assert_eq!((nothing.status().as_u16(), text(&nothing).as_str()), (404, NOT_FOUND));
    let kind = at("GET", "/metrics").await;
    assert!(field(&kind, "content-type").starts_with("text/plain; version=0.0.4"), "{kind:?}");
    let ended =
        r#"gateway_function_invocation_total{function_name="long.openfaas-fn",code="200"} 1"#;
    let metrics = eventually("the count of the call", async || {
        Some(tidegate.metrics().await).filter(|all| all.lines().any(|line| line == ended))
    })
    .await;
    for line in [
        "# TYPE gateway_function_invocation_total counter",
        "# TYPE gateway_function_invocation_started counter",
        "# TYPE gateway_functions_seconds histogram",
        "# TYPE gateway_service_count gauge",
        r#"gateway_function_invocation_total{function_name="env.openfaas-fn",code="200"} 1"#,
        r#"gateway_function_invocation_started{function_name="env.openfaas-fn"} 1"#,
        r#"gateway_function_invocation_inflight{function_name="env.openfaas-fn"} 0"#,
        r#"gateway_service_count{function_name="env.openfaas-fn"} 1"#,
        r#"gateway_service_ready_count{function_name="env.openfaas-fn"} 1"#,
        r#"gateway_service_min{function_name="env.openfaas-fn"} 1"#,
        r#"gateway_functions_seconds_count{function_name="env.openfaas-fn",code="200"} 1"#,
        "tidegate_unknown_function_calls_total 1",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line} in\n{metrics}");
    }
    let bounds =
        ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0"];
    for bound in bounds.into_iter().chain(["+Inf"]) {
        let bucket = format!(
            r#"gateway_functions_seconds_bucket{{le="{bound}",function_name="env.openfaas-fn",code="200"}}"#
        );
        assert!(metrics.contains(&bucket), "{bucket} in\n{metrics}");
    }
    assert!(!metrics.contains("gateway_function_invocation_started_total"), "no suffix");
    assert!(!metrics.contains("nobody"), "unknown names make no series");
}
