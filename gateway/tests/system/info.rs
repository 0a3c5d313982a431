//! `/system/info`, `/healthz`, the console, routes that are not there, and what is measured.

use serde_json::{Value, json};

use crate::world::{World, until};

#[tokio::test]
async fn the_info_has_no_null_and_no_empty_version() {
    let world = World::new().await;
    let info = world.ask("GET /system/info").await.json();
    assert_eq!(info["provider"]["provider"], "fake");
    assert_eq!(info["provider"]["orchestration"], "memory");
    for version in [&info["version"], &info["provider"]["version"]] {
        for key in ["release", "sha"] {
            assert!(version[key].as_str().is_some_and(|text| !text.is_empty()), "{info}");
        }
    }
    assert_ne!(info["arch"], "");
}

#[tokio::test]
async fn health_is_asked_without_a_password_and_ends_with_the_shutdown() {
    let world = World::new().await;
    world.ask("GET /healthz").await.is_empty(200);
    assert_eq!(world.ask("POST /healthz").await.status, 405);
}

#[tokio::test]
async fn the_root_leads_to_the_console_which_loads_nothing_from_elsewhere() {
    let world = World::new().await;
    let home = world.ask("GET /").await;
    assert_eq!((home.status.as_u16(), home.header("location")), (307, "/ui/"));
    for (path, kind) in [
        ("/ui/", "text/html; charset=utf-8"),
        ("/ui/app.js", "text/javascript; charset=utf-8"),
        ("/ui/style.css", "text/css; charset=utf-8"),
    ] {
        let answer = world.ask(&format!("GET {path}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, kind));
        assert!(answer.header("content-security-policy").contains("default-src 'self'"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(
            !answer.text().contains("http://") && !answer.text().contains("https://"),
            "{path}"
        );
        assert!(!answer.text().contains("innerHTML"), "{path}");
    }
}

#[tokio::test]
async fn what_is_no_route_is_404_and_a_wrong_method_405() {
    let world = World::new().await;
    for line in [
        "GET /nope",
        "GET /ui",
        "GET /metrics",
        "GET /system",
        "GET /system/",
        "GET /system/functions/",
        "GET /system/telemetry",
        "GET /async-function/cat",
        "POST /oauth/token",
        "GET /system//functions",
    ] {
        let answer = world.ask(line).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (404, "404 page not found\n"),
            "{line}"
        );
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    for line in [
        "POST /system/info",
        "PATCH /system/functions",
        "POST /system/function/cat",
        "GET /system/scale-function/cat",
        "GET /system/alert",
        "PATCH /system/secrets",
        "POST /system/logs",
        "POST /system/namespaces",
        "POST /ui/",
        "POST /",
    ] {
        let answer = world.ask(line).await;
        answer.is_empty(405);
        assert!(!answer.header("allow").is_empty(), "{line}");
    }
    assert_eq!(world.ask("PATCH /system/logs").await.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let world = World::new().await;
    world.deploy("cat").await;
    for path in ["/system/functions", "/system/function/cat", "/system/info", "/ui/"] {
        let (head, get) =
            (world.ask(&format!("HEAD {path}")).await, world.ask(&format!("GET {path}")).await);
        head.is_empty(200);
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        let cors = |name: &&http::HeaderName| name.as_str().starts_with("access-control");
        assert_eq!(get.headers.keys().find(cors), None, "{path}");
    }
    world.ask("HEAD /system/alert").await.is_empty(405);
}

#[tokio::test]
async fn requests_are_counted_by_method_path_and_status_with_bounded_labels() {
    let world = World::new().await;
    world.deploy("cat").await;
    world.ask("GET /system/function/cat").await;
    world.ask("GET /system/function/nope1").await;
    world.ask("GET /system/function/nope2").await;
    world.ask("GET /system/whatever/else").await;
    world.ask("GET /function/cat").await;
    let page = world.scrape().await;
    let count = |method: &str, path: &str, status: &str| {
        let found = page.lines().find(|line| {
            line.starts_with("http_requests_total{")
                && line.contains(&format!("method=\"{method}\""))
                && line.contains(&format!("path=\"{path}\""))
                && line.contains(&format!("status=\"{status}\""))
        });
        found.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    assert_eq!(count("POST", "/system/functions", "202").as_deref(), Some("1"), "{page}");
    assert_eq!(count("GET", "/system/function/{name}", "200").as_deref(), Some("1"));
    assert_eq!(count("GET", "/system/function/{name}", "404").as_deref(), Some("2"));
    assert!(page.contains("http_request_duration_seconds_bucket{"));
    assert!(!page.contains("nope1") && !page.contains("whatever"), "{page}");
}

#[tokio::test]
async fn a_removed_function_leaves_list_table_and_metrics() {
    let world = World::new().await;
    world.deploy("cat").await;
    assert!(world.scrape().await.contains("cat.openfaas-fn"));
    world.tell("DELETE /system/functions", &json!({"functionName": "cat"})).await.is_empty(202);
    until(|| world.table.is_empty()).await;
    assert!(!world.scrape().await.contains("cat.openfaas-fn"));
    assert_eq!(world.ask("GET /function/cat").await.status, 404);
    let list: Value = world.ask("GET /system/functions").await.json();
    assert_eq!(list, json!([]));
}
