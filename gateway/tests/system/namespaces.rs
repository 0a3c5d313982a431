//! `/system/namespaces` and `/system/namespace/{name}`.

use serde_json::{Value, json};
use tidegate_provider::Capabilities;
use tidegate_provider::fake::FakeProvider;

use crate::world::World;

fn marked(name: &str) -> Value {
    json!({"name": name, "labels": {"openfaas": "1"}, "annotations": {"openfaas": "1"}})
}

#[tokio::test]
async fn the_default_namespace_is_always_there() {
    let world = World::new().await;
    let answer = world.ask("GET /system/namespaces").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, r#"["openfaas-fn"]"#));
    assert_eq!(answer.header("content-type"), "application/json");
    let one = world.ask("GET /system/namespace/openfaas-fn").await.json();
    assert_eq!(one, json!({"name": "openfaas-fn"}));
}

#[tokio::test]
async fn a_namespace_lives_from_post_to_delete() {
    let world = World::new().await;
    world.tell("POST /system/namespace/", &marked("dev")).await.is_empty(201);
    world.tell("POST /system/namespace/", &marked("dev")).await.refuses(409, "dev");
    assert_eq!(world.ask("GET /system/namespaces").await.json(), json!(["dev", "openfaas-fn"]));
    let found = world.ask("GET /system/namespace/dev").await.json();
    assert_eq!(found, marked("dev"));

    let changed = json!({"name": "dev", "labels": {"openfaas": "1", "team": "a"}});
    world.tell("PUT /system/namespace/dev", &changed).await.is_empty(202);
    let found = world.ask("GET /system/namespace/dev").await.json();
    assert_eq!(found, changed, "the label set is replaced");

    world.tell("DELETE /system/namespace/dev", &marked("dev")).await.is_empty(202);
    world.ask("GET /system/namespace/dev").await.refuses(404, "dev");
    world.tell("DELETE /system/namespace/dev", &marked("dev")).await.refuses(404, "dev");
    world.tell("PUT /system/namespace/dev", &marked("dev")).await.refuses(404, "dev");
}

#[tokio::test]
async fn either_marker_will_do_and_one_is_needed() {
    let world = World::new().await;
    let label = json!({"name": "a", "labels": {"openfaas": "1"}});
    world.tell("POST /system/namespace/", &label).await.is_empty(201);
    let annotation = json!({"name": "b", "annotations": {"openfaas": "1"}});
    world.tell("POST /system/namespace/", &annotation).await.is_empty(201);
    for bad in [json!({"name": "c"}), json!({"name": "c", "labels": {"openfaas": "0"}})] {
        world.tell("POST /system/namespace/", &bad).await.refuses(400, "openfaas");
        world.tell("PUT /system/namespace/c", &bad).await.refuses(400, "openfaas");
    }
}

#[tokio::test]
async fn reserved_and_bad_names_are_refused() {
    let world = World::new().await;
    for name in ["kube-system", "openfaas", "openfaas-fn", "A", "a.b", "../x", ""] {
        let answer = world.tell("POST /system/namespace/", &marked(name)).await;
        answer.refuses(400, "namespace");
    }
    for name in ["kube-system", "openfaas", "openfaas-fn"] {
        let line = format!("PUT /system/namespace/{name}");
        world.tell(&line, &marked(name)).await.refuses(400, "reserved");
        let line = format!("DELETE /system/namespace/{name}");
        world.tell(&line, &marked(name)).await.refuses(400, "reserved");
    }
    world.tell("PUT /system/namespace/a", &marked("b")).await.refuses(400, "\"b\"");
    let answer = world.tell("POST /system/namespace/a", &marked("b")).await;
    answer.refuses(400, "\"b\"");
}

#[tokio::test]
async fn a_namespace_with_functions_stays() {
    let world = World::new().await;
    world.tell("POST /system/namespace/", &marked("dev")).await.is_empty(201);
    world.deploy_with("cat", json!({"namespace": "dev"})).await;
    world.tell("DELETE /system/namespace/dev", &marked("dev")).await.refuses(400, "dev");
    let found = world.ask("GET /system/function/cat?namespace=dev").await;
    assert_eq!(found.status, 200);
}

#[tokio::test]
async fn the_documented_plural_path_is_served_by_nobody() {
    let world = World::new().await;
    for line in ["GET /system/namespaces/", "GET /system/namespaces/openfaas-fn"] {
        world.ask(line).await.refuses(404, "404 page not found");
    }
}

#[tokio::test]
async fn a_provider_without_namespaces_still_lists_the_default_one() {
    let provider = FakeProvider::default().with(Capabilities::default());
    let world = World::over(provider, |_| {}).await;
    assert_eq!(world.ask("GET /system/namespaces").await.json(), json!(["openfaas-fn"]));
}
