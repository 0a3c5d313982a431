//! What the tests are made of: a gateway, scripted replicas, and a client that sees every byte.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use tidegate_core::{FunctionId, Replicas};
use tidegate_gateway::{Clock, Config, Door, Entry, Gateway, Nudges, ScaleError, Scaling, Table};
use tidegate_provider::{
    Address, Capabilities, Deployment, FunctionStatus, LogQuery, LogStream, Namespace, Pairs,
    Phase, Provider, ProviderError, ProviderInfo, Replica, ReplicaId, ReplicaUsage, ScaleTo,
    Secret, SecretName, Watch,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer, so whatever does has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where the functions' door is; the machine has all such addresses.
pub const DOOR: &str = "127.0.0.62";
/// The address of a replica of namespace `pets`.
pub const OF_PETS: [u8; 4] = [127, 0, 0, 63];

/// A running gateway.
pub struct World {
    pub address: SocketAddr,
    /// The functions' own door.
    pub inside: SocketAddr,
    pub door: Door,
    pub gateway: Arc<Gateway>,
    pub metrics: SocketAddr,
    pub table: Arc<Table>,
    pub nudges: Nudges,
    pub clock: Clock,
    pub shutdown: CancellationToken,
    pub served: JoinHandle<std::io::Result<()>>,
}

impl World {
    /// A gateway with nothing deployed, told that this is all.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// As [`World::new`], with other settings.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::build(change, true).await
    }

    /// As [`World::with`]; whether the provider has told all already.
    pub async fn build(change: impl FnOnce(&mut Config), synced: bool) -> Self {
        let lame_duck = Duration::from_millis(20);
        let mut config = Config { lame_duck, threads: 2, ..Config::default() };
        change(&mut config);
        let clock = Clock::new();
        let (table, nudges) = Table::new(&config, clock.clone());
        if synced {
            table.set_synced();
        }
        let gateway = Gateway::new(
            config,
            clock.clone(),
            Arc::new(NoProvider),
            Arc::clone(&table),
            Arc::new(NoScaling),
            Registry::default(),
        );
        let (listener, metrics_listener) = (listen().await, listen().await);
        let address = listener.local_addr().expect("it is bound");
        let metrics = metrics_listener.local_addr().expect("it is bound");
        let shutdown = CancellationToken::new();
        let door = TcpListener::bind((DOOR, 0)).await.expect("loopback has ports");
        let inside = door.local_addr().expect("it is bound");
        let listeners = vec![listener, door];
        let door = Door::new(inside.ip(), |caller| {
            (caller == IpAddr::from(OF_PETS)).then(|| "pets".into())
        });
        let serving =
            Arc::clone(&gateway).serve_all(listeners, Some(door.clone()), shutdown.clone());
        let served = tokio::spawn(serving);
        tokio::spawn(Arc::clone(&gateway).serve_metrics(metrics_listener, shutdown.clone()));
        Self { address, inside, door, gateway, metrics, table, nudges, clock, shutdown, served }
    }

    /// Sends `request` verbatim on a connection of its own and reads until the gateway closes it.
    pub async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.expect("the gateway reads");
        read_to_end(&mut stream).await
    }

    /// GETs `path`.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::parse(&self.raw(get(path)).await)
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the gateway listens")
    }

    /// The metrics page.
    pub async fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).await.expect("it listens");
        stream.write_all(get("/metrics").as_bytes()).await.expect("it reads");
        Answer::parse(&read_to_end(&mut stream).await).body
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: gateway.test\r\nconnection: close\r\n\r\n")
}

pub async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports")
}

pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset ends what was read like a close does.
    let _ = within(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until what was read ends with `end`.
pub async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = within(stream.read_u8()).await;
        let byte = byte.unwrap_or_else(|error| panic!("{error} after {text:?}"));
        text.push(char::from(byte));
    }
    text
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

/// An answer taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn parse(text: &str) -> Self {
        let (head, body) =
            text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self { status: status.expect("a status line"), headers, body: body.to_owned() }
    }

    /// The values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The only value of a header.
    pub fn header(&self, name: &str) -> &str {
        match self.all(name)[..] {
            [one] => one,
            ref other => panic!("{name}: {other:?} in {self:?}"),
        }
    }
}

/// One request as a replica received it.
#[derive(Debug)]
pub struct Received {
    pub line: String,
    pub headers: Vec<(String, String)>,
}

impl Received {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// A replica's end of a connection.
pub struct Peer {
    pub stream: TcpStream,
}

impl Peer {
    /// Reads a request's head; `None` when the gateway has closed.
    pub async fn head(&mut self) -> Option<Received> {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            match self.stream.read_u8().await {
                Ok(byte) => text.push(byte),
                Err(_) if text.is_empty() => return None,
                Err(error) => panic!("{error} in a head"),
            }
        }
        let text = String::from_utf8(text).expect("heads are text");
        let mut lines = text.trim_end().lines();
        let line = lines.next().expect("a request line").to_owned();
        let headers = lines
            .map(|line| line.split_once(": ").expect("a field"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Some(Received { line, headers })
    }

    pub async fn write(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.expect("the gateway reads");
    }

    /// Reads until what was read ends with `end`.
    pub async fn read_until(&mut self, end: &str) -> String {
        read_until(&mut self.stream, end).await
    }

    /// Answers with a body of known length.
    pub async fn answer(&mut self, body: &str) {
        let length = body.len();
        self.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
    }
}

/// A replica whose connections are served by `serve`.
pub async fn replica<F, S>(serve: S) -> SocketAddr
where
    S: Fn(Peer) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = listen().await;
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Peer { stream }));
        }
    });
    address
}

/// A replica that answers every request with `body`.
pub async fn constant(body: &'static str) -> SocketAddr {
    replica(move |mut peer| async move {
        while peer.head().await.is_some() {
            peer.answer(body).await;
        }
    })
    .await
}

/// What the provider reports: replicas at these addresses, all ready.
pub fn status(name: &str, replicas: &[SocketAddr]) -> FunctionStatus {
    let one = |(number, address): (usize, &SocketAddr)| Replica {
        id: ReplicaId::new(format!("{name}-{number}")),
        address: Some(Address::Tcp(*address)),
        phase: Phase::Ready,
        restarts: 0,
        detail: String::new(),
    };
    FunctionStatus {
        deployment: Arc::new(deployment(name)),
        revision: 1,
        created: SystemTime::UNIX_EPOCH,
        desired: Replicas::new(u32::try_from(replicas.len()).expect("few")),
        replicas: replicas.iter().enumerate().map(one).collect(),
        crashes: Arc::default(),
    }
}

pub fn deployment(name: &str) -> Deployment {
    Deployment {
        function: FunctionId::parse(name).expect("a good name"),
        image: String::new(),
        process: String::new(),
        env: Pairs::default(),
        labels: Pairs::default(),
        annotations: Pairs::default(),
        secrets: Vec::new(),
        constraints: Vec::new(),
        limits: None,
        requests: None,
        read_only_root: false,
    }
}

/// The same, with a change to what is deployed.
pub fn deployed(
    mut status: FunctionStatus,
    change: impl FnOnce(&mut Deployment),
) -> FunctionStatus {
    change(Arc::make_mut(&mut status.deployment));
    status
}

/// A hard limit of calls a replica takes at once.
pub fn limited(status: FunctionStatus, limit: u32) -> FunctionStatus {
    deployed(status, |one| {
        one.env.insert("max_inflight".to_owned(), limit.to_string());
    })
}

/// Waits until this many calls are being served, and this many wait.
pub async fn settled(world: &World, entry: &Entry, in_flight: u64, waiting: u64) {
    until(|| {
        let load = entry.load(world.clock.now());
        load.is_some_and(|load| (load.in_flight, load.waiting) == (in_flight, waiting))
    })
    .await;
}

/// Nothing scales here.
struct NoScaling;

#[async_trait]
impl Scaling for NoScaling {
    async fn scale(&self, _: &FunctionId, _: Replicas) -> Result<(), ScaleError> {
        Err(ScaleError::Stopping)
    }

    async fn alert(&self, _: &FunctionId, _: bool) -> Result<(), ScaleError> {
        Err(ScaleError::Stopping)
    }

    async fn explain(&self, _: &FunctionId, _: Option<Replicas>) -> Option<serde_json::Value> {
        None
    }
}

/// Nothing is deployed by way of this: the tests write the table themselves.
struct NoProvider;

fn no<T>() -> Result<T, ProviderError> {
    Err(ProviderError::Unsupported { backend: "none", what: "anything" })
}

#[async_trait]
impl Provider for NoProvider {
    fn name(&self) -> &'static str {
        "none"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        no()
    }

    async fn deploy(&self, _: Deployment, _: Replicas) -> Result<(), ProviderError> {
        no()
    }

    async fn update(&self, _: Deployment) -> Result<(), ProviderError> {
        no()
    }

    async fn delete(&self, _: &FunctionId) -> Result<(), ProviderError> {
        no()
    }

    async fn list(&self, _: Option<&str>) -> Result<Vec<FunctionStatus>, ProviderError> {
        no()
    }

    async fn get(&self, _: &FunctionId) -> Result<FunctionStatus, ProviderError> {
        no()
    }

    async fn scale(&self, _: &FunctionId, _: ScaleTo) -> Result<(), ProviderError> {
        no()
    }

    async fn secrets(&self, _: &str) -> Result<Vec<SecretName>, ProviderError> {
        no()
    }

    async fn create_secret(&self, _: Secret) -> Result<(), ProviderError> {
        no()
    }

    async fn update_secret(&self, _: Secret) -> Result<(), ProviderError> {
        no()
    }

    async fn delete_secret(&self, _: &SecretName) -> Result<(), ProviderError> {
        no()
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>, ProviderError> {
        no()
    }

    async fn create_namespace(&self, _: Namespace) -> Result<(), ProviderError> {
        no()
    }

    async fn update_namespace(&self, _: Namespace) -> Result<(), ProviderError> {
        no()
    }

    async fn delete_namespace(&self, _: &str) -> Result<(), ProviderError> {
        no()
    }

    async fn logs(&self, _: LogQuery) -> Result<LogStream, ProviderError> {
        no()
    }

    async fn usage(&self, _: &FunctionId) -> Result<Vec<ReplicaUsage>, ProviderError> {
        no()
    }

    fn watch(&self) -> Watch {
        Box::pin(futures_util::stream::pending())
    }

    async fn release(&self) {}
}
