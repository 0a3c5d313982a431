//! Who may use the management API: basic auth, and nobody's web page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tidegate_gateway::auth::Credentials;
use tidegate_provider::fake::FakeProvider;

use crate::world::{World, deployment};

const GUARDED: [&str; 20] = [
    "GET /system/info",
    "GET /system/functions",
    "POST /system/functions",
    "PUT /system/functions",
    "DELETE /system/functions",
    "GET /system/function/cat",
    "POST /system/scale-function/cat",
    "GET /system/scaling/cat",
    "POST /system/alert",
    "GET /system/secrets",
    "POST /system/secrets",
    "PUT /system/secrets",
    "DELETE /system/secrets",
    "GET /system/logs?name=cat",
    "GET /system/namespaces",
    "GET /system/namespace/x",
    "POST /system/namespace/",
    "DELETE /system/namespace/x",
    "GET /ui/",
    "GET /ui/app.js",
];

async fn guarded() -> World {
    World::over(FakeProvider::default(), |config| {
        config.auth =
            Some(Credentials { user: "admin".to_owned(), password: "pass:word é".to_owned() });
    })
    .await
}

fn basic(user_and_password: &str) -> String {
    format!("Basic {}", STANDARD.encode(user_and_password))
}

#[tokio::test]
async fn without_the_password_every_guarded_route_is_401() {
    let world = guarded().await;
    for line in GUARDED {
        let answer = world.ask(line).await;
        assert_eq!(answer.status, 401, "{line}");
        assert_eq!(answer.text(), "invalid credentials", "{line}");
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"Restricted\"", "{line}");
    }
    assert_eq!(world.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn only_user_and_password_together_open() {
    let world = guarded().await;
    let ask = async |value: &str| {
        let headers = [("authorization", value)];
        world.send("GET /system/functions", &headers, "").await.status.as_u16()
    };
    assert_eq!(ask(&basic("admin:pass:word é")).await, 200);
    assert_eq!(ask(&basic("admin:pass:word é").replacen("Basic", "bASIC", 1)).await, 200);
    for bad in [
        "",
        "Basic",
        "Basic ",
        "Basic %%%",
        "Bearer ",
        "Bearer abc",
        &basic(""),
        &basic("admin"),
        &basic("admin:"),
        &basic("admin:pass"),
        &basic("admin:pass:word é "),
        &basic("Admin:pass:word é"),
        &basic(":pass:word é"),
    ] {
        assert_eq!(ask(bad).await, 401, "{bad:?}");
    }
}

#[tokio::test]
async fn functions_health_and_the_root_need_no_password() {
    let world = guarded().await;
    assert_eq!(world.ask("GET /healthz").await.status, 200);
    assert_eq!(world.ask("GET /").await.status, 307);
    assert_eq!(world.ask("GET /function/nope").await.status, 404);
    assert_eq!(world.ask("GET /nope").await.status, 404);
}

#[tokio::test]
async fn without_auth_an_authorization_header_means_nothing() {
    let world = World::new().await;
    let headers = [("authorization", "Bearer ")];
    assert_eq!(world.send("GET /system/functions", &headers, "").await.status, 200);
}

#[tokio::test]
async fn another_sites_page_cannot_use_the_password_a_browser_remembers() {
    let world = guarded().await;
    let login = basic("admin:pass:word é");
    let body = deployment("cat").to_string();
    for site in ["cross-site", "same-site"] {
        let headers = [
            ("authorization", login.as_str()),
            ("sec-fetch-site", site),
            ("content-type", "text/plain"),
        ];
        let answer = world.send("POST /system/functions", &headers, body.clone()).await;
        answer.refuses(403, "another site may");
    }
    let headers = [("authorization", login.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(world.send("POST /system/functions", &headers, body).await.status, 202);
    let delete = json!({"functionName": "cat"}).to_string();
    let headers = [("authorization", login.as_str()), ("sec-fetch-site", "none")];
    assert_eq!(world.send("DELETE /system/functions", &headers, delete).await.status, 202);
}
