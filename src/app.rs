//! The running control plane: what listens, what loops, and in which order it ends.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use thiserror::Error;
use tidegate_autoscaler::{Autoscaler, Config as AutoscalerConfig};
use tidegate_gateway::auth::Credentials;
use tidegate_gateway::{Clock, Door, Gateway, LabelCheck, Nudges, Table};
use tidegate_provider::{Capabilities, Provider};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::asking::Asking;
use crate::boot::BootTime;
use crate::config::Config;
use crate::kernel::Proc;
use crate::loops::measure::Measuring;
use crate::loops::pressure::Watching;
use crate::loops::{scale, watch};
use crate::memory::Memories;
use crate::metrics::{CrashCounts, Metrics};
use crate::recording::{self, Pages};
use crate::rules::Rules;
use crate::schedule;
use crate::tasks::Tasks;

/// How many changes the watch loop may be ahead of the scale loop.
const SEEN_AHEAD: usize = 1024;
/// How many management requests may wait for the scale loop.
const REQUESTS_AHEAD: usize = 1024;
/// How long the loops may finish what they do when everything stops.
const LOOP_GRACE: Duration = Duration::from_secs(10);
/// Where functions expect the gateway and each other, whatever its port is elsewhere.
const PORT_FOR_FUNCTIONS: u16 = 8080;
/// Connections that may wait to be accepted from functions.
const BACKLOG: u32 = 1024;

/// A control plane over one provider, not listening yet.
pub struct App {
    config: Config,
    provider: Arc<dyn Provider>,
    table: Arc<Table>,
    gateway: Arc<Gateway>,
    scale: scale::ScaleLoop,
    measuring: Measuring,
    watching: Watching,
    nudges: Nudges,
    requests: mpsc::Receiver<scale::Request>,
    record: Option<Pages>,
    crashes: CrashCounts,
    /// Where functions find the gateway and each other, when that is an address of its own.
    door: Option<Door>,
}

/// A control plane that listens.
pub struct Bound {
    app: App,
    api: Vec<TcpListener>,
    metrics: TcpListener,
    /// Where the API and console answer.
    pub api_address: SocketAddr,
    /// Where `/metrics` answers.
    pub metrics_address: SocketAddr,
}

/// Why a control plane could not start.
#[derive(Debug, Error)]
pub enum AppError {
    /// A port could not be had.
    #[error("cannot listen on {address} for the {what}: {source}; choose another port with {flag}")]
    Listen {
        /// What for.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// There can be no record.
    #[error("cannot write the record {path}: {source}; choose another file with --record")]
    Record {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl App {
    /// Wires a control plane; nothing runs and nothing listens yet.
    pub fn build(
        config: Config,
        provider: Arc<dyn Provider>,
        credentials: Option<Credentials>,
    ) -> Self {
        Self::build_with_rules(config, provider, credentials, Rules::default())
    }

    /// The same, with functions that scale by `rules`.
    pub fn build_with_rules(
        config: Config,
        provider: Arc<dyn Provider>,
        credentials: Option<Credentials>,
        rules: Rules,
    ) -> Self {
        let clock = Clock::new();
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let crashes = CrashCounts::register(&mut registry);
        let mut gateway_config = config.gateway.clone();
        gateway_config.auth = credentials;
        gateway_config.label_check = label_check(rules.clone());
        let (table, nudges) = Table::new(&gateway_config, clock.clone());
        let (ask, requests) = mpsc::channel(REQUESTS_AHEAD);
        let measuring = Measuring {
            clock: clock.clone(),
            provider: provider.clone(),
            table: table.clone(),
            rules: rules.clone(),
            scale: ask.clone(),
        };
        let watching = Watching {
            provider: provider.clone(),
            table: table.clone(),
            limits: config.memory,
            proc: Proc::default(),
            scale: ask.clone(),
        };
        let scaling = Arc::new(Asking::new(ask));
        let gateway = Gateway::new(
            gateway_config,
            clock.clone(),
            provider.clone(),
            table.clone(),
            scaling,
            registry,
        );
        let autoscaler = Autoscaler::new(autoscaler_config(&config, provider.capabilities()));
        let memories = Memories::load(config.state_dir.join("scaling.json"), &BootTime::now());
        let mut scale = scale::ScaleLoop::new(
            clock,
            provider.clone(),
            table.clone(),
            autoscaler,
            metrics,
            memories,
        );
        scale.follow(rules);
        scale.limit_memory(config.memory);
        let record = None;
        let door = None;
        Self {
            config,
            provider,
            table,
            gateway,
            scale,
            measuring,
            watching,
            nudges,
            requests,
            record,
            crashes,
            door,
        }
    }

    /// Takes the ports, and begins the record if one is to be kept.
    ///
    /// # Errors
    /// When a port is taken by somebody else, or the record cannot be written.
    pub async fn bind(mut self) -> Result<Bound, AppError> {
        let at = |port| SocketAddr::new(self.config.bind, port);
        let api = listen(at(self.config.port), "API", "--port").await?;
        let metrics = listen(at(self.config.metrics_port), "metrics", "--metrics-port").await?;
        let api_address = api.local_addr().unwrap_or(at(self.config.port));
        let more = self.listen_for_functions(api_address.port());
        let metrics_address = metrics.local_addr().unwrap_or(at(self.config.metrics_port));
        self.begin_record()?;
        let api = [api].into_iter().chain(more).collect();
        Ok(Bound { app: self, api, metrics, api_address, metrics_address })
    }

    /// Also listens where functions find the gateway and each other, once ports are taken.
    pub fn serve_functions_at(&mut self, door: Option<Door>) {
        self.door = door;
    }

    /// The functions' own door is wanted, not needed: without it only calls from function to function fail.
    fn listen_for_functions(&self, port: u16) -> Vec<TcpListener> {
        let Some(address) = self.door.as_ref().map(Door::address) else { return Vec::new() };
        // A listener on that address, or on all of them, has its port there already.
        let has_own = self.config.bind.is_unspecified() || self.config.bind == address;
        let mut ports = Vec::from_iter((!has_own).then_some(port));
        if port != PORT_FOR_FUNCTIONS {
            ports.push(PORT_FOR_FUNCTIONS);
        }
        let listen = |port| {
            let address = SocketAddr::new(address, port);
            let listening = listen_before_it_exists(address);
            listening.inspect_err(|error| {
                warn!(%error, "functions cannot call the gateway, nor each other, at {address}: cannot listen there");
            })
        };
        ports.into_iter().filter_map(|port| listen(port).ok()).collect()
    }

    fn begin_record(&mut self) -> Result<(), AppError> {
        let Some(path) = &self.config.record else { return Ok(()) };
        let settings = autoscaler_config(&self.config, self.provider.capabilities());
        let begun = recording::begin(path, self.config.record_limit, &settings);
        let (recorder, pages) =
            begun.map_err(|source| AppError::Record { path: path.clone(), source })?;
        self.scale.record(recorder);
        self.record = Some(pages);
        Ok(())
    }
}

impl Bound {
    /// Runs until `stop`, then ends in order: no new connections, calls finish within their grace, the
    /// loops finish their turn, the provider ends its replicas.
    pub async fn run(self, stop: CancellationToken) {
        let Self { app, api, metrics, .. } = self;
        let App {
            provider,
            table,
            gateway,
            scale,
            measuring,
            watching,
            nudges,
            requests,
            record,
            crashes,
            door,
            ..
        } = app;
        let (seen, seeing) = mpsc::channel(SEEN_AHEAD);
        let loops = Tasks::new();
        let inputs = scale::Inputs { seen: seeing, requests, nudges };
        if let Some(pages) = record {
            loops.spawn("record", pages.write());
        }
        loops.spawn("scale", scale.run(inputs, loops.stop()));
        loops.spawn_until_stopped("measure", measuring.run());
        loops.spawn_until_stopped("memory", watching.run());
        loops.spawn_until_stopped("watch", watch::run(provider.clone(), table, seen, crashes));
        let scrapes = Tasks::new();
        let scraped = gateway.clone();
        let scrapes_stop = scrapes.stop();
        scrapes.spawn("metrics", async move {
            report("metrics listener", scraped.serve_metrics(metrics, scrapes_stop).await);
        });
        report("API listener", gateway.serve_all(api, door, stop).await);
        info!("calls are finished; stopping the loops");
        for (what, tasks) in [("loops", loops), ("metrics", scrapes)] {
            if let Err(error) = tasks.shut_down(LOOP_GRACE).await {
                warn!(%error, "the {what} did not end in time");
            }
        }
        provider.release().await;
        info!("stopped");
    }
}

fn report(what: &'static str, result: io::Result<()>) {
    if let Err(error) = result {
        error!(%error, "the {what} failed");
    }
}

/// Listens on an address that the machine may get later: a bridge comes with its first container.
fn listen_before_it_exists(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    rustix::net::sockopt::set_ip_freebind(&socket, true)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn listen(
    address: SocketAddr,
    what: &'static str,
    flag: &'static str,
) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen {
        what,
        address,
        flag,
        source,
    })
}

/// What the gateway cannot judge by itself.
fn label_check(rules: Rules) -> LabelCheck {
    LabelCheck::new(move |labels| match (schedule::check(labels), rules.check(labels)) {
        (Err(one), Err(other)) => Err(format!("{one}\n{other}")),
        (one, other) => one.and(other),
    })
}

fn autoscaler_config(config: &Config, can: Capabilities) -> AutoscalerConfig {
    AutoscalerConfig {
        stable_window: config.stable_window,
        fast_window: config.fast_window,
        idle_after: config.idle_after,
        warm: config.warm,
        created: config.created,
        idle_budget: config.idle_budget,
        dry_run_idle: config.dry_run_idle,
        start_deadline: config.start_deadline,
        can_freeze: can.freeze,
        can_create: can.create,
    }
}
