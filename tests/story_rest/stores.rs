//! Secrets and namespaces.

use serde_json::json;

use crate::client::{
    FUNCTIONS, SECRETS, cat, eventually, get, make_namespace, namespace, refused, send, shell,
    start, text,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_kept_and_reach_the_function_alone() {
    let tidegate = start().await;
    assert_eq!(get(&tidegate, SECRETS).await, json!([]));
    let first = json!({"name": "key", "value": "first"});
    refused(&tidegate, "PUT", SECRETS, first.to_string(), 404).await;
    assert_eq!(send(&tidegate, "POST", SECRETS, first.clone(), 202).await, "");
    assert_eq!(send(&tidegate, "POST", SECRETS, first, 409).await, "");
    let listed = get(&tidegate, SECRETS).await;
    assert_eq!(listed, json!([{"name": "key", "namespace": "openfaas-fn"}]), "never the value");
    let named = get(&tidegate, "/system/secrets?namespace=openfaas-fn").await;
    assert_eq!(named, listed);
    refused(&tidegate, "GET", "/system/secrets?namespace=nowhere", "", 400).await;

    let mut reader = shell("reader", "cat \"$secret_mount_path/key\"");
    reader["secrets"] = json!(["key"]);
    send(&tidegate, "POST", FUNCTIONS, reader.clone(), 202).await;
    assert_eq!(text(&tidegate.call("reader", "").await), "first");
    // Bytes win over text; a new revision has the new value.
    let second = json!({"name": "key", "value": "no", "rawValue": "c2Vjb25k"});
    assert_eq!(send(&tidegate, "PUT", SECRETS, second, 202).await, "");
    reader["annotations"] = json!({"revision": "2"});
    send(&tidegate, "PUT", FUNCTIONS, reader, 202).await;
    eventually("the new value", async || {
        (text(&tidegate.call("reader", "").await) == "second").then_some(())
    })
    .await;
    send(&tidegate, "DELETE", FUNCTIONS, json!({"functionName": "reader"}), 202).await;

    for name in ["../up", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "UP", "x\u{0}", "ä"] {
        let body = json!({"name": name, "value": "do-not-tell"}).to_string();
        for verb in ["POST", "PUT", "DELETE"] {
            let said = refused(&tidegate, verb, SECRETS, body.clone(), 400).await;
            assert!(!said.contains("do-not-tell"), "{said}");
        }
    }
    for body in ["", "{", r#"{"name": "x", "value": do-not-tell}"#, r#"{"name": 1}"#] {
        let said = refused(&tidegate, "POST", SECRETS, body, 400).await;
        assert!(!said.contains("do-not-tell"), "{said}");
    }
    let elsewhere = json!({"name": "key", "value": "x", "namespace": "nowhere"});
    refused(&tidegate, "POST", SECRETS, elsewhere.to_string(), 400).await;
    // 202, not 204, on which faas-cli fails.
    assert_eq!(send(&tidegate, "DELETE", SECRETS, json!({"name": "key"}), 202).await, "");
    refused(&tidegate, "DELETE", SECRETS, json!({"name": "key"}).to_string(), 404).await;
    assert_eq!(get(&tidegate, SECRETS).await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_hold_functions_and_secrets_apart() {
    let tidegate = start().await;
    assert_eq!(get(&tidegate, "/system/namespaces").await, json!(["openfaas-fn"]));
    make_namespace(&tidegate, "team").await;
    refused(&tidegate, "POST", "/system/namespace/", namespace("team").to_string(), 409).await;
    let names = get(&tidegate, "/system/namespaces").await;
    let mut names: Vec<_> = names.as_array().expect("a list").iter().collect();
    names.sort_by_key(|name| name.as_str());
    assert_eq!(names, ["openfaas-fn", "team"]);
    let team = "/system/namespace/team";
    let read = get(&tidegate, team).await;
    assert_eq!((&read["name"], &read["labels"]["openfaas"]), (&json!("team"), &json!("1")));
    // The documentation of OpenFaaS marks by annotation, its code by label.
    let other = json!({"name": "team", "labels": {"who": "us"}, "annotations": {"openfaas": "1"}});
    assert_eq!(send(&tidegate, "PUT", team, other, 202).await, "");
    assert_eq!(get(&tidegate, team).await["labels"], json!({"who": "us"}));
    for (verb, path, status) in [
        ("GET", "/system/namespace/nowhere", 404),
        ("PUT", "/system/namespace/nowhere", 404),
        ("DELETE", "/system/namespace/nowhere", 404),
        ("PUT", "/system/namespace/other", 400),
    ] {
        refused(&tidegate, verb, path, namespace("nowhere").to_string(), status).await;
    }
    for body in [json!({"name": "x"}), json!({"name": "x", "labels": {"openfaas": "0"}})] {
        refused(&tidegate, "POST", "/system/namespace/", body.to_string(), 400).await;
    }
    for name in ["", "../up", "Upper", "a.b"] {
        refused(&tidegate, "POST", "/system/namespace/", namespace(name).to_string(), 400).await;
    }
    for name in ["openfaas-fn", "openfaas", "kube-system"] {
        let path = format!("/system/namespace/{name}");
        let body = namespace(name).to_string();
        refused(&tidegate, "POST", "/system/namespace/", body.clone(), 400).await;
        refused(&tidegate, "PUT", &path, body.clone(), 400).await;
        refused(&tidegate, "DELETE", &path, body, 400).await;
    }

    let mut far = cat("far");
    far["namespace"] = json!("team");
    send(&tidegate, "POST", FUNCTIONS, far, 202).await;
    assert_eq!(get(&tidegate, FUNCTIONS).await, json!([]));
    let listed = get(&tidegate, "/system/functions?namespace=team").await;
    assert_eq!((&listed[0]["name"], &listed[0]["namespace"]), (&json!("far"), &json!("team")));
    assert_eq!(text(&tidegate.call("far.team", "hello").await), "hello");
    let secret = json!({"name": "key", "value": "x", "namespace": "team"});
    send(&tidegate, "POST", SECRETS, secret, 202).await;
    assert_eq!(get(&tidegate, SECRETS).await, json!([]));
    let listed = get(&tidegate, "/system/secrets?namespace=team").await;
    assert_eq!(listed, json!([{"name": "key", "namespace": "team"}]));
    refused(&tidegate, "DELETE", team, namespace("team").to_string(), 400).await;
    let far = json!({"functionName": "far", "namespace": "team"});
    send(&tidegate, "DELETE", FUNCTIONS, far, 202).await;
    assert_eq!(send(&tidegate, "DELETE", team, namespace("team"), 202).await, "");
    assert_eq!(get(&tidegate, "/system/namespaces").await, json!(["openfaas-fn"]));
}
