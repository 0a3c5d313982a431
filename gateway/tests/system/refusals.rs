//! Bad input: a clear 4xx, and nothing changed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_gateway::LabelCheck;
use tidegate_provider::fake::FakeProvider;

use crate::world::{World, deployment};

/// Deploys `name` with these keys and expects a refusal.
async fn refused(world: &World, more: Value, why: &str) {
    let mut body = deployment("cat");
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    world.tell("POST /system/functions", &body).await.refuses(400, why);
    assert_eq!(world.ask("GET /system/functions").await.text(), "[]", "{more}");
}

#[tokio::test]
async fn a_bad_deployment_is_refused_with_what_is_wrong() {
    let world = World::new().await;
    for (more, why) in [
        (json!({"service": ""}), "function name \"\" is not valid"),
        (json!({"service": "../etc/passwd"}), "function name \"../etc/passwd\" is not valid"),
        (json!({"service": "a/b"}), "is not valid"),
        (json!({"service": "cat.dev"}), "is not valid"),
        (json!({"service": "x".repeat(64)}), "1 to 63"),
        (json!({"namespace": "../x"}), "namespace \"../x\" is not valid"),
        (json!({"namespace": "nope"}), "nope"),
        (json!({"image": "", "envProcess": ""}), "neither image nor envProcess"),
        (json!({"labels": {"com.openfaas.scale.min": "0"}}), "com.openfaas.scale.min: \"0\""),
        (json!({"labels": {"com.openfaas.scale.zero": "maybe"}}), "use true or false"),
        (json!({"limits": {"memory": "128MB"}}), "memory"),
        (json!({"requests": {"cpu": "fast"}}), "cpu"),
        (json!({"annotations": {"com.tidegate.limit.rate": "often"}}), "com.tidegate.limit.rate"),
        (json!({"secrets": ["../../etc/shadow"]}), "secret name \"../../etc/shadow\""),
        (json!({"secrets": ["missing"]}), "missing"),
        (json!({"envVars": {"a=b": "c"}}), "variable name \"a=b\""),
        (
            json!({"envVars": {"max_inflight": "many"}}),
            "variable max_inflight=\"many\" is not allowed",
        ),
        (json!({"labels": ["a"]}), "labels"),
        (json!({"secrets": "a"}), "secrets"),
        (json!({"service": 3}), "service"),
    ] {
        refused(&world, more, why).await;
    }
}

#[tokio::test]
async fn every_bad_label_is_named_at_once() {
    let world = World::new().await;
    let labels = json!({"com.openfaas.scale.min": "x", "com.openfaas.scale.target": "-1"});
    let mut body = deployment("cat");
    body["labels"] = labels;
    let answer = world.tell("POST /system/functions", &body).await;
    answer.refuses(400, "com.openfaas.scale.min");
    answer.refuses(400, "com.openfaas.scale.target");
    assert_eq!(answer.text().lines().count(), 2, "{answer:?}");
}

#[tokio::test]
async fn what_others_say_of_labels_is_told_beside() {
    let judge = |labels: &BTreeMap<String, String>| match labels.contains_key("bad") {
        true => Err("label bad: say good".to_owned()),
        false => Ok(()),
    };
    let check = LabelCheck::new(judge);
    let world = World::over(FakeProvider::default(), |config| config.label_check = check).await;
    let mut body = deployment("cat");
    body["labels"] = json!({"bad": "x", "com.openfaas.scale.min": "x"});
    let answer = world.tell("POST /system/functions", &body).await;
    answer.refuses(400, "label bad: say good");
    answer.refuses(400, "com.openfaas.scale.min");
    assert_eq!(answer.text().lines().count(), 2, "{answer:?}");
    body["labels"] = json!({"bad": "x"});
    world.tell("POST /system/functions", &body).await.refuses(400, "label bad: say good");
    assert_eq!(world.asked(), Vec::<String>::new());
    body["labels"] = json!({"good": "x"});
    assert_eq!(world.tell("POST /system/functions", &body).await.status, 202);
}

#[tokio::test]
async fn a_namespace_said_twice_must_be_the_same() {
    let world = World::new().await;
    let mut body = deployment("cat");
    body["namespace"] = json!("a");
    world.tell("POST /system/functions?namespace=b", &body).await.refuses(400, "give one of them");
    world.tell("PUT /system/functions?namespace=b", &body).await.refuses(400, "give one of them");
    let delete = json!({"functionName": "cat", "namespace": "a"});
    world.tell("DELETE /system/functions?namespace=b", &delete).await.refuses(400, "give one");
    let scale = json!({"serviceName": "cat", "replicas": 1, "namespace": "a"});
    world.tell("POST /system/scale-function/cat?namespace=b", &scale).await.refuses(400, "give");
    let secret = json!({"name": "s", "value": "v", "namespace": "a"});
    world.tell("POST /system/secrets?namespace=b", &secret).await.refuses(400, "give one of them");
}

#[tokio::test]
async fn malformed_json_is_refused_everywhere() {
    let world = World::new().await;
    world.deploy("cat").await;
    for line in [
        "POST /system/functions",
        "PUT /system/functions",
        "DELETE /system/functions",
        "POST /system/scale-function/cat",
        "POST /system/alert",
        "POST /system/secrets",
        "PUT /system/secrets",
        "DELETE /system/secrets",
        "POST /system/namespace/",
        "PUT /system/namespace/x",
    ] {
        for body in ["", "{", "[]", "null!", "3", "\"x\"", "{\"a\":}", "\u{0}"] {
            let answer = world.send(line, &[], body).await;
            assert_eq!(answer.status, 400, "{line} {body:?} {answer:?}");
            assert!(answer.text().ends_with('\n'), "{line} {body:?} {answer:?}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(world.send(line, &[], deep).await.status, 400, "{line}");
        assert_eq!(world.send(line, &[], vec![0xff_u8; 9]).await.status, 400, "{line}");
    }
    assert_eq!(world.asked(), Vec::<String>::new());
    assert_eq!(world.describe("cat").await["replicas"], 1);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let world = World::new().await;
    let mut big = deployment("cat");
    big["envVars"] = json!({"A": "x".repeat(1 << 20)});
    let answer = world.tell("POST /system/functions", &big).await;
    answer.refuses(413, "1048576 bytes");
    let secret = json!({"name": "s", "value": "x".repeat(1 << 20)});
    world.tell("POST /system/secrets", &secret).await.refuses(413, "1048576 bytes");
    assert_eq!(world.ask("GET /system/functions").await.text(), "[]");
    assert_eq!(world.ask("GET /system/secrets").await.text(), "[]");
}

#[tokio::test]
async fn what_is_no_namespace_is_400() {
    let world = World::new().await;
    for line in [
        "GET /system/functions?namespace=nope",
        "GET /system/functions?namespace=..",
        "GET /system/secrets?namespace=nope",
        "GET /system/secrets?namespace=..%2Fx",
    ] {
        world.ask(line).await.refuses(400, "namespace");
    }
    let secret = json!({"name": "s", "value": "v", "namespace": "nope"});
    world.tell("POST /system/secrets", &secret).await.refuses(400, "nope");
}

#[tokio::test]
async fn names_with_other_characters_match_no_route() {
    let world = World::new().await;
    for line in [
        "GET /system/function/a%2Fb",
        "GET /system/function/a%20b",
        "GET /system/function/%2e%2e%2f",
        "POST /system/scale-function/a%2Fb",
        "GET /system/scaling/a%00b",
        "GET /system/namespace/a%2Fb",
        "GET /ui/..%2Fsrc%2Fui.rs",
        "GET /ui/nope",
    ] {
        let answer = world.ask(line).await;
        answer.refuses(404, "404 page not found");
    }
}
