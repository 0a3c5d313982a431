//! Counts as operators and alerts set them.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{FUNCTIONS, cat, get, labelled, make_namespace, refused, send, start, text};
use crate::support::Tidegate;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_set_by_operators_and_alerts() {
    let tidegate = start().await;
    make_namespace(&tidegate, "team").await;
    let mut elsewhere = cat("near");
    elsewhere["namespace"] = json!("team");
    send(&tidegate, "POST", FUNCTIONS, elsewhere, 202).await;
    let path = "/system/scale-function/near";
    let near = "/system/function/near?namespace=team";
    // As the SDK says the namespace, and as OpenFaaS's own gateway does.
    let body = json!({"serviceName": "near", "replicas": 2, "namespace": "team"});
    assert_eq!(send(&tidegate, "POST", path, body.clone(), 202).await, "");
    assert_eq!(get(&tidegate, near).await["replicas"], 2);
    let short = json!({"serviceName": "", "replicas": 3});
    send(&tidegate, "POST", &format!("{path}?namespace=team"), short.clone(), 202).await;
    assert_eq!(get(&tidegate, near).await["replicas"], 3);
    refused(&tidegate, "POST", &format!("{path}?namespace=other"), body.to_string(), 400).await;
    refused(&tidegate, "POST", path, short.to_string(), 404).await;
    refused(&tidegate, "POST", "/system/scale-function/nobody", short.to_string(), 404).await;
    let query = format!("{path}?namespace=team");
    for replicas in ["-1", "1.5", "\"3\"", "{}", "99999999999999999999", "4294967296"] {
        let body = format!(r#"{{"serviceName": "near", "replicas": {replicas}}}"#);
        refused(&tidegate, "POST", &query, body, 400).await;
    }
    for body in ["", "{", "[]", r#"{"serviceName": "other", "replicas": 1}"#] {
        refused(&tidegate, "POST", &query, body, 400).await;
    }
    assert_eq!(get(&tidegate, near).await["replicas"], 3, "nothing of that counts");
    zero_is_honoured(&tidegate, &query, near).await;
    alerts(&tidegate).await;
}

async fn zero_is_honoured(tidegate: &Tidegate, scale: &str, describe: &str) {
    let first = tidegate.call("near.team", "up").await;
    assert_eq!((first.status(), text(&first)), (StatusCode::OK, "up".to_owned()));
    send(tidegate, "POST", scale, json!({"serviceName": "near", "replicas": 0}), 202).await;
    let at_zero = get(tidegate, describe).await;
    assert!(at_zero.get("replicas").is_none(), "zero is left out, at once: {at_zero:#}");
    let woken = tidegate.call("near.team", "again").await;
    assert_eq!((woken.status(), text(&woken)), (StatusCode::OK, "again".to_owned()));
    let awake = get(tidegate, describe).await;
    assert_eq!((&awake["replicas"], &awake["availableReplicas"]), (&json!(1), &json!(1)));
    assert_eq!(tidegate.call("near", "").await.status(), StatusCode::NOT_FOUND, "no fallback");
}

fn alert(status: &str, function: &str) -> Value {
    json!({
        "status": status, "labels": {"alertname": "x", "function_name": function},
        "annotations": {}, "startsAt": "2020-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
    })
}

async fn tell(tidegate: &Tidegate, alerts: &[Value]) {
    // The status above the alerts does not count.
    let webhook = json!({"version": "4", "status": "resolved", "receiver": "x", "alerts": alerts});
    assert_eq!(send(tidegate, "POST", "/system/alert", webhook, 200).await, "");
}

async fn alerts(tidegate: &Tidegate) {
    // Maximum, factor, and the count after one firing alert.
    let vectors = [("5", "10", 2), ("5", "100", 5), ("3", "50", 3), ("10", "50", 6), ("5", "0", 1)];
    for (max, factor, expected) in vectors {
        let labels = json!({"com.openfaas.scale.max": max, "com.openfaas.scale.factor": factor});
        send(tidegate, "POST", FUNCTIONS, labelled("step", labels), 202).await;
        tell(tidegate, &[alert("firing", "nobody.openfaas-fn"), alert("firing", "step")]).await;
        let replicas = get(tidegate, "/system/function/step").await["replicas"].clone();
        assert_eq!(replicas, expected, "max {max}, factor {factor}");
        tell(tidegate, &[alert("resolved", "step.openfaas-fn")]).await;
        let replicas = get(tidegate, "/system/function/step").await["replicas"].clone();
        assert_eq!(replicas, 1, "resolved: max {max}, factor {factor}");
        send(tidegate, "DELETE", FUNCTIONS, json!({"functionName": "step"}), 202).await;
    }
    let labels = json!({"com.openfaas.scale.min": "2", "com.openfaas.scale.max": "4"});
    send(tidegate, "POST", FUNCTIONS, labelled("least", labels), 202).await;
    tidegate.scale("least", 4).await;
    tell(tidegate, &[alert("firing", "least")]).await;
    assert_eq!(get(tidegate, "/system/function/least").await["replicas"], 4);
    tell(tidegate, &[alert("resolved", "least")]).await;
    assert_eq!(get(tidegate, "/system/function/least").await["replicas"], 2);
    tell(tidegate, &[alert("firing", ""), alert("firing", "../x"), alert("firing", "a.b.c")]).await;
    tell(tidegate, &[]).await;
    for body in ["", "{", "x", "[]"] {
        let said = refused(tidegate, "POST", "/system/alert", body, 400).await;
        assert_eq!(said, "Unable to parse alert, bad format.\n", "{body:?}");
    }
}
