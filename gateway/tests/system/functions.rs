//! `/system/functions` and `/system/function/{name}`.

use serde_json::{Value, json};
use tidegate_core::FunctionId;

use crate::world::{World, deployment, until};

#[tokio::test]
async fn an_empty_namespace_lists_as_an_empty_array() {
    let world = World::new().await;
    let answer = world.ask("GET /system/functions").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), "[]");
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn what_was_deployed_is_reported_as_it_was_said() {
    let world = World::new().await;
    world.tell("POST /system/secrets", &json!({"name": "b", "value": "x"})).await.is_empty(202);
    world.tell("POST /system/secrets", &json!({"name": "a", "value": "x"})).await.is_empty(202);
    world
        .deploy_with(
            "cat",
            json!({
                "envVars": {"A": "1"},
                "labels": {"canary": "true"},
                "annotations": {"topic": "t"},
                "secrets": ["b", "a"],
                "constraints": ["z=1", "a=2"],
                "limits": {"memory": "5Mi", "cpu": "100m"},
                "readOnlyRootFilesystem": true,
            }),
        )
        .await;
    let list = world.ask("GET /system/functions").await.json();
    let mut listed = list[0].clone();
    let created = listed["createdAt"].take();
    assert!(created.as_str().expect("a time").starts_with("20"), "{created}");
    listed["createdAt"] = json!("");
    assert_eq!(
        listed,
        json!({
            "name": "cat",
            "image": "example/echo:1",
            "namespace": "openfaas-fn",
            "envProcess": "echo",
            "envVars": {"A": "1"},
            "constraints": ["z=1", "a=2"],
            "secrets": ["b", "a"],
            "labels": {"canary": "true", "faas_function": "cat"},
            "annotations": {"topic": "t"},
            "limits": {"memory": "5Mi", "cpu": "100m"},
            "readOnlyRootFilesystem": true,
            "replicas": 1,
            "availableReplicas": 1,
            "createdAt": "",
        })
    );
}

#[tokio::test]
async fn the_minimum_is_wanted_at_once() {
    let world = World::new().await;
    world.deploy_with("cat", json!({"labels": {"com.openfaas.scale.min": "2"}})).await;
    assert_eq!(world.describe("cat").await["replicas"], 2);
}

#[tokio::test]
async fn a_function_can_be_called_as_soon_as_it_is_deployed() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.deploy(name).await;
        let answer = world.send(&format!("POST /function/{name}"), &[], "hello").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "hello"));
    }
}

#[tokio::test]
async fn a_description_has_counts_replicas_and_on_demand_usage() {
    let world = World::new().await;
    world.deploy("cat").await;
    world.send("POST /function/cat", &[], "x").await;
    world.send("POST /function/cat.openfaas-fn", &[], "x").await;
    let entry = world.table.get(&FunctionId::parse("cat").expect("a name")).expect("deployed");
    until(|| entry.completed() == 2).await;
    let plain = world.describe("cat").await;
    assert_eq!(plain["invocationCount"], 2);
    assert_eq!(plain["usage"], Value::Null);
    assert_eq!(plain["replicaStatus"][0]["phase"], "ready");
    assert_eq!(plain["replicaStatus"][0]["restarts"], 0);
    assert!(plain["replicaStatus"][0]["id"].is_string());
    for asked in ["usage=1", "usage=true", "namespace=openfaas-fn&usage=1"] {
        let used = world.ask(&format!("GET /system/function/cat?{asked}")).await.json();
        assert_eq!(used["usage"], json!({"cpu": 1.0, "totalMemoryBytes": 1048576.0}), "{asked}");
    }
    let not = world.ask("GET /system/function/cat?usage=false").await.json();
    assert_eq!(not["usage"], Value::Null);
}

#[tokio::test]
async fn a_crashing_replica_shows_in_the_description() {
    let world = World::new().await;
    world.deploy_with("bad", json!({"envProcess": "crashes"})).await;
    let described = world.describe("bad").await;
    assert_eq!(described["replicaStatus"][0]["phase"], "backoff");
    assert_eq!(described["replicaStatus"][0]["detail"], "exited with code 1");
    assert_eq!(described["events"][0]["reason"], "exit_code");
    assert_eq!(described["events"][0]["detail"], "exited with code 1");
    assert_eq!(described["availableReplicas"], Value::Null);
}

#[tokio::test]
async fn what_is_not_deployed_is_404_without_a_body() {
    let world = World::new().await;
    world.deploy("cat").await;
    for name in ["nope", "cat.openfaas-fn", "Cat", "..", "a_b"] {
        world.ask(&format!("GET /system/function/{name}")).await.is_empty(404);
    }
}

#[tokio::test]
async fn creating_twice_is_a_conflict_and_changes_nothing() {
    let world = World::new().await;
    world.deploy("cat").await;
    let mut other = deployment("cat");
    other["image"] = json!("another");
    world.tell("POST /system/functions", &other).await.refuses(409, "cat.openfaas-fn");
    assert_eq!(world.describe("cat").await["image"], "example/echo:1");
}

#[tokio::test]
async fn an_update_replaces_everything_and_needs_something_to_replace() {
    let world = World::new().await;
    let unknown = world.tell("PUT /system/functions", &deployment("cat")).await;
    unknown.refuses(404, "cat.openfaas-fn");
    let mut wrong_too = deployment("cat");
    wrong_too["labels"] = json!({"com.openfaas.scale.min": "x"});
    // Checked first, so that a client that creates after a 404 is told of the label then.
    world.tell("PUT /system/functions", &wrong_too).await.refuses(404, "cat.openfaas-fn");
    world.deploy_with("cat", json!({"labels": {"old": "1"}, "envVars": {"A": "1"}})).await;
    let mut new = deployment("cat");
    new["image"] = json!("example/echo:2");
    new["labels"] = json!({"new": "1"});
    let answer = world.tell("PUT /system/functions", &new).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let described = world.describe("cat").await;
    assert_eq!(described["image"], "example/echo:2");
    assert_eq!(described["labels"], json!({"faas_function": "cat", "new": "1"}));
    assert_eq!(described["envVars"], Value::Null);
}

#[tokio::test]
async fn a_function_is_removed_whichever_way_its_namespace_is_said() {
    let world = World::new().await;
    for (line, more) in [
        ("DELETE /system/functions", json!({})),
        ("DELETE /system/functions", json!({"namespace": "openfaas-fn"})),
        ("DELETE /system/functions?namespace=openfaas-fn", json!({})),
        ("DELETE /system/functions?namespace=openfaas-fn", json!({"namespace": "openfaas-fn"})),
    ] {
        world.deploy("cat").await;
        let mut body = more.clone();
        body["functionName"] = json!("cat");
        world.tell(line, &body).await.is_empty(202);
        world.ask("GET /system/function/cat").await.is_empty(404);
    }
    let gone = world.tell("DELETE /system/functions", &json!({"functionName": "cat"})).await;
    gone.refuses(404, "cat.openfaas-fn");
}

#[tokio::test]
async fn functions_live_in_their_own_namespaces() {
    let world = World::new().await;
    let dev = json!({"name": "dev", "labels": {"openfaas": "1"}});
    world.tell("POST /system/namespace/", &dev).await.is_empty(201);
    world.deploy("cat").await;
    world.deploy_with("cat", json!({"namespace": "dev", "image": "dev/echo:1"})).await;
    let answer = world.tell("POST /system/functions?namespace=dev", &deployment("dog")).await;
    assert_eq!(answer.status, 202, "{answer:?}");

    let names = async |line: &str| -> Vec<String> {
        let list = world.ask(line).await.json();
        let name = |one: &Value| format!("{}.{}", one["name"], one["namespace"]).replace('"', "");
        list.as_array().expect("a list").iter().map(name).collect()
    };
    assert_eq!(names("GET /system/functions").await, ["cat.openfaas-fn"]);
    assert_eq!(names("GET /system/functions?namespace=").await, ["cat.openfaas-fn"]);
    assert_eq!(names("GET /system/functions?namespace=dev").await, ["cat.dev", "dog.dev"]);
    let described = world.ask("GET /system/function/cat?namespace=dev").await.json();
    assert_eq!(described["image"], "dev/echo:1");
}

#[tokio::test]
async fn warnings_come_in_the_body_and_in_headers() {
    let world = World::new().await;
    let mut odd = deployment("cat");
    odd["labels"] = json!({"com.openfaas.profile": "x"});
    odd["annotations"] = json!({"com.openfaas.scale.max": "3"});
    let answer = world.tell("POST /system/functions", &odd).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(
        answer.text(),
        "warning: label com.openfaas.profile has no effect here\n\
         warning: annotation com.openfaas.scale.max has no effect; scaling is asked for by labels\n"
    );
    let headers: Vec<_> = answer.headers.get_all("x-tidegate-warning").iter().collect();
    assert_eq!(headers.len(), 2);
    assert_eq!(headers[0], "label com.openfaas.profile has no effect here");
    world.tell("PUT /system/functions", &deployment("cat")).await.is_empty(202);
}

#[tokio::test]
async fn keys_are_read_in_any_case_and_null_is_nothing() {
    let world = World::new().await;
    let body = r#"{"SERVICE":"cat","Image":"i","ENVPROCESS":"echo","labels":null,"network":"func_functions","limits":null,"registryAuth":""}"#;
    let answer = world.send("POST /system/functions", &[], body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(world.describe("cat").await["envProcess"], "echo");
}
