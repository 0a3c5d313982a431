//! What a forked process sees of a call, and the series of the metrics port.

use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;

use crate::client::{
    FUNCTIONS, NOT_FOUND, cat, eventually, field, get, method, python, send, start, text,
};
use crate::support::Tidegate;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_sees_the_call_and_its_series_live_as_long_as_it() {
    let tidegate = start().await;
    let mut env = cat("env");
    env["envProcess"] = json!("env");
    env["envVars"] = json!({"own": "value"});
    send(&tidegate, "POST", FUNCTIONS, env, 202).await;
    let mut request = tidegate.request(Method::PUT, "/function/env/a/b?q=1", "");
    request.headers_mut().insert("x-call-id", "mine".parse().expect("a value"));
    let answer = tidegate.send(request).await;
    assert_eq!((answer.status().as_u16(), field(&answer, "x-call-id")), (200, "mine"));
    let seen = text(&answer);
    for line in [
        "Http_Method=PUT",
        "Http_Path=/a/b",
        "Http_Query=q=1",
        "Http_X_Call_Id=mine",
        "own=value",
        "OPENFAAS_NAME=env",
    ] {
        assert!(seen.lines().any(|one| one == line), "{line} in {seen}");
    }
    tidegate.deploy(python("long", "long.py")).await;
    assert_eq!(text(&tidegate.call("long", "").await), "slept\n");
    assert_eq!(tidegate.call("nobody", "").await.status().as_u16(), 404);
    series(&tidegate).await;
    let listed = get(&tidegate, FUNCTIONS).await;
    for function in listed.as_array().expect("a list") {
        assert_eq!(function["invocationCount"], 1, "{function:#}");
    }
    for name in ["env", "long"] {
        send(&tidegate, "DELETE", FUNCTIONS, json!({"functionName": name}), 202).await;
    }
    eventually("the end of all series", async || {
        (!tidegate.metrics().await.contains("function_name=")).then_some(())
    })
    .await;
    assert_eq!(tidegate.call("env", "").await.status().as_u16(), 404);
}

async fn series(tidegate: &Tidegate) {
    let base = tidegate.metrics_url.trim_end_matches("/metrics");
    let at = async |verb: &str, path: &str| {
        let request = Request::builder().method(method(verb)).uri(format!("{base}{path}"));
        tidegate.send(request.body(Full::default()).expect("a good request")).await
    };
    let health = at("GET", "/healthz").await;
    assert_eq!((health.status().as_u16(), text(&health).as_str()), (200, "OK"));
    assert_eq!(at("POST", "/healthz").await.status().as_u16(), 405);
    let nothing = at("GET", "/system/functions").await;
    assert_eq!((nothing.status().as_u16(), text(&nothing).as_str()), (404, NOT_FOUND));
    let kind = at("GET", "/metrics").await;
    assert!(field(&kind, "content-type").starts_with("text/plain; version=0.0.4"), "{kind:?}");
    let ended = ["env", "long"].map(|name| {
        let labels = format!(r#"{{function_name="{name}.openfaas-fn",code="200"}}"#);
        format!("gateway_function_invocation_total{labels} 1")
    });
    let metrics = eventually("the counts of both calls", async || {
        let has = |all: &String| ended.iter().all(|line| all.lines().any(|one| one == line));
        Some(tidegate.metrics().await).filter(has)
    })
    .await;
    for line in [
        "# TYPE gateway_function_invocation_total counter",
        "# TYPE gateway_function_invocation_started counter",
        "# TYPE gateway_functions_seconds histogram",
        "# TYPE gateway_service_count gauge",
        r#"gateway_function_invocation_total{function_name="env.openfaas-fn",code="200"} 1"#,
        r#"gateway_function_invocation_started{function_name="env.openfaas-fn"} 1"#,
        r#"gateway_function_invocation_inflight{function_name="env.openfaas-fn"} 0"#,
        r#"gateway_service_count{function_name="env.openfaas-fn"} 1"#,
        r#"gateway_service_ready_count{function_name="env.openfaas-fn"} 1"#,
        r#"gateway_service_min{function_name="env.openfaas-fn"} 1"#,
        r#"gateway_functions_seconds_count{function_name="env.openfaas-fn",code="200"} 1"#,
        "tidegate_unknown_function_calls_total 1",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line} in\n{metrics}");
    }
    let bounds =
        ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0"];
    for bound in bounds.into_iter().chain(["+Inf"]) {
        let bucket = format!(
            r#"gateway_functions_seconds_bucket{{le="{bound}",function_name="env.openfaas-fn",code="200"}}"#
        );
        assert!(metrics.contains(&bucket), "{bucket} in\n{metrics}");
    }
    assert!(!metrics.contains("gateway_function_invocation_started_total"), "no suffix");
    assert!(!metrics.contains("nobody"), "unknown names make no series");
}
