//! Routes, methods, passwords, and what is no HTTP.

use http::Method;

use crate::client::{
    FUNCTIONS, NOT_FOUND, SECRETS, ask, cat, field, get, open, raw, refused, start, text,
};
use crate::support::Tidegate;

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
