//! Logs by `tail`, `since` and `follow`.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::client::{ask, connect, eventually, field, refused, shell, start, text};
use crate::support::{PATIENCE, Tidegate};

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
