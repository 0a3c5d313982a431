//! `/system/logs`.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tidegate_core::FunctionId;

use crate::world::{World, within};

/// The next message of a stream; `None` at its end.
async fn next(body: &mut Incoming) -> Option<Value> {
    let frame = within(body.frame()).await?.expect("the stream is whole");
    let line: Bytes = frame.into_data().expect("no trailers");
    assert_eq!(line.last(), Some(&b'\n'), "one line a frame");
    Some(serde_json::from_slice(&line).expect("a line is JSON"))
}

async fn chatty(lines: &[&'static str]) -> World {
    let world = World::new().await;
    world.deploy("cat").await;
    for line in lines {
        assert_eq!(world.send("POST /function/cat", &[], *line).await.status, 200);
    }
    world
}

fn texts(body: &str) -> Vec<String> {
    let line = |line: &str| serde_json::from_str::<Value>(line).expect("a line is JSON");
    let text = |line: Value| line["text"].as_str().expect("a text").to_owned();
    body.lines().map(line).map(text).collect()
}

#[tokio::test]
async fn lines_come_as_ndjson_with_every_key() {
    let world = chatty(&["one", "two\"\u{1}"]).await;
    let answer = world.ask("GET /system/logs?name=cat").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert_eq!(texts(answer.text()), ["one", "two\"\u{1}"]);
    let first: Value =
        serde_json::from_str(answer.text().lines().next().expect("a line")).expect("JSON");
    let keys: Vec<_> = first.as_object().expect("an object").keys().cloned().collect();
    for key in ["name", "namespace", "instance", "timestamp", "text"] {
        assert!(keys.contains(&key.to_owned()), "{key}");
    }
    assert_eq!((&first["name"], &first["namespace"]), (&"cat".into(), &"openfaas-fn".into()));
}

#[tokio::test]
async fn the_newest_lines_can_be_asked_for() {
    let world = chatty(&["one", "two", "three"]).await;
    for (query, wanted) in [
        ("tail=1", &["three"][..]),
        ("tail=2", &["two", "three"]),
        ("tail=0", &["one", "two", "three"]),
        ("tail=-1", &["one", "two", "three"]),
        ("tail=5&tail=1", &["three"]),
        ("since=2001-01-01T00:00:00Z", &["one", "two", "three"]),
        ("since=2001-01-01T00:00:00%2B02:00&tail=1", &["three"]),
        ("since=2999-01-01T00:00:00Z", &[]),
        ("follow=nonsense&namespace=openfaas-fn", &["one", "two", "three"]),
        ("instance=nobody", &[]),
    ] {
        let answer = world.ask(&format!("GET /system/logs?name=cat&{query}")).await;
        assert_eq!(answer.status, 200, "{query} {answer:?}");
        assert_eq!(texts(answer.text()), wanted, "{query}");
    }
}

#[tokio::test]
async fn following_goes_on_line_by_line_until_the_function_is_gone() {
    let world = chatty(&["one"]).await;
    let mut body =
        world.open("GET /system/logs?name=cat&follow=1&tail=-1", &[], "").await.into_body();
    assert_eq!(next(&mut body).await.expect("a line")["text"], "one");
    world.send("POST /function/cat", &[], "two").await;
    assert_eq!(next(&mut body).await.expect("a line")["text"], "two");
    let id = FunctionId::parse("cat").expect("a name");
    world.provider.delete(&id).await.expect("it is deployed");
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn following_ends_cleanly_when_the_gateway_stops() {
    let world = chatty(&["one"]).await;
    let mut body = world.open("GET /system/logs?name=cat&follow=true", &[], "").await.into_body();
    assert_eq!(next(&mut body).await.expect("a line")["text"], "one");
    world.shutdown.cancel();
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn bad_queries_are_422_and_unknown_functions_404() {
    let world = chatty(&[]).await;
    for query in ["tail=x", "tail=1.5", "tail=99999999999999999999", "since=yesterday", "since=0"] {
        let answer = world.ask(&format!("GET /system/logs?name=cat&{query}")).await;
        answer.refuses(422, "could not parse the log request");
    }
    world.ask("GET /system/logs?name=nope").await.refuses(404, "nope");
    for query in ["", "?name=", "?name=../x", "?follow=1"] {
        assert_eq!(world.ask(&format!("GET /system/logs{query}")).await.status, 400, "{query}");
    }
}
