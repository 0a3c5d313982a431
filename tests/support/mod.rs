//! Starts the real program for the stories: own state directory, own ports, ended by its pid.
#![allow(dead_code, reason = "each story uses its part")]
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest that anything may take before a story gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running tidegate.
pub struct Tidegate {
    child: Option<Child>,
    pub state: PathBuf,
    _folder: Option<TempDir>,
    pub url: String,
    pub metrics_url: String,
    pub password: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// How to start one.
#[derive(Default)]
pub struct Start {
    vars: Vec<(String, String)>,
    stack: Option<PathBuf>,
    state: Option<PathBuf>,
}

impl Start {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn stack(mut self, path: impl Into<PathBuf>) -> Self {
        self.stack = Some(path.into());
        self
    }

    /// Starts on the state that another run left.
    pub fn state(mut self, path: &Path) -> Self {
        self.state = Some(path.to_owned());
        self
    }

    /// Starts the program and waits until it says where it listens.
    pub fn start(self) -> Tidegate {
        let folder = self.state.is_none().then(|| tempfile::tempdir().expect("a folder"));
        let state =
            self.state.unwrap_or_else(|| folder.as_ref().expect("made above").path().join("state"));
        let work = state.with_extension("work");
        std::fs::create_dir_all(&work).expect("a work folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("up").current_dir(&work).env("TIDEGATE_STATE_DIR", &state).env("NO_COLOR", "1");
        command.env("TIDEGATE_PORT", "0").env("TIDEGATE_METRICS_PORT", "0");
        command.env("OPENFAAS_CONFIG", "/nonexistent").env_remove("GLIBC_TUNABLES");
        for (name, value) in &self.vars {
            command.env(name, value);
        }
        if let Some(stack) = &self.stack {
            command.arg("-f").arg(stack);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("tidegate starts");
        let stdout = child.stdout.take().expect("piped");
        let (url, metrics_url) = announced(stdout);
        let password =
            std::fs::read_to_string(state.join("password")).unwrap_or_default().trim().to_owned();
        let http = Client::builder(TokioExecutor::new()).build_http();
        Tidegate { child: Some(child), state, _folder: folder, url, metrics_url, password, http }
    }
}

/// Reads stdout to its end in the background; gives the two addresses as soon as they are printed.
fn announced(stdout: std::process::ChildStdout) -> (String, String) {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let address =
                |name: &str| line.trim().strip_prefix(name).map(|rest| rest.trim().to_owned());
            if let Some(url) = address("API ").or_else(|| address("Metrics ")) {
                // The story may have given up already.
                let _ = tell.send(url);
            }
        }
    });
    let next = || told.recv_timeout(PATIENCE).expect("tidegate prints its addresses");
    let url = next();
    (url, next())
}

impl Tidegate {
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid() as i32).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    /// Waits for its end; gives the exit code, if it ended by itself.
    pub fn wait(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("running");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("a child") {
                return status.code();
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("tidegate did not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn kill_9(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.wait();
    }

    pub fn stop(&mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let response = self.http.request(request).await.expect("tidegate answers");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Response::from_parts(head, body)
    }

    pub fn request(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Request<Full<Bytes>> {
        let login = STANDARD.encode(format!("admin:{}", self.password));
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Basic {login}"))
            .body(Full::new(body.into()))
            .expect("a good request")
    }

    pub async fn call(&self, function: &str, body: &str) -> Response<Bytes> {
        self.send(self.request(Method::POST, &format!("/function/{function}"), body.to_owned()))
            .await
    }

    pub async fn json(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let response = self.send(self.request(method, path, body.to_string())).await;
        let value = serde_json::from_slice(response.body()).unwrap_or_else(|_| {
            Value::String(String::from_utf8_lossy(response.body()).into_owned())
        });
        (response.status(), value)
    }

    pub async fn deploy(&self, function: Value) {
        let (status, body) = self.json(Method::POST, "/system/functions", function).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    }

    pub async fn describe(&self, function: &str) -> Value {
        let (status, body) =
            self.json(Method::GET, &format!("/system/function/{function}"), Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Wanted and ready replicas; none of a function that is not deployed yet.
    pub async fn counts(&self, function: &str) -> (u64, u64) {
        let path = format!("/system/function/{function}");
        let (found, status) = self.json(Method::GET, &path, Value::Null).await;
        if found == StatusCode::NOT_FOUND {
            return (0, 0);
        }
        assert_eq!(found, StatusCode::OK, "{status}");
        (
            status["replicas"].as_u64().unwrap_or(0),
            status["availableReplicas"].as_u64().unwrap_or(0),
        )
    }

    pub async fn wait_for_counts(
        &self,
        function: &str,
        what: &str,
        patience: Duration,
        good: impl Fn(u64, u64) -> bool,
    ) -> (u64, u64) {
        let deadline = Instant::now() + patience;
        loop {
            let (wanted, ready) = self.counts(function).await;
            if good(wanted, ready) {
                return (wanted, ready);
            }
            if Instant::now() > deadline {
                let (_, why) = self
                    .json(Method::GET, &format!("/system/scaling/{function}"), Value::Null)
                    .await;
                panic!(
                    "{function}: {what} did not happen; {wanted} wanted, {ready} ready; {why:#}"
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn scale(&self, function: &str, replicas: u32) {
        let body = json!({"serviceName": function, "replicas": replicas});
        let (status, body) =
            self.json(Method::POST, &format!("/system/scale-function/{function}"), body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    }

    pub async fn metrics(&self) -> String {
        let request =
            Request::get(&self.metrics_url).body(Full::default()).expect("a good request");
        String::from_utf8(self.send(request).await.into_body().to_vec()).expect("text")
    }
}

impl Drop for Tidegate {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether `tool` is there; a story that must skip says so in the run's list of what was skipped.
pub fn have(tool: &str, story: &str) -> bool {
    let found = std::env::var("PATH")
        .unwrap_or_default()
        .split(':')
        .any(|folder| Path::new(folder).join(tool).exists());
    if !found {
        let line = format!("{story}: {tool} is not installed (make deps-test)\n");
        if let Ok(path) = std::env::var("TIDEGATE_TEST_SKIPS") {
            use std::io::Write;
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
        }
        eprintln!("skipped: {line}");
    }
    found
}

/// Examples of this repository.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Functions that only the stories use.
pub fn functions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions")
}
