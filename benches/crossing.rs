//! How long it takes from the arrival that crosses capacity to `Provider::scale` with the full right count,
//! through the whole program: listener, meter, nudge, scale loop, decision. `cargo bench --bench crossing`.
//!
//! Each round takes a fresh function (`capacity`, target 5, one replica) that holds three open calls, and
//! sends it 30 more at once: 33 open calls want 7 replicas. The clock starts before the third of them is
//! written, the one that crosses, so the time to send the burst counts too.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate::{App, Config};
use tidegate_core::{FunctionId, Replicas, Vars};
use tidegate_provider::fake::{ECHO, FakeProvider, Starts};
use tidegate_provider::{Deployment, Pairs, Provider};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 200;
const TARGET: usize = 5;
const OPEN_BEFORE: usize = 3;
const BURST: usize = 30;

type Scales = Arc<Mutex<Vec<(Instant, FunctionId, Replicas)>>>;

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let scales = Scales::default();
    let noted = scales.clone();
    // Replicas stay on their way: more of them would change the load that is measured.
    let provider = FakeProvider::new(Starts::WhenTold).on_scale(move |function, to| {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push((Instant::now(), function.clone(), to.replicas));
    });
    let (address, folder) = runtime.block_on(start(&provider));
    let wanted = Replicas::new((OPEN_BEFORE + BURST).div_ceil(TARGET) as u32);
    let (mut full, mut first) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let function = FunctionId::parse(&format!("f{number}")).expect("a good name");
        let mut before: Vec<_> = (0..OPEN_BEFORE).map(|_| connect(address)).collect();
        before.iter_mut().for_each(|stream| call(stream, &function));
        let mut burst: Vec<_> = (0..BURST).map(|_| connect(address)).collect();
        wait_for_quiet(&runtime, address, &function);
        let mut began = Instant::now();
        for (sent, stream) in burst.iter_mut().enumerate() {
            if sent + OPEN_BEFORE == TARGET {
                began = Instant::now();
            }
            call(stream, &function);
        }
        let at = wait_for_scale(&scales, &function, wanted);
        full.push(at - began);
        first.push(first_scale(&scales, &function) - began);
    }
    show("first scale call", &mut first);
    show("scale call with the full count", &mut full);
    drop(folder);
}

/// A program with all functions deployed, one replica each; listening, without credentials.
async fn start(provider: &FakeProvider) -> (SocketAddr, tempfile::TempDir) {
    for number in 0..ROUNDS {
        let function = FunctionId::parse(&format!("f{number}")).expect("a good name");
        provider.deploy(deployment(&function), Replicas::ONE).await.expect("it is deployed");
        provider.let_start(&function, 1);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let vars = [
        ("TIDEGATE_STATE_DIR", folder.path().display().to_string()),
        ("TIDEGATE_PORT", "0".to_owned()),
        ("TIDEGATE_METRICS_PORT", "0".to_owned()),
    ];
    let vars = vars.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<Vars>();
    let config = Config::from_vars(&vars).expect("good settings");
    let app = App::build(config, Arc::new(provider.clone()), None);
    let bound = app.bind().await.expect("free ports");
    let address = bound.api_address;
    tokio::spawn(bound.run(CancellationToken::new()));
    (address, folder)
}

fn deployment(function: &FunctionId) -> Deployment {
    let labels = [("type", "capacity"), ("target", "5"), ("target-proportion", "1"), ("max", "20")]
        .map(|(name, value)| (format!("com.openfaas.scale.{name}"), value.to_owned()));
    Deployment {
        function: function.clone(),
        image: "none".to_owned(),
        process: ECHO.to_owned(),
        env: Pairs::default(),
        labels: labels.into_iter().collect(),
        annotations: Pairs::default(),
        secrets: Vec::new(),
        constraints: Vec::new(),
        limits: None,
        requests: None,
        read_only_root: false,
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

/// A call that stays open: its body never comes.
fn call(stream: &mut TcpStream, function: &FunctionId) {
    let head = format!(
        "POST /function/{} HTTP/1.1\r\nHost: bench\r\nContent-Length: 1\r\n\r\n",
        function.name()
    );
    stream.write_all(head.as_bytes()).expect("it reads");
}

/// Waits until the open calls are counted, asking as any client would.
fn wait_for_quiet(runtime: &Runtime, address: SocketAddr, function: &FunctionId) {
    let url = format!("/system/scaling/{}", function.name());
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = runtime.block_on(get(address, &url));
        let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
        let seen: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let open = seen.pointer("/in_flight").and_then(serde_json::Value::as_u64);
        if open == Some(OPEN_BEFORE as u64) {
            return;
        }
        assert!(Instant::now() < deadline, "the first calls are not counted: {body}");
    }
}

async fn get(address: SocketAddr, url: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let head = format!("GET {url} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("it answers");
    text
}

fn wait_for_scale(scales: &Scales, function: &FunctionId, wanted: Replicas) -> Instant {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let noted = scales.lock().unwrap_or_else(PoisonError::into_inner);
        let found = noted.iter().find(|(_, of, to)| of == function && *to == wanted);
        if let Some((at, _, _)) = found {
            return *at;
        }
        let so_far: Vec<_> = noted.iter().filter(|(_, of, _)| of == function).collect();
        assert!(Instant::now() < deadline, "{function} was not scaled to {wanted}: {so_far:?}");
        drop(noted);
        std::thread::yield_now();
    }
}

fn first_scale(scales: &Scales, function: &FunctionId) -> Instant {
    let noted = scales.lock().unwrap_or_else(PoisonError::into_inner);
    let found = noted.iter().find(|(_, of, _)| of == function);
    found.expect("one was found before").0
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms, {} rounds",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
}
