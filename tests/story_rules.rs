//! A named rule over a real Prometheus scales a function up and down, and holds its count while nothing answers.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use support::{PATIENCE, Start, Tidegate, have};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A Prometheus that scrapes one address every second; ended when dropped.
struct Prometheus(Child);

impl Prometheus {
    fn start(folder: &Path, port: u16, target: &str) -> Self {
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        let path = folder.join("prometheus.yml");
        std::fs::write(&path, config).expect("written");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("prometheus is installed"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves one gauge; gives where, and its value to be set.
async fn gauge() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let value = Arc::new(AtomicU64::new(0));
    let served = Arc::clone(&value);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0_u8; 4096];
            let _ = connection.read(&mut request).await;
            let lag = served.load(Ordering::Relaxed);
            let body = format!(
                "lag{{function_name=\"orders.openfaas-fn\"}} {lag}\nlag{{function_name=\"bills\"}} {lag}\n"
            );
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/plain";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    (address, value)
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn rules(folder: &Path, port: u16, query: &str) -> PathBuf {
    let path = folder.join("rules.yml");
    let text = format!(
        "prometheus:\n- url: http://127.0.0.1:{port}\n  timeout: 2s\nrules:\n- name: lag\n  query: {query}\n  target: 10\n  proportion: 1\n  interval: 1s\n  functions: [bills]\n"
    );
    std::fs::write(&path, text).expect("written");
    path
}

fn function(name: &str, labels: Value) -> Value {
    json!({"service": name, "image": "example/cat:1", "envProcess": "cat", "labels": labels})
}

async fn explained(tidegate: &Tidegate, words: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, why) = tidegate.json(Method::GET, "/system/scaling/orders", Value::Null).await;
        if why.to_string().contains(words) {
            return;
        }
        assert!(Instant::now() < deadline, "{words} is not explained: {why:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn failures(tidegate: &Tidegate) -> u64 {
    let metrics = tidegate.metrics().await;
    let name = "tidegate_measure_failures_total{source=\"rule:lag\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |count| count.parse().expect("a number"))
}

async fn refused(tidegate: &Tidegate, labels: Value, words: &str) {
    let (status, body) =
        tidegate.json(Method::POST, "/system/functions", function("wrong", labels)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert!(body.as_str().is_some_and(|body| body.contains(words)), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_scales_up_holds_without_an_answer_and_comes_down_after() {
    if !have("prometheus", "story_rules") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (target, lag) = gauge().await;
    let port = free_port().await;
    // Nobody answers at the start: that is warned of, no more.
    let tidegate = Start::new()
        .var("TIDEGATE_STABLE_WINDOW", "3s")
        .var("TIDEGATE_FAST_WINDOW", "1s")
        .var("TIDEGATE_RULES", rules(folder.path(), port, "lag").to_str().expect("ASCII"))
        .start();
    refused(&tidegate, json!({"com.openfaas.scale.type": "leg"}), "the rules are lag").await;
    let never = json!({"com.tidegate.scale.schedule": "x"});
    refused(&tidegate, never, "label com.tidegate.scale.schedule").await;
    tidegate.deploy(function("orders", json!({"com.openfaas.scale.type": "lag"}))).await;
    tidegate.deploy(function("bills", json!({"com.openfaas.scale.max": "3"}))).await;
    explained(&tidegate, "does not answer").await;
    lag.store(45, Ordering::Relaxed);
    let prometheus = Prometheus::start(folder.path(), port, &target);
    let five = |wanted, ready| wanted == 5 && ready == 5;
    tidegate.wait_for_counts("orders", "5 for 45 at 10 each", PATIENCE, five).await;
    tidegate.wait_for_counts("bills", "its maximum", PATIENCE, |wanted, _| wanted == 3).await;

    lag.store(0, Ordering::Relaxed);
    drop(prometheus);
    let before = failures(&tidegate).await;
    explained(&tidegate, "does not answer").await;
    let deadline = Instant::now() + PATIENCE;
    while failures(&tidegate).await < before + 20 {
        assert!(Instant::now() < deadline, "nobody asks any more");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let held = tidegate.counts("orders").await;
    assert!(held.0 >= 4, "{held:?}");

    let _prometheus = Prometheus::start(folder.path(), port, &target);
    tidegate.wait_for_counts("orders", "back at 1", PATIENCE, |wanted, _| wanted == 1).await;
    tidegate.wait_for_counts("bills", "back at 1", PATIENCE, |wanted, _| wanted == 1).await;
}

fn up(folder: &Path, rules: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["up", "--port", "0", "--metrics-port", "0", "--rules"]).arg(rules);
    command.env("TIDEGATE_STATE_DIR", folder.join("state")).current_dir(folder);
    command.output().expect("tidegate ends by itself")
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_cannot_work_are_refused_at_the_start_with_their_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |path: &Path, words: &str| {
        let output = up(folder.path(), path);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(words), "{told}");
    };
    let port = free_port().await;
    let path = rules(folder.path(), port, "lag");
    let text = std::fs::read_to_string(&path).expect("written");
    std::fs::write(&path, text.replace("target: 10", "target: ten")).expect("written");
    refused(&path, "rules.yml:7: \"ten\" is not a number above 0");
    refused(&folder.path().join("none.yml"), "name a file with --rules");
    if !have("prometheus", "story_rules") {
        return;
    }
    let _prometheus = Prometheus::start(folder.path(), port, "127.0.0.1:1");
    let deadline = Instant::now() + PATIENCE;
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < deadline, "prometheus does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let path = rules(folder.path(), port, "sum by (lag");
    refused(&path, "rules.yml:6: rule lag: the query cannot be read: ");
}
