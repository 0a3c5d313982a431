//! Calls: what the function sees of the request, and the client of the answer.

use http::Method;

use crate::client::{field, open, python, raw, start, text};
use crate::support::Tidegate;

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
