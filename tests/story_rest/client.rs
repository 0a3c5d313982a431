//! The client of the story: asks, and looks at what all answers have in common.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support;
use crate::support::{PATIENCE, Start, Tidegate};

pub const FUNCTIONS: &str = "/system/functions";
pub const SECRETS: &str = "/system/secrets";
pub const NOT_FOUND: &str = "404 page not found\n";

pub fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).expect("a method")
}

pub fn text(response: &Response<Bytes>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

pub fn value(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body())
        .unwrap_or_else(|error| panic!("{error}: {}", text(response)))
}

pub fn field<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

/// Asks with the password and expects a status.
pub async fn ask(
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

pub async fn get(tidegate: &Tidegate, path: &str) -> Value {
    let response = ask(tidegate, "GET", path, "", 200).await;
    assert_eq!(field(&response, "content-type"), "application/json", "{path}");
    value(&response)
}

pub async fn send(tidegate: &Tidegate, verb: &str, path: &str, body: Value, status: u16) -> String {
    text(&ask(tidegate, verb, path, body.to_string(), status).await)
}

/// A refusal: one or more plain lines, which no client can take for an answer in JSON.
pub async fn refused(
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
pub async fn open(tidegate: &Tidegate, verb: &str, path: &str) -> Response<Bytes> {
    let request = Request::builder().method(method(verb)).uri(format!("{}{path}", tidegate.url));
    tidegate.send(request.body(Full::default()).expect("a good request")).await
}

pub async fn connect(tidegate: &Tidegate) -> TcpStream {
    let address = tidegate.url.trim_start_matches("http://");
    TcpStream::connect(address).await.expect("tidegate listens")
}

/// Sends these bytes and gives all that comes back until the connection is closed.
pub async fn raw(tidegate: &Tidegate, request: &str) -> String {
    let mut stream = connect(tidegate).await;
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // A reset instead of an end is an end too: what came before it counts.
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.unwrap_or_else(|_| panic!("the connection stays open after {request:?}"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Tries again until `done` gives something.
pub async fn eventually<T>(what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
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
pub async fn start() -> Tidegate {
    let tidegate = Start::new().start();
    eventually("the demo function", async || {
        let list = get(&tidegate, FUNCTIONS).await;
        (list[0]["name"] == "hello").then_some(())
    })
    .await;
    send(&tidegate, "DELETE", FUNCTIONS, json!({"functionName": "hello"}), 202).await;
    tidegate
}

pub fn cat(name: &str) -> Value {
    json!({"service": name, "image": "none", "envProcess": "cat"})
}

/// `cat` with labels that bound its count.
pub fn labelled(name: &str, labels: Value) -> Value {
    let mut function = cat(name);
    function["labels"] = labels;
    function
}

/// A function that runs a line of shell for each call.
pub fn shell(name: &str, line: &str) -> Value {
    json!({
        "service": name, "image": "none", "envProcess": format!("sh -c '{line}'"),
        "envVars": {"mode": "streaming", "fprocess_split": "shell", "access_log": "false"},
    })
}

pub fn python(name: &str, file: &str) -> Value {
    let script = support::functions().join(file);
    json!({
        "service": name, "image": "none", "envProcess": format!("python3 {}", script.display()),
        "envVars": {"mode": "http"},
    })
}

pub fn namespace(name: &str) -> Value {
    json!({"name": name, "labels": {"openfaas": "1"}})
}

pub async fn make_namespace(tidegate: &Tidegate, name: &str) {
    assert_eq!(send(tidegate, "POST", "/system/namespace/", namespace(name), 201).await, "");
}
