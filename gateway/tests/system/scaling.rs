//! `/system/scale-function/{name}`, `/system/alert` and `/system/scaling/{name}`.

use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn a_count_is_asked_for_and_shows_at_once() {
    let world = World::new().await;
    world.deploy("cat").await;
    let body = json!({"serviceName": "cat", "replicas": 3});
    world.tell("POST /system/scale-function/cat", &body).await.is_empty(202);
    assert_eq!(world.describe("cat").await["replicas"], 3);
    world.tell("POST /system/scale-function/cat", &json!({"replicas": 0})).await.is_empty(202);
    let asleep = world.describe("cat").await;
    assert_eq!(asleep["replicas"], Value::Null, "zero is left out");
    assert_eq!(world.asked(), ["scale cat.openfaas-fn 3", "scale cat.openfaas-fn 0"]);
}

#[tokio::test]
async fn the_namespace_of_a_scale_request_is_taken_from_query_or_body() {
    let world = World::new().await;
    world.deploy("cat").await;
    for (line, namespace) in [
        ("POST /system/scale-function/cat", json!("openfaas-fn")),
        ("POST /system/scale-function/cat?namespace=openfaas-fn", Value::Null),
        ("POST /system/scale-function/cat?namespace=openfaas-fn", json!("openfaas-fn")),
        ("POST /system/scale-function/cat", json!("")),
    ] {
        let body = json!({"serviceName": "", "replicas": 2, "namespace": namespace});
        world.tell(line, &body).await.is_empty(202);
    }
    assert_eq!(world.asked().len(), 4);
}

#[tokio::test]
async fn what_is_no_count_is_refused() {
    let world = World::new().await;
    world.deploy("cat").await;
    for (body, why) in [
        (json!({"serviceName": "cat"}), "replicas"),
        (json!({"replicas": null}), "replicas"),
        (json!({"replicas": -1}), "replicas"),
        (json!({"replicas": 1.5}), "replicas"),
        (json!({"replicas": "2"}), "replicas"),
        (json!({"replicas": 4294967296_u64}), "4294967296"),
        (json!({"replicas": 101}), "no more than 100 replicas"),
        (json!({"serviceName": "dog", "replicas": 1}), "dog"),
    ] {
        world.tell("POST /system/scale-function/cat", &body).await.refuses(400, why);
    }
    assert_eq!(world.describe("cat").await["replicas"], 1);
    let body = json!({"replicas": 1});
    world.tell("POST /system/scale-function/nope", &body).await.refuses(404, "nope.openfaas-fn");
    assert_eq!(world.tell("POST /system/scale-function/no_pe", &body).await.status, 400);
}

#[tokio::test]
async fn alerts_are_passed_on_and_those_about_nothing_are_skipped() {
    let world = World::new().await;
    world.deploy("cat").await;
    let alert = |status: &str, name: &str| json!({"status": status, "labels": {"function_name": name, "severity": "major"}});
    let webhook = json!({
        "version": "4", "status": "firing", "receiver": "scale-up", "groupKey": "{}",
        "alerts": [
            alert("firing", "cat.openfaas-fn"), alert("resolved", "cat"), alert("odd", "cat"),
            alert("firing", "gone.openfaas-fn"), alert("firing", ""), alert("firing", "../x"),
            {"status": "firing"}, {},
        ],
    });
    world.tell("POST /system/alert", &webhook).await.is_empty(200);
    assert_eq!(
        world.asked(),
        [
            "alert cat.openfaas-fn true",
            "alert cat.openfaas-fn false",
            "alert cat.openfaas-fn false"
        ]
    );
}

#[tokio::test]
async fn alerts_that_could_not_be_acted_on_are_listed() {
    let world = World::new().await;
    world.deploy("cat").await;
    world.deploy("broken").await;
    let alert = |name: &str| json!({"status": "firing", "labels": {"function_name": name}});
    let webhook = json!({"alerts": [alert("cat"), alert("broken"), alert("cat"), alert("broken")]});
    let answer = world.tell("POST /system/alert", &webhook).await;
    answer.refuses(500, "[1] the control plane is stopping\n[3] the control plane is stopping\n");
    assert_eq!(world.asked().len(), 4, "one failure stops none of the others");
}

#[tokio::test]
async fn a_bad_alert_is_refused_in_the_words_that_are_known() {
    let world = World::new().await;
    for body in ["", "{", "[1]"] {
        let answer = world.send("POST /system/alert", &[], body).await;
        answer.refuses(400, "Unable to parse alert, bad format.");
    }
}

#[tokio::test]
async fn why_a_count_is_what_it_is_can_be_asked() {
    let world = World::new().await;
    world.deploy("cat").await;
    let answer = world.ask("GET /system/scaling/cat").await;
    assert_eq!(answer.json(), json!({"function": "cat.openfaas-fn"}));
    let answer = world.ask("GET /system/scaling/cat?namespace=openfaas-fn").await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.ask("GET /system/scaling/nope").await.status, 404);
    assert_eq!(world.ask("GET /system/scaling/cat?namespace=other").await.status, 404);
}
