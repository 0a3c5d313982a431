//! Metrics and limits: what is counted, under which names, and for how long.

use std::io::Write;
use std::process::{Command, Stdio};

use tokio::io::AsyncWriteExt;

use crate::world::{Answer, World, constant, deployed, get, read_to_end, settled, status};

#[tokio::test]
async fn series_live_exactly_as_long_as_their_function() {
    let world = World::new().await;
    let reported = deployed(status("f", &[constant("x").await]), |one| {
        one.labels.insert("com.openfaas.scale.target".to_owned(), "12.5".to_owned());
        one.labels.insert("com.openfaas.scale.type".to_owned(), "capacity".to_owned());
    });
    let entry = world.table.upsert(&reported);
    let f = "function_name=\"f.openfaas-fn\"";
    let fresh = world.scrape().await;
    for line in [
        format!("gateway_function_invocation_total{{{f},code=\"200\"}} 0"),
        format!("gateway_function_invocation_started{{{f}}} 0"),
        format!("gateway_service_count{{{f}}} 1"),
        format!("gateway_service_ready_count{{{f}}} 1"),
        format!("gateway_service_min{{{f}}} 1"),
        format!("gateway_service_target_load{{{f},scaling_type=\"capacity\"}} 12.5"),
        format!("gateway_function_invocation_inflight{{{f}}} 0"),
        "# TYPE gateway_function_invocation_total counter".to_owned(),
        "# TYPE gateway_function_invocation_started counter".to_owned(),
    ] {
        assert!(fresh.contains(&format!("{line}\n")), "{line} is not in\n{fresh}");
    }
    for _ in 0..3 {
        world.get("/function/f").await;
    }
    settled(&world, &entry, 0, 0).await;
    let called = world.scrape().await;
    for line in [
        format!("gateway_function_invocation_total{{{f},code=\"200\"}} 3"),
        format!("gateway_function_invocation_started{{{f}}} 3"),
        format!("gateway_functions_seconds_count{{{f},code=\"200\"}} 3"),
        format!("gateway_functions_seconds_bucket{{le=\"+Inf\",{f},code=\"200\"}} 3"),
    ] {
        assert!(called.contains(&format!("{line}\n")), "{line} is not in\n{called}");
    }
    assert_eq!(entry.completed(), 3);
    assert!(!called.contains("# EOF") && !called.contains("# UNIT"));
    world.table.remove(entry.id());
    assert!(!world.scrape().await.contains("f.openfaas-fn"));
}

#[tokio::test]
async fn open_metrics_is_served_when_asked_for() {
    let world = World::new().await;
    world.table.upsert(&status("f", &[]));
    let mut stream = tokio::net::TcpStream::connect(world.metrics).await.expect("it listens");
    let request = get("/metrics")
        .replace("\r\n\r\n", "\r\naccept: application/openmetrics-text; version=1.0.0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let answer = Answer::parse(&read_to_end(&mut stream).await);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    assert!(answer.body.ends_with("# EOF\n"));
    assert!(answer.body.contains("# TYPE gateway_function_invocation_started unknown\n"));
}

#[tokio::test]
async fn the_metrics_port_has_its_own_health() {
    let world = World::new().await;
    let ask = async |request: &str| {
        let mut stream = tokio::net::TcpStream::connect(world.metrics).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        Answer::parse(&read_to_end(&mut stream).await)
    };
    let healthy = ask(&get("/healthz")).await;
    assert_eq!((healthy.status, healthy.body.as_str()), (200, "OK"));
    assert_eq!(ask(&get("/healthz").replace("GET", "PUT")).await.status, 405);
    assert_eq!(ask(&get("/function/f")).await.status, 404);
}

#[tokio::test]
async fn promtool_finds_nothing_but_the_names_openfaas_fixed() {
    let world = World::new().await;
    let entry = world.table.upsert(&status("f", &[constant("x").await]));
    world.get("/function/f").await;
    settled(&world, &entry, 0, 0).await;
    let metrics = world.scrape().await;
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("skipped: promtool is not installed (Debian package prometheus)");
        return;
    };
    promtool.stdin.take().expect("piped").write_all(metrics.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let findings: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(
        findings,
        [
            "gateway_function_invocation_started counter metrics should have \"_total\" suffix",
            "gateway_service_count non-histogram and non-summary metrics should not have \"_count\" suffix",
            "gateway_service_ready_count non-histogram and non-summary metrics should not have \"_count\" suffix",
        ]
    );
}

#[tokio::test]
async fn a_rate_limit_is_429_and_says_when_to_come_back() {
    let world = World::new().await;
    let reported = deployed(status("f", &[constant("x").await]), |one| {
        one.annotations.insert("com.tidegate.limit.rate".to_owned(), "2/h".to_owned());
        one.annotations.insert("com.tidegate.limit.burst".to_owned(), "2".to_owned());
    });
    world.table.upsert(&reported);
    assert_eq!(world.get("/function/f").await.status, 200);
    assert_eq!(world.get("/function/f").await.status, 200);
    let answer = world.get("/function/f").await;
    assert_eq!((answer.status, answer.header("x-tidegate-error")), (429, "rate_limit"));
    let wait: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=1800).contains(&wait), "{wait}");
    assert!(answer.body.contains("com.tidegate.limit.rate"), "{}", answer.body);
    assert!(
        world
            .scrape()
            .await
            .contains("tidegate_function_limited_total{function_name=\"f.openfaas-fn\"} 1\n")
    );
    // An update without the annotation takes effect at once.
    world.table.upsert(&deployed(reported, |one| one.annotations.clear()));
    assert_eq!(world.get("/function/f").await.status, 200);
}
