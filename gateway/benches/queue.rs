//! How long calls wait for a free slot beside an ideal central queue. `cargo bench -p tidegate-gateway --bench queue`.
//!
//! Ten replicas that take one call each, Poisson arrivals at 80 % load, exponential service of 20 ms. Each
//! answer says how long it was really served, so what is left of its latency is the wait. The ideal queue is
//! computed from the same arrivals and the same service times: first come, first served, no cost at all.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use tidegate_core::{FunctionId, Replicas};
use tidegate_gateway::{Clock, Config, Gateway, ScaleError, Scaling, Table};
use tidegate_provider::fake::FakeProvider;
use tidegate_provider::{Address, Deployment, FunctionStatus, Phase, Replica, ReplicaId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const REPLICAS: u32 = 10;
const MEAN_SERVICE: f64 = 0.020;
const LOAD: f64 = 0.8;
const CALLS: usize = 20_000;
/// Calls at the start that are not judged.
const WARM_UP: usize = 500;

/// One finished call, in seconds since the start.
#[derive(Copy, Clone)]
struct Finished {
    sent: f64,
    latency: f64,
    served: f64,
}

fn main() {
    let backend = own_runtime(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(serve(listener));
        address
    });
    let gateway = own_runtime(move || gateway(backend));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut calls = runtime.block_on(send(gateway));
    calls.sort_by(|one, other| one.sent.total_cmp(&other.sent));
    let ideal = ideal_waits(&calls);
    let ours = calls.iter().map(|call| call.latency - call.served).skip(WARM_UP).collect();
    show("tidegate", ours);
    show("ideal central queue", ideal.into_iter().skip(WARM_UP).collect());
}

/// Runs `start` on a runtime with a thread of its own, for good.
fn own_runtime<F, Fut>(start: F) -> SocketAddr
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = SocketAddr>,
{
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            tell.send(start().await).expect("somebody waits");
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("it starts")
}

async fn gateway(backend: SocketAddr) -> SocketAddr {
    let clock = Clock::new();
    let (table, mut nudges) = Table::new(&Config::default(), clock.clone());
    table.upsert(&status(backend));
    table.set_synced();
    let provider = Arc::new(FakeProvider::default());
    let gateway = Gateway::new(
        Config::default(),
        clock,
        provider,
        table,
        Arc::new(Fixed),
        Registry::default(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        loop {
            nudges.next().await;
        }
    });
    tokio::spawn(gateway.serve(listener, CancellationToken::new()));
    address
}

/// A backend that takes as long as it is told.
async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move { serve_calls(stream).await.ok() });
    }
}

async fn serve_calls(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let head = read_head(&mut stream, &mut buffer).await?;
        let began = Instant::now();
        let wanted = field(&head, "x-service:").parse().unwrap_or(0);
        tokio::time::sleep(Duration::from_micros(wanted)).await;
        let served = began.elapsed().as_nanos();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Served: {served}\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// Sends every call when it is due, however many are open.
async fn send(gateway: SocketAddr) -> Vec<Finished> {
    let (done, mut finished) = mpsc::unbounded_channel();
    let (free, mut idle) = mpsc::unbounded_channel::<TcpStream>();
    let began = Instant::now();
    let mut random = Random(7);
    let mut due = 0.0;
    for _ in 0..CALLS {
        due += random.exponential(MEAN_SERVICE / (f64::from(REPLICAS) * LOAD));
        let service = random.exponential(MEAN_SERVICE);
        tokio::time::sleep_until((began + Duration::from_secs_f64(due)).into()).await;
        let stream = idle.try_recv().ok();
        let (done, free) = (done.clone(), free.clone());
        tokio::spawn(async move {
            let mut stream = match stream {
                Some(stream) => stream,
                None => TcpStream::connect(gateway).await.expect("it listens"),
            };
            stream.set_nodelay(true).expect("a TCP socket");
            let sent = began.elapsed().as_secs_f64();
            let served = call(&mut stream, service).await.expect("it answers");
            let latency = began.elapsed().as_secs_f64() - sent;
            // Both ends live as long as the benchmark.
            let _ = (done.send(Finished { sent, latency, served }), free.send(stream));
        });
    }
    let mut all = Vec::new();
    while all.len() < CALLS {
        all.extend(finished.recv().await);
    }
    all
}

async fn call(stream: &mut TcpStream, service: f64) -> io::Result<f64> {
    let micros = (service * 1e6) as u64;
    let head =
        format!("GET /function/bench HTTP/1.1\r\nHost: bench\r\nX-Service: {micros}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let head = read_head(stream, &mut Vec::new()).await?;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    Ok(field(&head, "x-served:").parse::<f64>().unwrap_or(0.0) / 1e9)
}

/// Reads one head, in lower case; there are no bodies here.
async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
            buffer.drain(..end + 4);
            return Ok(head);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
}

/// What each call would wait in a central queue that costs nothing.
fn ideal_waits(calls: &[Finished]) -> Vec<f64> {
    let nanos = |seconds: f64| (seconds * 1e9) as u64;
    let mut free: BinaryHeap<Reverse<u64>> = (0..REPLICAS).map(|_| Reverse(0)).collect();
    calls
        .iter()
        .map(|call| {
            let Reverse(at) = free.pop().expect("there are ten");
            let start = at.max(nanos(call.sent));
            free.push(Reverse(start + nanos(call.served)));
            (start - nanos(call.sent)) as f64 / 1e9
        })
        .collect()
}

fn show(what: &str, mut waits: Vec<f64>) {
    waits.sort_by(f64::total_cmp);
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize] * 1e3;
    let mean = waits.iter().sum::<f64>() / waits.len() as f64 * 1e3;
    println!(
        "{what}: wait mean {mean:.2} ms, p50 {:.2}, p90 {:.2}, p99 {:.2}, {} calls",
        at(0.5),
        at(0.9),
        at(0.99),
        waits.len()
    );
}

/// SplitMix64: the same calls in every run.
struct Random(u64);

impl Random {
    fn exponential(&mut self, mean: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let unit = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - unit).ln() * mean
    }
}

/// Nothing scales here.
struct Fixed;

#[async_trait]
impl Scaling for Fixed {
    async fn scale(&self, _: &FunctionId, _: Replicas) -> Result<(), ScaleError> {
        Err(ScaleError::Refused("the count is fixed".to_owned()))
    }

    async fn alert(&self, _: &FunctionId, _: bool) -> Result<(), ScaleError> {
        Err(ScaleError::Refused("the count is fixed".to_owned()))
    }

    async fn explain(&self, _: &FunctionId, _: Option<Replicas>) -> Option<serde_json::Value> {
        None
    }
}

fn status(backend: SocketAddr) -> FunctionStatus {
    let deployment = Deployment {
        function: FunctionId::parse("bench").expect("a good name"),
        image: "none".to_owned(),
        process: String::new(),
        env: [("max_inflight".to_owned(), "1".to_owned())].into(),
        labels: Default::default(),
        annotations: Default::default(),
        secrets: Vec::new(),
        constraints: Vec::new(),
        limits: None,
        requests: None,
        read_only_root: false,
    };
    let replica = |number| Replica {
        id: ReplicaId::new(format!("bench-{number}")),
        address: Some(Address::Tcp(backend)),
        phase: Phase::Ready,
        restarts: 0,
        detail: String::new(),
    };
    FunctionStatus {
        deployment: Arc::new(deployment),
        revision: 1,
        created: std::time::SystemTime::UNIX_EPOCH,
        desired: Replicas::new(REPLICAS),
        replicas: (0..REPLICAS).map(replica).collect(),
        crashes: Arc::default(),
    }
}
