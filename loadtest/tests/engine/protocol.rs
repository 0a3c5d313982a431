//! HTTP/1.1 as servers speak it: framing, keep-alive, redirects, proxies, and what goes out.

use std::time::Duration;

use http::HeaderValue;

use super::server::{Act, Server, answer, at_once, ok};
use super::*;

/// Every answer is the same.
async fn always(bytes: &'static [u8]) -> Server {
    Server::start(move |_, _| Act::Send(Duration::ZERO, bytes.to_vec())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_what_was_asked_for() {
    let server = Server::start(|_, _| at_once()).await;
    let mut plan = plan(&server.url("/path?q=1"), 1, 1);
    let target = &mut plan.targets[0];
    target.method = http::Method::POST;
    target.body = "hello".into();
    target.headers.insert("x-test", HeaderValue::from_static("yes"));
    target.headers.insert("host", HeaderValue::from_static("other.example"));
    target.headers.insert("content-length", HeaderValue::from_static("999"));
    results(&plan).await;
    let seen = server.seen().remove(0);
    let expected = "POST /path?q=1 HTTP/1.1\r\nHost: other.example\r\n";
    assert!(seen.starts_with(expected), "{seen}");
    for part in [
        "x-test: yes\r\n",
        "Content-Length: 5\r\n",
        "accept-encoding: gzip\r\n",
        "user-agent: tidegate-load/",
    ] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
    assert!(!seen.contains("999") && seen.ends_with("\r\n\r\nhello"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_compression_and_no_keepalive() {
    let server = Server::start(|_, _| at_once()).await;
    let mut plan = plan(&server.url("/"), 6, 2);
    plan.transport.no_compression = true;
    plan.transport.no_keepalive = true;
    let total = results(&plan).await.total;
    assert_eq!((total.answered, total.errors, server.connections()), (6, 0, 6));
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.contains("connection: close") && !seen.contains("gzip"))
    );
    assert!(total.phases[0].min > 0.0, "every call dials");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_in_every_framing_are_counted() {
    let chunked = always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n").await;
    let total = results(&plan(&chunked.url("/"), 10, 1)).await.total;
    assert_eq!((total.answered, total.bytes, chunked.connections()), (10, 50, 1));

    let until_close =
        Server::start(|_, _| Act::SendAndClose(b"HTTP/1.1 200 OK\r\n\r\nabcd".to_vec())).await;
    let total = results(&plan(&until_close.url("/"), 5, 1)).await.total;
    assert_eq!((total.answered, total.bytes, until_close.connections()), (5, 20, 5));

    let hinted = always(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").await;
    let total = results(&plan(&hinted.url("/"), 5, 1)).await.total;
    assert_eq!((total.statuses, hinted.connections()), ([(204, 5)].into(), 1));

    let head = always(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    let mut asked = plan(&head.url("/"), 5, 1);
    asked.targets[0].method = http::Method::HEAD;
    let total = results(&asked).await.total;
    assert_eq!((total.answered, total.bytes, head.connections()), (5, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_big_body_goes_out_and_comes_back() {
    let server = Server::start(|_, request| {
        Act::Send(Duration::ZERO, ok(&request[request.len() - 1_000_000..]))
    })
    .await;
    let mut plan = plan(&server.url("/"), 4, 2);
    plan.targets[0].method = http::Method::PUT;
    plan.targets[0].body = vec![b'b'; 1_000_000].into();
    let total = results(&plan).await.total;
    assert_eq!((total.answered, total.bytes), (4, 4_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_closed_while_idle_are_replaced() {
    let server = Server::start(|_, _| Act::SendAndClose(ok("bye"))).await;
    let total = results(&plan(&server.url("/"), 20, 2)).await.total;
    assert_eq!((total.answered, total.errors), (20, 0), "{:?}", total.failures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_are_followed_or_not() {
    let act = |_: u64, request: &str| match request.split(' ').nth(1).unwrap() {
        "/" => Act::Send(Duration::ZERO, answer("302 Found", "Location: next?a=b#c\r\n", "")),
        "/keep" => {
            Act::Send(Duration::ZERO, answer("307 Temporary Redirect", "Location: /next\r\n", ""))
        }
        "/loop" => {
            Act::Send(Duration::ZERO, answer("301 Moved Permanently", "Location: /loop\r\n", ""))
        }
        _ => at_once(),
    };
    let server = Server::start(act).await;
    let mut plan = plan(&server.url("/"), 1, 1);
    plan.targets[0].method = http::Method::POST;
    plan.targets[0].body = "data".into();
    assert_eq!(results(&plan).await.total.statuses, [(200, 1)].into());
    assert!(server.seen()[1].starts_with("GET /next?a=b HTTP/1.1\r\n"), "{:?}", server.seen());
    plan.targets[0].uri = server.url("/keep").parse().unwrap();
    results(&plan).await;
    assert!(server.seen()[3].starts_with("POST /next ") && server.seen()[3].ends_with("data"));
    plan.transport.no_redirects = true;
    assert_eq!(results(&plan).await.total.statuses, [(307, 1)].into());
    plan.transport.no_redirects = false;
    plan.targets[0].uri = server.url("/loop").parse().unwrap();
    let total = results(&plan).await.total;
    assert_eq!(total.failures, [("stopped after 10 redirects".to_owned(), 1)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_stay_with_their_host() {
    let other = Server::start(|_, _| at_once()).await;
    let location = format!("Location: http://localhost:{}/there\r\n", other.address.port());
    let server =
        Server::start(move |_, _| Act::Send(Duration::ZERO, answer("302 Found", &location, "")))
            .await;
    let url = format!("http://me:secret@{}/", server.address);
    assert_eq!(results(&plan(&url, 1, 1)).await.total.statuses, [(200, 1)].into());
    // `me:secret` as a header, not in the address.
    assert!(server.seen()[0].contains("authorization: Basic bWU6c2VjcmV0\r\n"));
    assert!(server.seen()[0].contains(&format!("Host: {}\r\n", server.address)));
    assert!(!other.seen()[0].contains("authorization"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_gets_the_whole_address() {
    let proxy = Server::start(|_, _| at_once()).await;
    let mut plan = plan("http://service.invalid:8080/path", 2, 1);
    plan.transport.proxy = Some(format!("http://u:p@{}", proxy.address).parse().unwrap());
    assert_eq!(results(&plan).await.total.answered, 2);
    let seen = proxy.seen();
    assert!(seen[0].starts_with(
        "GET http://service.invalid:8080/path HTTP/1.1\r\nHost: service.invalid:8080\r\n"
    ));
    assert!(seen[0].contains("Proxy-Authorization: Basic dTpw\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_lead_where_they_are_told() {
    let server = Server::start(|_, _| at_once()).await;
    let mut plan = plan("http://service.invalid/", 2, 1);
    plan.transport.connect_to = Some(server.address);
    assert_eq!(results(&plan).await.total.answered, 2);
    assert!(server.seen()[0].contains("Host: service.invalid\r\n"));
}
