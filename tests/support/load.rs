//! Real `hey` and a real Prometheus for the stories.
#![allow(dead_code, reason = "each story uses its part")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tempfile::TempDir;

/// A running `hey`; ended when dropped.
pub struct Hey(Child);

impl Hey {
    pub fn start(args: &[&str]) -> Self {
        let child =
            Command::new("hey").args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Self(child.expect("hey is installed"))
    }

    /// Waits for its end; gives what it printed.
    pub fn finish(mut self) -> String {
        use std::io::Read;
        let mut text = String::new();
        let stdout = self.0.stdout.as_mut().expect("piped");
        stdout.read_to_string(&mut text).expect("hey prints text");
        self.0.wait().expect("hey ends");
        text
    }
}

impl Drop for Hey {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Responses by status code, read from hey's summary.
pub fn codes(summary: &str) -> Vec<(u16, u64)> {
    let lines = summary.lines().filter_map(|line| line.trim().strip_prefix('['));
    lines
        .filter_map(|line| {
            let (code, rest) = line.split_once(']')?;
            let count = rest.split_whitespace().next()?;
            Some((code.parse().ok()?, count.parse().ok()?))
        })
        .collect()
}

/// A private Prometheus that scrapes one address every second; ended when dropped.
pub struct Prometheus {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Prometheus {
    pub async fn start(metrics_url: &str) -> Self {
        let target = metrics_url.trim_start_matches("http://").trim_end_matches("/metrics");
        Self::on(free_port(), target, &[])
    }

    /// On a port that is known before, with more flags.
    pub fn on(port: u16, target: &str, flags: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nscrape_configs:\n- job_name: one\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        let path: PathBuf = folder.path().join("prometheus.yml");
        std::fs::write(&path, config).expect("written");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is installed");
        Self { child, url: format!("http://127.0.0.1:{port}"), _folder: folder }
    }

    /// The value of an instant query's first row, once there is one that fits.
    pub async fn wait_for(
        &self,
        query: &str,
        patience: Duration,
        good: impl Fn(f64) -> bool,
    ) -> f64 {
        let deadline = Instant::now() + patience;
        let mut last = None;
        while Instant::now() < deadline {
            last = self.query(query).await;
            if let Some(value) = last.filter(|value| good(*value)) {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{query} did not come true in Prometheus; last it was {last:?}");
    }

    async fn query(&self, query: &str) -> Option<f64> {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let uri = format!("{}/api/v1/query?query={encoded}", self.url).parse().expect("a good URI");
        let body = client.get(uri).await.ok()?.into_body().collect().await.ok()?.to_bytes();
        let answer: Value = serde_json::from_slice(&body).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}
