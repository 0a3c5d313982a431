//! What the tests are made of: a gateway over the fake provider, a scale loop that does what it is asked
//! and remembers it, and a client.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tidegate_core::{FunctionId, Replicas};
use tidegate_gateway::{Clock, Config, Gateway, ScaleError, Scaling, Table};
use tidegate_provider::fake::FakeProvider;
use tidegate_provider::{Change, Provider, ProviderError, ScaleTo};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer, so whatever does has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running gateway over a provider.
pub struct World {
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    pub provider: Arc<dyn Provider>,
    pub table: Arc<Table>,
    pub scaling: Arc<Obedient>,
    pub shutdown: CancellationToken,
}

impl World {
    /// Over an empty fake provider, asking for no password.
    pub async fn new() -> Self {
        Self::over(FakeProvider::default(), |_| {}).await
    }

    /// Over this provider, with other settings; returns when the gateway knows all functions.
    pub async fn over(provider: impl Provider, change: impl FnOnce(&mut Config)) -> Self {
        let provider: Arc<dyn Provider> = Arc::new(provider);
        let lame_duck = Duration::from_millis(1);
        let mut config = Config { lame_duck, threads: 2, ..Config::default() };
        change(&mut config);
        let clock = Clock::new();
        let (table, _nudges) = Table::new(&config, clock.clone());
        let scaling = Arc::new(Obedient {
            provider: Arc::clone(&provider),
            table: Arc::clone(&table),
            asked: Mutex::default(),
        });
        tokio::spawn(follow(Arc::clone(&provider), Arc::clone(&table)));
        let gateway = Gateway::new(
            config,
            clock,
            Arc::clone(&provider),
            Arc::clone(&table),
            Arc::clone(&scaling) as Arc<dyn Scaling>,
            Registry::default(),
        );
        let (listener, metrics_listener) = (listen().await, listen().await);
        let address = listener.local_addr().expect("it is bound");
        let metrics = metrics_listener.local_addr().expect("it is bound");
        let shutdown = CancellationToken::new();
        tokio::spawn(Arc::clone(&gateway).serve(listener, shutdown.clone()));
        tokio::spawn(gateway.serve_metrics(metrics_listener, shutdown.clone()));
        let world = Self { address, metrics, provider, table, scaling, shutdown };
        until(|| world.table.is_synced()).await;
        world
    }

    /// Sends a request such as `GET /system/info` without a body.
    pub async fn ask(&self, line: &str) -> Answer {
        self.send(line, &[], Bytes::new()).await
    }

    /// Sends a request with a JSON body.
    pub async fn tell(&self, line: &str, body: &Value) -> Answer {
        self.send(line, &[("content-type", "application/json")], body.to_string()).await
    }

    /// Sends a request.
    pub async fn send(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let response = self.open(line, headers, body).await;
        let (parts, body) = response.into_parts();
        let body = within(body.collect()).await.expect("the answer ends well").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends a request and returns when the head of the answer is there.
    pub async fn open(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        request(self.address, line, headers, body.into()).await
    }

    /// Deploys a function that answers with what it is sent.
    pub async fn deploy(&self, name: &str) {
        self.deploy_with(name, json!({})).await;
    }

    /// As [`World::deploy`], with other keys.
    pub async fn deploy_with(&self, name: &str, more: Value) {
        let mut body = deployment(name);
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let answer = self.tell("POST /system/functions", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// The function as described.
    pub async fn describe(&self, name: &str) -> Value {
        let answer = self.ask(&format!("GET /system/function/{name}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The metrics page.
    pub async fn scrape(&self) -> String {
        let response = request(self.metrics, "GET /metrics", &[], Bytes::new()).await;
        let body = within(response.collect()).await.expect("the page ends").to_bytes();
        String::from_utf8(body.to_vec()).expect("metrics are text")
    }

    /// What the scale loop was asked, one line each.
    pub fn asked(&self) -> Vec<String> {
        self.scaling.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A small deployment.
pub fn deployment(name: &str) -> Value {
    json!({"service": name, "image": "example/echo:1", "envProcess": "echo"})
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports")
}

async fn request(
    address: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Response<Incoming> {
    let (method, path) = line.split_once(' ').expect("METHOD /path");
    let mut request = Request::builder().method(method).uri(path).header("host", "gateway.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).expect("a good request");
    let stream = within(TcpStream::connect(address)).await.expect("the gateway listens");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("it is open");
    tokio::spawn(connection);
    within(sender.send_request(request)).await.expect("an answer")
}

/// What `src/loops/watch.rs` does.
async fn follow(provider: Arc<dyn Provider>, table: Arc<Table>) {
    let mut changes = provider.watch();
    while let Some(change) = changes.next().await {
        match change {
            Change::Function(status) => drop(table.upsert(&status)),
            Change::Gone(function) => drop(table.remove(&function)),
            Change::Synced => table.set_synced(),
        }
    }
}

/// Fails when `future` takes too long.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes no longer than that")
}

/// Waits until `holds`.
pub async fn until(mut holds: impl FnMut() -> bool) {
    within(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The value of a header; empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless it is a refusal of this status that says why in one or more plain lines.
    pub fn refuses(&self, status: u16, why: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.text().contains(why), "{why:?} is not in {self:?}");
        assert!(self.text().ends_with('\n'), "{self:?}");
        assert_eq!(self.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
    }

    /// Fails unless it has this status and no body.
    pub fn is_empty(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.body.is_empty(), "{self:?}");
    }
}

/// A scale loop that does what it is asked at once, and remembers it.
pub struct Obedient {
    provider: Arc<dyn Provider>,
    table: Arc<Table>,
    asked: Mutex<Vec<String>>,
}

impl Obedient {
    fn remember(&self, line: String) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

#[async_trait]
impl Scaling for Obedient {
    async fn scale(&self, function: &FunctionId, to: Replicas) -> Result<(), ScaleError> {
        self.remember(format!("scale {function} {to}"));
        if to.get() > 100 {
            return Err(ScaleError::Refused("no more than 100 replicas".to_owned()));
        }
        let unknown = || ScaleError::Provider(ProviderError::NotDeployed(function.clone()));
        let entry = self.table.get(function).ok_or_else(unknown)?;
        self.provider.scale(function, ScaleTo::replicas(to.get())).await?;
        entry.set_desired(to);
        Ok(())
    }

    async fn alert(&self, function: &FunctionId, firing: bool) -> Result<(), ScaleError> {
        self.remember(format!("alert {function} {firing}"));
        match function.name() {
            "broken" => Err(ScaleError::Stopping),
            _ => Ok(()),
        }
    }

    async fn explain(&self, function: &FunctionId, _: Option<Replicas>) -> Option<Value> {
        self.table.get(function).map(|_| json!({"function": function.to_string()}))
    }
}
