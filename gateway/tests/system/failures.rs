//! A provider that cannot be reached, is too slow or fails, and clients that are too slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::fake::FakeProvider;
use tidegate_provider::{
    Capabilities, Deployment, FunctionStatus, LogQuery, LogStream, Namespace, Provider,
    ProviderError, ProviderInfo, ReplicaUsage, ScaleTo, Secret, SecretName, Watch,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::world::{World, deployment, until, within};

/// How the backend fails.
#[derive(Copy, Clone)]
enum Fault {
    Unreachable,
    TooSlow,
    Failed,
    Unsupported,
}

/// A provider that answers nothing but its watch. A deployment waits for a permit of `gate` first.
struct Broken {
    fault: Fault,
    well: FakeProvider,
    gate: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
    deployed: Arc<AtomicUsize>,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        let gate = Arc::new(Semaphore::new(1_000));
        Self {
            fault,
            well: FakeProvider::default(),
            gate,
            begun: Arc::default(),
            deployed: Arc::default(),
        }
    }

    fn fail<T>(&self) -> Result<T, ProviderError> {
        let backend = "broken";
        Err(match self.fault {
            Fault::Unreachable => {
                ProviderError::Unreachable { backend, why: "no route to it".to_owned() }
            }
            Fault::TooSlow => ProviderError::TooSlow { backend, limit: Duration::from_secs(5) },
            Fault::Unsupported => ProviderError::Unsupported { backend, what: "anything" },
            Fault::Failed => ProviderError::Failed {
                backend,
                action: "do it".to_owned(),
                source: Box::new(std::io::Error::other("the disk is full")),
            },
        })
    }
}

#[async_trait]
impl Provider for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        self.fail()
    }
    async fn deploy(&self, _: Deployment, _: Replicas) -> Result<(), ProviderError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.expect("it stays open").forget();
        self.deployed.fetch_add(1, Ordering::SeqCst);
        self.fail()
    }
    async fn update(&self, _: Deployment) -> Result<(), ProviderError> {
        self.fail()
    }
    async fn delete(&self, _: &FunctionId) -> Result<(), ProviderError> {
        self.fail()
    }
    async fn list(&self, _: Option<&str>) -> Result<Vec<FunctionStatus>, ProviderError> {
        self.fail()
    }
    async fn get(&self, _: &FunctionId) -> Result<FunctionStatus, ProviderError> {
        self.fail()
    }
    async fn scale(&self, _: &FunctionId, _: ScaleTo) -> Result<(), ProviderError> {
        self.fail()
    }
    async fn secrets(&self, _: &str) -> Result<Vec<SecretName>, ProviderError> {
        self.fail()
    }
    async fn create_secret(&self, _: Secret) -> Result<(), ProviderError> {
        self.fail()
    }
    async fn update_secret(&self, _: Secret) -> Result<(), ProviderError> {
        self.fail()
    }
    async fn delete_secret(&self, _: &SecretName) -> Result<(), ProviderError> {
        self.fail()
    }
    async fn namespaces(&self) -> Result<Vec<Namespace>, ProviderError> {
        self.fail()
    }
    async fn create_namespace(&self, _: Namespace) -> Result<(), ProviderError> {
        self.fail()
    }
    async fn update_namespace(&self, _: Namespace) -> Result<(), ProviderError> {
        self.fail()
    }
    async fn delete_namespace(&self, _: &str) -> Result<(), ProviderError> {
        self.fail()
    }
    async fn logs(&self, _: LogQuery) -> Result<LogStream, ProviderError> {
        self.fail()
    }
    async fn usage(&self, _: &FunctionId) -> Result<Vec<ReplicaUsage>, ProviderError> {
        self.fail()
    }
    fn watch(&self) -> Watch {
        self.well.watch()
    }
    async fn release(&self) {}
}

#[tokio::test]
async fn a_providers_failure_has_its_own_status_and_says_which_part_failed() {
    for (fault, status, why) in [
        (Fault::Unreachable, 503, "the broken provider cannot be reached: no route to it"),
        (Fault::TooSlow, 504, "the broken provider did not answer within 5s"),
        (Fault::Failed, 500, "the broken provider failed to do it: the disk is full"),
        (Fault::Unsupported, 501, "the broken provider does not support anything"),
    ] {
        let world = World::over(Broken::new(fault), |_| {}).await;
        let secret = json!({"name": "s", "value": "v"});
        let namespace = json!({"name": "dev", "labels": {"openfaas": "1"}});
        for answer in [
            world.ask("GET /system/functions").await,
            world.ask("GET /system/function/cat").await,
            world.tell("POST /system/functions", &deployment("cat")).await,
            world.tell("PUT /system/functions", &deployment("cat")).await,
            world.tell("DELETE /system/functions", &json!({"functionName": "cat"})).await,
            world.tell("POST /system/scale-function/cat", &json!({"replicas": 1})).await,
            world.ask("GET /system/secrets").await,
            world.tell("POST /system/secrets", &secret).await,
            world.tell("PUT /system/secrets", &secret).await,
            world.tell("DELETE /system/secrets", &secret).await,
            world.ask("GET /system/namespaces").await,
            world.ask("GET /system/namespace/dev").await,
            world.tell("POST /system/namespace/", &namespace).await,
            world.ask("GET /system/logs?name=cat").await,
        ] {
            answer.refuses(status, why);
            let retry = if status == 503 { "1" } else { "" };
            assert_eq!(answer.header("retry-after"), retry);
        }
        assert_eq!(world.ask("GET /healthz").await.status, 502);
        let info = world.ask("GET /system/info").await.json();
        assert_eq!(info["provider"]["provider"], "broken", "never null");
        assert!(info["provider"]["version"]["release"].is_string());
    }
}

#[tokio::test]
async fn a_deployment_goes_on_when_its_client_leaves() {
    let broken = Broken::new(Fault::Failed);
    let (gate, begun) = (Arc::clone(&broken.gate), Arc::clone(&broken.begun));
    let deployed = Arc::clone(&broken.deployed);
    gate.forget_permits(1_000);
    let world = World::over(broken, |_| {}).await;
    let body = deployment("cat").to_string();
    let request = format!(
        "POST /system/functions HTTP/1.1\r\nhost: g\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(world.address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    until(|| begun.load(Ordering::SeqCst) == 1).await;
    drop(stream);
    // Another request, served after that, so that the gateway has had its chance to notice.
    world.ask("GET /healthz").await;
    gate.add_permits(1);
    until(|| deployed.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up_on() {
    let patience = |config: &mut tidegate_gateway::Config| {
        config.header_timeout = Duration::from_millis(50);
    };
    let world = World::over(FakeProvider::default(), patience).await;
    let mut stream = TcpStream::connect(world.address).await.expect("it listens");
    let head =
        "POST /system/functions HTTP/1.1\r\nhost: g\r\ncontent-length: 100\r\n\r\n{\"service";
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let mut answer = [0; 12];
    within(stream.read_exact(&mut answer)).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
}
