//! What reaches the function, and what comes back: paths, headers, statuses.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::world::{Answer, Peer, Received, World, constant, read_until, replica, status};

/// A replica that tells what it received.
async fn spy(world: &World) -> mpsc::UnboundedReceiver<Received> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let address = replica(move |mut peer: Peer| {
        let sender = sender.clone();
        async move {
            while let Some(received) = peer.head().await {
                let _ = sender.send(received);
                peer.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: X-Hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: 5\r\nx-mine: yes\r\nx-mine: too\r\n\r\nok").await;
            }
        }
    })
    .await;
    world.table.upsert(&status("spy", &[address]));
    receiver
}

#[tokio::test]
async fn paths_and_queries_arrive_byte_for_byte() {
    let world = World::new().await;
    let mut received = spy(&world).await;
    let cases = [
        ("/function/spy", "/"),
        ("/function/spy/", "/"),
        ("/function/spy?a=b", "/?a=b"),
        ("/function/spy.openfaas-fn/a/b/", "/a/b/"),
        ("/function/spy/a//b/./c/../d", "/a//b/./c/../d"),
        ("/function/spy/%2Fx%3Fy%23z%25zz?q=%zz&r=%20+/../", "/%2Fx%3Fy%23z%25zz?q=%zz&r=%20+/../"),
        ("/function/spy//", "//"),
        ("http://elsewhere/function/spy/abs", "/abs"),
    ];
    for (path, expected) in cases {
        assert_eq!(world.get(path).await.status, 200, "{path}");
        let line = received.recv().await.expect("it arrived").line;
        assert_eq!(line, format!("GET {expected} HTTP/1.1"), "{path}");
    }
}

#[tokio::test]
async fn any_method_arrives() {
    let world = World::new().await;
    let mut received = spy(&world).await;
    for method in ["POST", "DELETE", "OPTIONS", "BREW", "PATCH"] {
        let answer = world
            .raw(format!("{method} /function/spy HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
            .await;
        assert_eq!(Answer::parse(&answer).status, 200);
        let received = received.recv().await.expect("it arrived");
        assert_eq!(received.line, format!("{method} / HTTP/1.1"));
        assert_eq!(received.all("content-length"), ["0"]);
        assert!(received.all("transfer-encoding").is_empty());
    }
}

#[tokio::test]
async fn headers_are_those_of_a_proxy_that_keeps_the_rules() {
    let world = World::new().await;
    let mut received = spy(&world).await;
    let answer = world
        .raw(
            "GET /function/spy HTTP/1.1\r\nHost: shop.example\r\nX-Call-Id: mine\r\nConnection: close, X-Secret\r\n\
             X-Secret: 1\r\nAuthorization: Bearer t\r\nCookie: a=b\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n",
        )
        .await;
    let received = received.recv().await.expect("it arrived");
    assert_eq!(received.all("host"), ["shop.example"]);
    assert_eq!(received.all("x-call-id"), ["mine"]);
    assert_eq!(received.all("x-forwarded-for"), ["9.9.9.9, 127.0.0.1"]);
    assert_eq!(received.all("x-forwarded-host"), ["shop.example"]);
    assert_eq!(received.all("x-forwarded-proto"), ["http"]);
    assert_eq!(received.all("authorization"), ["Bearer t"]);
    assert_eq!(received.all("cookie"), ["a=b"]);
    assert!(received.all("x-secret").is_empty() && received.all("connection").is_empty());
    assert!(received.all("accept-encoding").is_empty());
    assert_eq!(received.all("x-start-time")[0].len(), 19);

    let answer = Answer::parse(&answer);
    assert_eq!(answer.body, "ok");
    assert_eq!(answer.header("x-call-id"), "mine");
    assert_eq!(answer.header("x-start-time"), received.all("x-start-time")[0]);
    assert_eq!(answer.header("content-length"), "2");
    assert_eq!(answer.all("x-mine"), ["yes", "too"]);
    assert!(answer.header("x-served-by").starts_with("tidegate/"));
    assert!(answer.header("x-duration-seconds").parse::<f64>().expect("seconds") >= 0.0);
    assert!(answer.all("x-hop").is_empty() && answer.all("keep-alive").is_empty());
    assert!(answer.all("x-tidegate-waited").is_empty());
}

#[tokio::test]
async fn the_functions_own_duration_is_kept() {
    let world = World::new().await;
    let address = replica(|mut peer| async move {
        peer.head().await;
        peer.write("HTTP/1.1 201 Made\r\nx-duration-seconds: 7.5\r\ncontent-length: 0\r\n\r\n")
            .await;
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    let answer = world.get("/function/f").await;
    assert_eq!((answer.status, answer.header("x-duration-seconds")), (201, "7.5"));
}

#[tokio::test]
async fn one_connection_carries_many_calls() {
    let world = World::new().await;
    let connections = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let address = replica(move |mut peer| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            while peer.head().await.is_some() {
                peer.answer("hello").await;
            }
        }
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    let mut stream = world.connect().await;
    for _ in 0..50 {
        stream.write_all(b"GET /function/f HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it reads");
        read_until(&mut stream, "hello").await;
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_unknown_function_is_404_and_makes_no_series() {
    let world = World::new().await;
    for path in ["/function/nope", "/function/nope.other/x", "/function/a%20b", "/function/nope?x"]
    {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.starts_with("error finding function "), "{}", answer.body);
        assert_eq!(answer.header("x-tidegate-error"), "unknown_function");
        assert_eq!(answer.header("x-openfaas-internal"), "gateway");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(!answer.header("x-call-id").is_empty());
    }
    assert_eq!(world.get("/function/").await.status, 400);
    let metrics = world.scrape().await;
    assert!(metrics.contains("tidegate_unknown_function_calls_total 4\n"), "{metrics}");
    assert!(!metrics.contains("nope"));
}

#[tokio::test]
async fn another_namespace_is_never_fallen_back_to() {
    let world = World::new().await;
    let (here, there) = (constant("here").await, constant("there").await);
    world.table.upsert(&status("f", &[here]));
    world.table.upsert(&status("f.dev", &[there]));
    assert_eq!(world.get("/function/f").await.body, "here");
    assert_eq!(world.get("/function/f.openfaas-fn").await.body, "here");
    assert_eq!(world.get("/function/f.dev").await.body, "there");
    assert_eq!(world.get("/function/f.prod").await.status, 404);
    world.table.remove(&"f.dev".parse_id());
    assert_eq!(world.get("/function/f.dev").await.status, 404);
    assert_eq!(world.table.len(), 1);
}

#[tokio::test]
async fn before_the_provider_has_told_all_an_unknown_name_is_503() {
    let world = World::build(|_| {}, false).await;
    let answer = world.get("/function/f").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    let health = world.get("/healthz").await;
    assert_eq!((health.status, health.header("retry-after")), (503, "1"));
    assert_eq!(health.body, "the list of functions is not read yet\n");
    world.table.set_synced();
    assert_eq!(world.get("/function/f").await.status, 404);
}

#[tokio::test]
async fn an_oversized_head_is_431() {
    let world = World::new().await;
    let head = format!("GET /function/f HTTP/1.1\r\nhost: x\r\nx-big: {}", "a".repeat(2 << 20));
    let mut client = world.connect().await;
    // The gateway need not read all of it.
    let _ = client.write_all(head.as_bytes()).await;
    let answer = read_until(&mut client, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// Names as ids.
trait ParseId {
    fn parse_id(&self) -> tidegate_core::FunctionId;
}

impl ParseId for str {
    fn parse_id(&self) -> tidegate_core::FunctionId {
        tidegate_core::FunctionId::parse(self).expect("a good name")
    }
}
