//! A named rule over a real Prometheus scales a function up and down, and holds its count while nothing answers.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

#[path = "support/load.rs"]
mod load;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use load::{Prometheus, free_port};
use serde_json::{Value, json};
use support::{PATIENCE, Start, Tidegate, have};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PASSWORD: &str = "of-the-tests";
const PASSWORD_BCRYPT: &str = "$2b$05$abcdefghijklmnopqrstuuuZed5HUPv8ETIZGTOl1S2yYkDII01Ei";

/// Answers each request, given its head, with a status and a body; gives where.
async fn answers(with: impl Fn(&str) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0_u8; 4096];
            let length = connection.read(&mut request).await.unwrap_or(0);
            let (status, body) = with(&String::from_utf8_lossy(&request[..length]));
            let head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: text/plain");
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// No value at all.
const NONE: u64 = u64::MAX;

/// Serves one gauge; gives where, and its value to be set.
async fn gauge() -> (String, Arc<AtomicU64>) {
    let value = Arc::new(AtomicU64::new(0));
    let served = Arc::clone(&value);
    let text = move |_: &str| {
        let lag = served.load(Ordering::Relaxed);
        let row = |name| format!("lag{{function_name=\"{name}\"}} {lag}\n");
        let rows = row("orders.openfaas-fn") + &row("bills");
        (200, if lag == NONE { String::new() } else { rows })
    };
    (answers(text).await, value)
}

fn rules(folder: &Path, port: u16, query: &str) -> PathBuf {
    rules_of(folder, &format!("url: http://127.0.0.1:{port}\n  timeout: 2s"), query)
}

fn rules_of(folder: &Path, server: &str, query: &str) -> PathBuf {
    let path = folder.join("rules.yml");
    let text = format!(
        "prometheus:\n- {server}\nrules:\n- name: lag\n  query: {query}\n  target: 10\n  proportion: 1\n  interval: 1s\n  functions: [bills]\n"
    );
    std::fs::write(&path, text).expect("written");
    path
}

fn short_windows(rules: &Path) -> Tidegate {
    Start::new()
        .var("TIDEGATE_STABLE_WINDOW", "3s")
        .var("TIDEGATE_FAST_WINDOW", "1s")
        .var("TIDEGATE_RULES", rules.to_str().expect("ASCII"))
        .start()
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

/// Waits until the rule was asked in vain ten times more, which is three times as long as the stable window.
async fn fails_for_long(tidegate: &Tidegate) {
    let before = failures(tidegate).await;
    let deadline = Instant::now() + PATIENCE;
    while failures(tidegate).await < before + 10 {
        assert!(Instant::now() < deadline, "nobody asks any more");
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
    let port = free_port();
    // Nobody answers at the start: that is warned of, no more.
    let tidegate = short_windows(&rules(folder.path(), port, "lag"));
    refused(&tidegate, json!({"com.openfaas.scale.type": "leg"}), "the rules are lag").await;
    let never = json!({"com.tidegate.scale.schedule": "x"});
    refused(&tidegate, never, "label com.tidegate.scale.schedule").await;
    tidegate.deploy(function("orders", json!({"com.openfaas.scale.type": "lag"}))).await;
    tidegate.deploy(function("bills", json!({"com.openfaas.scale.max": "3"}))).await;
    explained(&tidegate, "does not answer").await;
    lag.store(45, Ordering::Relaxed);
    let prometheus = Prometheus::on(port, &target, &[]);
    let five = |wanted, ready| wanted == 5 && ready == 5;
    tidegate.wait_for_counts("orders", "5 for 45 at 10 each", PATIENCE, five).await;
    tidegate.wait_for_counts("bills", "its maximum", PATIENCE, |wanted, _| wanted == 3).await;

    lag.store(NONE, Ordering::Relaxed);
    explained(&tidegate, "the query gives no row with function_name orders").await;
    fails_for_long(&tidegate).await;
    assert_eq!(tidegate.counts("orders").await.0, 5);

    lag.store(0, Ordering::Relaxed);
    drop(prometheus);
    explained(&tidegate, "does not answer").await;
    fails_for_long(&tidegate).await;
    let held = tidegate.counts("orders").await;
    assert!(held.0 >= 4, "{held:?}");

    let _prometheus = Prometheus::on(port, &target, &[]);
    tidegate.wait_for_counts("orders", "back at 1", PATIENCE, |wanted, _| wanted == 1).await;
    tidegate.wait_for_counts("bills", "back at 1", PATIENCE, |wanted, _| wanted == 1).await;
}

/// A Prometheus that speaks TLS alone and lets `reader` in with [`PASSWORD`]; its certificate is `ca.pem`.
fn secured(folder: &Path, port: u16, target: &str) -> Prometheus {
    let key = rcgen::KeyPair::generate().expect("a key");
    let named = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a good name");
    let certificate = named.self_signed(&key).expect("a certificate");
    std::fs::write(folder.join("ca.pem"), certificate.pem()).expect("written");
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
    let web = folder.join("web.yml");
    let text = format!(
        "tls_server_config: {{cert_file: ca.pem, key_file: key.pem}}\nbasic_auth_users: {{reader: {PASSWORD_BCRYPT}}}\n"
    );
    std::fs::write(&web, text).expect("written");
    Prometheus::on(port, target, &[format!("--web.config.file={}", web.display())])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_tls_and_a_login_is_asked_with_both() {
    if !have("prometheus", "story_rules") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (target, lag) = gauge().await;
    let port = free_port();
    let _prometheus = secured(folder.path(), port, &target);
    let password = folder.path().join("password");
    std::fs::write(&password, "an older one\n").expect("written");
    let server = format!(
        "url: https://127.0.0.1:{port}\n  ca_file: ca.pem\n  basic_auth: {{username: reader, password_file: password}}"
    );
    let tidegate = short_windows(&rules_of(folder.path(), &server, "lag"));
    tidegate.deploy(function("orders", json!({"com.openfaas.scale.type": "lag"}))).await;
    lag.store(45, Ordering::Relaxed);
    explained(&tidegate, "401 Unauthorized").await;
    // Who renews a password tells nobody.
    std::fs::write(&password, format!("{PASSWORD}\n")).expect("written");
    tidegate.wait_for_counts("orders", "5 for 45", PATIENCE, |wanted, _| wanted == 5).await;
    let (_, why) = tidegate.json(Method::GET, "/system/scaling/orders", Value::Null).await;
    assert!(!why.to_string().contains(PASSWORD), "{why:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_nobody_vouches_for_is_told_nothing() {
    if !have("prometheus", "story_rules") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let _prometheus = secured(folder.path(), port, "127.0.0.1:1");
    std::fs::write(folder.path().join("token"), "of no use\n").expect("written");
    let server = format!("url: https://127.0.0.1:{port}\n  bearer_token_file: token");
    let tidegate = short_windows(&rules_of(folder.path(), &server, "lag"));
    tidegate.deploy(function("orders", json!({"com.openfaas.scale.type": "lag"}))).await;
    explained(&tidegate, "invalid peer certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_sent_and_read_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    // Prometheus itself knows no tokens; what stands before it does.
    let door = answers(|head| {
        if !head.contains("authorization: Bearer second\r\n") {
            return (401, "who are you?".to_owned());
        }
        let row = r#"{"metric": {"function_name": "orders"}, "value": [1, "45"]}"#;
        let data = format!(r#"{{"resultType": "vector", "result": [{row}]}}"#);
        (200, format!(r#"{{"status": "success", "data": {data}}}"#))
    });
    let server = format!("url: http://{}\n  bearer_token_file: token", door.await);
    let token = folder.path().join("token");
    std::fs::write(&token, "first\n").expect("written");
    let tidegate = short_windows(&rules_of(folder.path(), &server, "lag"));
    tidegate.deploy(function("orders", json!({"com.openfaas.scale.type": "lag"}))).await;
    explained(&tidegate, "who are you?").await;
    std::fs::write(&token, "second\n").expect("written");
    tidegate.wait_for_counts("orders", "5 for 45", PATIENCE, |wanted, _| wanted == 5).await;
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
    let port = free_port();
    let path = rules(folder.path(), port, "lag");
    let text = std::fs::read_to_string(&path).expect("written");
    std::fs::write(&path, text.replace("target: 10", "target: ten")).expect("written");
    refused(&path, "rules.yml:7: \"ten\" is not a number above 0");
    refused(&folder.path().join("none.yml"), "name a file with --rules");
    if !have("prometheus", "story_rules") {
        return;
    }
    let _prometheus = Prometheus::on(port, "127.0.0.1:1", &[]);
    let deadline = Instant::now() + PATIENCE;
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < deadline, "prometheus does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let path = rules(folder.path(), port, "sum by (lag");
    refused(&path, "rules.yml:6: rule lag: the query cannot be read: ");
}
