//! Functions are deployed, listed, described, updated and deleted; what is wrong changes nothing.

use http::StatusCode;
use serde_json::json;

use crate::client::{
    FUNCTIONS, SECRETS, ask, cat, field, get, labelled, refused, send, start, text,
};
use crate::support::Tidegate;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_are_deployed_listed_described_updated_and_deleted() {
    let tidegate = start().await;
    assert_eq!(get(&tidegate, FUNCTIONS).await, json!([]));
    // As faas-cli deploys: PUT, and on 404 POST.
    refused(&tidegate, "PUT", FUNCTIONS, cat("plain").to_string(), 404).await;
    assert_eq!(send(&tidegate, "POST", FUNCTIONS, cat("plain"), 202).await, "");
    refused(&tidegate, "POST", FUNCTIONS, cat("plain").to_string(), 409).await;
    let list = get(&tidegate, FUNCTIONS).await;
    let plain = &list[0];
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list:#}");
    assert_eq!(plain["name"], "plain");
    assert_eq!((&plain["image"], &plain["namespace"]), (&json!("none"), &json!("openfaas-fn")));
    assert_eq!(plain["envProcess"], "cat");
    assert_eq!(plain["labels"], json!({"faas_function": "plain"}));
    assert_eq!(plain["annotations"], json!({}));
    assert_eq!(plain["replicas"], 1);
    let created = plain["createdAt"].as_str().expect("always there");
    created.parse::<jiff::Timestamp>().expect("RFC 3339");
    for unsent in ["envVars", "limits", "requests", "secrets", "constraints", "usage"] {
        assert!(plain.get(unsent).is_none(), "{unsent} was not sent: {plain:#}");
    }
    an_own_deployment_is_echoed(&tidegate).await;
    an_image_may_be_left_out(&tidegate).await;
    an_update_replaces_all(&tidegate).await;
    wrong_deployments_change_nothing(&tidegate).await;
    let described = ask(&tidegate, "GET", "/system/function/plain.openfaas-fn", "", 404).await;
    assert_eq!(described.body().len(), 0, "the name is not split here, and 404 has no body");
    ask(&tidegate, "GET", "/system/function/nobody", "", 404).await;
    assert!(get(&tidegate, "/system/function/plain?usage=1").await["usage"].is_object());
    assert!(get(&tidegate, "/system/function/plain?usage=false").await.get("usage").is_none());
    deleted(&tidegate).await;
}

async fn an_own_deployment_is_echoed(tidegate: &Tidegate) {
    for name in ["zeta", "alpha"] {
        send(tidegate, "POST", SECRETS, json!({"name": name, "value": "x"}), 202).await;
    }
    let amounts = json!({"memory": "5Mi", "cpu": "100m"});
    let sent = json!({
        "service": "full", "image": "docker.io/some/image:1.2", "envProcess": "cat",
        "envVars": {"b": "2", "a": "<&>"}, "secrets": ["zeta", "alpha"], "limits": amounts,
        "annotations": {"topic": "a,b"}, "labels": {"team": "x", "com.openfaas.scale.min": "2"},
        "registryAuth": "ignored", "network": null,
    });
    assert_eq!(send(tidegate, "POST", FUNCTIONS, sent.clone(), 202).await, "");
    let described = get(tidegate, "/system/function/full").await;
    for same in ["image", "envProcess", "envVars", "secrets", "limits", "annotations"] {
        assert_eq!(described[same], sent[same], "{same}");
    }
    let labels = json!({"team": "x", "com.openfaas.scale.min": "2", "faas_function": "full"});
    assert_eq!(described["labels"], labels);
    assert_eq!(described["replicas"], 2, "the minimum, at once");
    assert!(described.get("requests").is_none(), "{described:#}");
    let list = get(tidegate, FUNCTIONS).await;
    let listed = list.as_array().expect("a list").iter().find(|one| one["name"] == "full");
    assert_eq!(listed.expect("it is listed")["limits"], amounts);
    send(tidegate, "DELETE", FUNCTIONS, json!({"functionName": "full"}), 202).await;
}

/// A process needs no image; clients find the field all the same.
async fn an_image_may_be_left_out(tidegate: &Tidegate) {
    let bare = json!({"service": "bare", "envProcess": "cat"});
    send(tidegate, "POST", FUNCTIONS, bare, 202).await;
    assert_eq!(get(tidegate, "/system/function/bare").await["image"], "");
    send(tidegate, "DELETE", FUNCTIONS, json!({"functionName": "bare"}), 202).await;
}

async fn an_update_replaces_all(tidegate: &Tidegate) {
    // Keys in any case, unknown ones skipped, the last of equal ones: as Go reads JSON.
    let odd = r#"{"SERVICE":"news","image":"old","Image":"none","envprocess":"cat","what":[1],"secrets":null,"ENVVARS":{"a":"1"}}"#;
    ask(tidegate, "POST", FUNCTIONS, odd, 202).await;
    let before = get(tidegate, "/system/function/news").await;
    assert_eq!((&before["image"], &before["envVars"]), (&json!("none"), &json!({"a": "1"})));
    let mut update = cat("news");
    update["annotations"] = json!({"topic": "t"});
    assert_eq!(send(tidegate, "PUT", FUNCTIONS, update, 202).await, "");
    let after = get(tidegate, "/system/function/news").await;
    assert_eq!(after["annotations"], json!({"topic": "t"}));
    assert!(after.get("envVars").is_none(), "{after:#}");
    send(tidegate, "DELETE", FUNCTIONS, json!({"functionName": "news"}), 202).await;
}

async fn wrong_deployments_change_nothing(tidegate: &Tidegate) {
    let bad = labelled("bad", json!({"com.openfaas.scale.max": "lots"}));
    let said = refused(tidegate, "POST", FUNCTIONS, bad.to_string(), 400).await;
    for part in ["com.openfaas.scale.max", "\"lots\"", "a whole number from 1 to 10000"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    refused(tidegate, "PUT", FUNCTIONS, bad.to_string(), 404).await;
    let mut worse = bad;
    worse["service"] = json!("plain");
    refused(tidegate, "PUT", FUNCTIONS, worse.to_string(), 400).await;
    assert_eq!(
        get(tidegate, "/system/function/plain").await["labels"],
        json!({"faas_function": "plain"})
    );
    let strange = labelled("strange", json!({"com.openfaas.scale.maximum": "5"}));
    let response = ask(tidegate, "POST", FUNCTIONS, strange.to_string(), 202).await;
    let warning = "label com.openfaas.scale.maximum has no effect here";
    assert_eq!(text(&response), format!("warning: {warning}\n"));
    assert_eq!(field(&response, "x-tidegate-warning"), warning);
    send(tidegate, "DELETE", FUNCTIONS, json!({"functionName": "strange"}), 202).await;

    let wrong = [
        json!({"service": "Upper", "image": "none", "envProcess": "cat"}),
        json!({"service": "", "image": "none", "envProcess": "cat"}),
        json!({"service": "../up", "image": "none", "envProcess": "cat"}),
        json!({"service": "w"}),
        json!({"service": "w", "image": "none"}),
        json!({"service": "w", "image": "none", "envProcess": "cat", "secrets": ["nobody"]}),
        json!({"service": "w", "image": "none", "envProcess": "cat", "secrets": ["../up"]}),
        json!({"service": "w", "image": "none", "envProcess": "cat", "namespace": "nowhere"}),
        json!({"service": "w", "image": "none", "envProcess": "cat", "limits": {"memory": "much"}}),
        json!({"service": "w", "image": "none", "envProcess": "cat", "envVars": {"a": 1}}),
        json!([1]),
    ];
    for body in wrong {
        refused(tidegate, "POST", FUNCTIONS, body.to_string(), 400).await;
    }
    for body in ["", "{", "not JSON"] {
        refused(tidegate, "POST", FUNCTIONS, body, 400).await;
        refused(tidegate, "PUT", FUNCTIONS, body, 400).await;
        refused(tidegate, "DELETE", FUNCTIONS, body, 400).await;
    }
    refused(tidegate, "GET", "/system/functions?namespace=nowhere", "", 400).await;
    let names = get(tidegate, FUNCTIONS).await;
    assert_eq!(names.as_array().map(Vec::len), Some(1), "only plain is there: {names:#}");
}

async fn deleted(tidegate: &Tidegate) {
    refused(tidegate, "DELETE", FUNCTIONS, json!({"functionName": ""}).to_string(), 400).await;
    let plain = json!({"functionName": "plain", "namespace": "openfaas-fn"});
    refused(tidegate, "DELETE", "/system/functions?namespace=other", plain.to_string(), 400).await;
    assert_eq!(send(tidegate, "DELETE", FUNCTIONS, plain.clone(), 202).await, "");
    refused(tidegate, "DELETE", FUNCTIONS, plain.to_string(), 404).await;
    ask(tidegate, "GET", "/system/function/plain", "", 404).await;
    assert_eq!(get(tidegate, FUNCTIONS).await, json!([]));
    // The same name again.
    send(tidegate, "POST", FUNCTIONS, cat("plain"), 202).await;
    let again = tidegate.call("plain", "again").await;
    assert_eq!((again.status(), &again.body()[..]), (StatusCode::OK, &b"again"[..]));
    send(tidegate, "DELETE", "/system/functions?namespace=openfaas-fn", plain, 202).await;
}
