//! `/system/secrets`.

use serde_json::json;
use tidegate_provider::fake::tells_secret;

use crate::world::World;

#[tokio::test]
async fn a_secret_lives_from_post_to_delete_and_its_value_stays_inside() {
    let world = World::new().await;
    let list = world.ask("GET /system/secrets").await;
    assert_eq!((list.status.as_u16(), list.text()), (200, "[]"));
    let body = json!({"name": "api-key", "value": "first"});
    world.tell("POST /system/secrets", &body).await.is_empty(202);
    let list = world.ask("GET /system/secrets?namespace=openfaas-fn").await;
    assert_eq!(list.json(), json!([{"name": "api-key", "namespace": "openfaas-fn"}]));

    world.tell("POST /system/secrets", &body).await.is_empty(409);
    world
        .deploy_with(
            "teller",
            json!({"envProcess": tells_secret("api-key"), "secrets": ["api-key"]}),
        )
        .await;
    assert_eq!(world.ask("GET /function/teller").await.text(), "first");
    let body = json!({"name": "api-key", "value": "ignored", "rawValue": "c2Vjb25k"});
    world.tell("PUT /system/secrets", &body).await.is_empty(202);
    assert_eq!(world.ask("GET /function/teller").await.text(), "second");

    let used = world.tell("DELETE /system/secrets", &json!({"name": "api-key"})).await;
    used.refuses(400, "used");
    let function = json!({"functionName": "teller"});
    world.tell("DELETE /system/functions", &function).await.is_empty(202);
    world.tell("DELETE /system/secrets", &json!({"name": "api-key"})).await.is_empty(202);
    assert_eq!(world.ask("GET /system/secrets").await.text(), "[]");
}

#[tokio::test]
async fn a_missing_secret_is_404() {
    let world = World::new().await;
    let body = json!({"name": "nope", "value": "x"});
    world.tell("PUT /system/secrets", &body).await.refuses(404, "nope");
    world.tell("DELETE /system/secrets", &body).await.refuses(404, "nope");
}

#[tokio::test]
async fn a_name_that_could_leave_its_folder_is_refused() {
    let world = World::new().await;
    for name in ["", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".a", "A", "a..b", "a\u{0}b", "ä"]
    {
        for method in ["POST", "PUT", "DELETE"] {
            let body = json!({"name": name, "value": "x"});
            let answer = world.tell(&format!("{method} /system/secrets"), &body).await;
            answer.refuses(400, "secret name");
        }
        let body = json!({"name": "s", "namespace": "../x", "value": "x"});
        world.tell("POST /system/secrets", &body).await.refuses(400, "namespace \"../x\"");
    }
    assert_eq!(world.ask("GET /system/secrets").await.text(), "[]");
}

#[tokio::test]
async fn a_refusal_never_repeats_a_value() {
    let world = World::new().await;
    for body in [
        r#"{"name":"s","rawValue":"!hunter2!"}"#,
        r#"{"name":"s","value":["hunter2"]}"#,
        r#"{"name":"s","value":"hunter2"#,
        r#"{"name":"../s","value":"hunter2"}"#,
        r#"["hunter2"]"#,
    ] {
        let answer = world.send("POST /system/secrets", &[], body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(!answer.text().contains("hunter2"), "{answer:?}");
    }
}

#[tokio::test]
async fn the_namespace_comes_from_query_or_body() {
    let world = World::new().await;
    let dev = json!({"name": "dev", "annotations": {"openfaas": "1"}});
    world.tell("POST /system/namespace/", &dev).await.is_empty(201);
    let body = json!({"name": "one", "namespace": "dev", "value": "x"});
    world.tell("POST /system/secrets", &body).await.is_empty(202);
    let body = json!({"name": "two", "value": "x"});
    world.tell("POST /system/secrets?namespace=dev", &body).await.is_empty(202);
    assert_eq!(world.ask("GET /system/secrets").await.text(), "[]");
    let list = world.ask("GET /system/secrets?namespace=dev").await.json();
    assert_eq!(
        list,
        json!([{"name": "one", "namespace": "dev"}, {"name": "two", "namespace": "dev"}])
    );
    world.tell("DELETE /system/secrets", &json!({"name": "one"})).await.refuses(404, "one");
    let body = json!({"name": "one"});
    world.tell("DELETE /system/secrets?namespace=dev", &body).await.is_empty(202);
}
