//! A gateway in front of one fixed address: what `scripts/bench` puts beside HAProxy and nginx.
//!
//! usage: fixed LISTEN METRICS BACKEND [REPLICAS [LIMIT]]; the function is called `bench`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use tidegate_core::{FunctionId, Replicas};
use tidegate_gateway::{Clock, Config, Gateway, ScaleError, Scaling, Table};
use tidegate_provider::fake::FakeProvider;
use tidegate_provider::{Address, Deployment, FunctionStatus, Pairs, Phase, Replica, ReplicaId};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

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

fn status(backend: SocketAddr, replicas: u32, limit: Option<String>) -> FunctionStatus {
    let env = limit.map(|limit| ("max_inflight".to_owned(), limit)).into_iter().collect();
    let deployment = Deployment {
        function: FunctionId::parse("bench").expect("a good name"),
        image: "none".to_owned(),
        process: String::new(),
        env,
        labels: Pairs::default(),
        annotations: Pairs::default(),
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
        created: SystemTime::UNIX_EPOCH,
        desired: Replicas::new(replicas),
        replicas: (0..replicas).map(replica).collect(),
        crashes: Arc::default(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [listen, metrics, backend, rest @ ..] = args.as_slice() else {
        return Err("usage: fixed LISTEN METRICS BACKEND [REPLICAS [LIMIT]]".into());
    };
    let replicas = rest.first().map_or(Ok(1), |text| text.parse())?;
    let clock = Clock::new();
    let config = Config::default();
    let (table, mut nudges) = Table::new(&config, clock.clone());
    table.upsert(&status(backend.parse()?, replicas, rest.get(1).cloned()));
    table.set_synced();
    let provider = Arc::new(FakeProvider::default());
    let gateway =
        Gateway::new(config, clock, provider, table, Arc::new(Fixed), Registry::default());
    let api = TcpListener::bind(listen.as_str()).await?;
    let metrics = TcpListener::bind(metrics.as_str()).await?;
    let never = CancellationToken::new();
    let scraped = gateway.clone().serve_metrics(metrics, never.clone());
    // The nudges of a fixed function have no taker; they are read so that none piles up.
    let nudged = async {
        loop {
            nudges.next().await;
        }
    };
    tokio::select! {
        served = gateway.serve(api, never) => served?,
        scraped = scraped => scraped?,
        () = nudged => {}
    }
    Ok(())
}
