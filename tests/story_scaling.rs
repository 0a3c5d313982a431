//! A real load takes functions 1 → N → 1 → 0 → 1, seen through the API and a real Prometheus.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

#[path = "support/load.rs"]
mod load;
mod support;

use std::time::Duration;

use http::StatusCode;
use load::{Hey, Prometheus, codes};
use support::{Start, Tidegate, examples, have};

/// Windows short enough for a test; the arithmetic is the same.
fn start() -> Tidegate {
    Start::new()
        .stack(examples().join("stack.yml"))
        .var("TIDEGATE_STABLE_WINDOW", "6s")
        .var("TIDEGATE_FAST_WINDOW", "2s")
        .start()
}

async fn ready(tidegate: &Tidegate, function: &str) {
    let patience = Duration::from_secs(20);
    tidegate.wait_for_counts(function, "being ready", patience, |_, ready| ready >= 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn capacity_goes_from_1_to_8_and_back() {
    if !(have("hey", "story_scaling") && have("prometheus", "story_scaling")) {
        return;
    }
    let tidegate = start();
    let prometheus = Prometheus::start(&tidegate.metrics_url).await;
    ready(&tidegate, "sleep").await;
    let url = format!("{}/function/sleep", tidegate.url);
    // 60 open calls at 5 × 0.9 a replica ask for 14, the label allows 8.
    let hey = Hey::start(&["-z", "12s", "-c", "60", "-H", "X-Sleep: 200ms", &url]);
    let patience = Duration::from_secs(30);
    tidegate
        .wait_for_counts("sleep", "8 ready replicas", patience, |wanted, ready| {
            wanted == 8 && ready == 8
        })
        .await;
    let ready_count = r#"gateway_service_ready_count{function_name="sleep.openfaas-fn"}"#;
    prometheus.wait_for(ready_count, patience, |count| count == 8.0).await;
    let summary = hey.finish();
    let answered: Vec<u16> = codes(&summary).into_iter().map(|(code, _)| code).collect();
    assert_eq!(answered, [200], "{summary}");
    tidegate
        .wait_for_counts("sleep", "back at 1", Duration::from_secs(60), |wanted, ready| {
            wanted == 1 && ready == 1
        })
        .await;
    prometheus
        .wait_for(
            r#"gateway_service_count{function_name="sleep.openfaas-fn"}"#,
            patience,
            |count| count == 1.0,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rps_goes_up_and_back() {
    if !(have("hey", "story_scaling") && have("prometheus", "story_scaling")) {
        return;
    }
    let tidegate = start();
    let prometheus = Prometheus::start(&tidegate.metrics_url).await;
    ready(&tidegate, "hello").await;
    let url = format!("{}/function/hello", tidegate.url);
    // 5 workers at 40 calls a second each are far more than the label's target for one replica.
    let hey = Hey::start(&["-z", "12s", "-c", "5", "-q", "40", &url]);
    let patience = Duration::from_secs(30);
    tidegate
        .wait_for_counts("hello", "more replicas", patience, |wanted, ready| {
            wanted > 1 && ready == wanted
        })
        .await;
    let rate = r#"rate(gateway_function_invocation_total{function_name="hello.openfaas-fn",code="200"}[5s])"#;
    prometheus.wait_for(rate, patience, |rate| rate > 50.0).await;
    let summary = hey.finish();
    assert_eq!(codes(&summary).len(), 1, "{summary}");
    tidegate
        .wait_for_counts("hello", "back at 1", Duration::from_secs(60), |wanted, ready| {
            wanted == 1 && ready == 1
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_function_goes_to_zero_and_the_waking_call_is_answered() {
    if !have("prometheus", "story_scaling") {
        return;
    }
    let tidegate = start();
    let prometheus = Prometheus::start(&tidegate.metrics_url).await;
    ready(&tidegate, "nap").await;
    assert_eq!(tidegate.call("nap", "one").await.status(), StatusCode::OK);
    let patience = Duration::from_secs(60);
    tidegate
        .wait_for_counts("nap", "zero", patience, |wanted, ready| wanted == 0 && ready == 0)
        .await;
    let count = r#"gateway_service_count{function_name="nap.openfaas-fn"}"#;
    prometheus.wait_for(count, patience, |count| count == 0.0).await;
    let woken = tidegate.call("nap", "two").await;
    assert_eq!(woken.status(), StatusCode::OK);
    assert!(woken.headers().contains_key("x-tidegate-waited"), "{:?}", woken.headers());
    tidegate
        .wait_for_counts("nap", "one again", patience, |wanted, ready| wanted == 1 && ready == 1)
        .await;
    prometheus.wait_for(count, patience, |count| count == 1.0).await;
}
