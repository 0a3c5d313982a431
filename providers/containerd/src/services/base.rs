//! What all services share: the connection, images, networks and places.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, getrlimit};
use tidegate_core::service::Pull;
use tidegate_core::{DEFAULT_NAMESPACE, Service};
use tidegate_provider_machine::{OpenError, StateDir, durable};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::names::Names;
use crate::connection::{Connection, Scope};
use crate::error::Failure;
use crate::events::Board;
use crate::ground::{free_addresses, open_failure, short_hash};
use crate::images::Images;
use crate::namespaces::{Namespaces, SERVICES, end_leases};
use crate::network::{Networks, Plan};
use crate::{Config, PullPolicy, firewall, oci_runtime};

/// What all services share.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) config: Config,
    state: StateDir,
    namespaces: Namespaces,
    pub(super) scope: Scope,
    pub(super) images: Images,
    pub(super) networks: Arc<Networks>,
    pub(super) names: Arc<Names>,
    pub(super) board: Arc<Board>,
    /// The program that writes logs.
    pub(super) collector: PathBuf,
    /// Most files that we may open.
    pub(super) open_files: u64,
    pub(super) tasks: TaskTracker,
    /// Cancelled at the end, also when this is dropped.
    pub(super) end: CancellationToken,
    guard: Mutex<Option<DropGuard>>,
}

impl Base {
    /// Takes the state directory and containerd's namespace of services, and makes what they need.
    pub(super) async fn open(mut config: Config) -> Result<Arc<Self>, OpenError> {
        config.oci_runtime = oci_runtime::choose(&config).await;
        let path = config.settings.state_dir.clone();
        let taking = tokio::task::spawn_blocking(move || StateDir::take(&path)).await;
        let state = taking.map_err(|stopped| {
            OpenError::io("take", &config.settings.state_dir)(stopped.into())
        })??;
        let connection = Connection::new(&config.socket, &format!("tg-{}", state.name()));
        connection.version().await.map_err(open_failure)?;
        let prefix = config.namespace_prefix.clone();
        let namespaces = Namespaces::new(connection.clone(), prefix, state.name().to_owned());
        namespaces.take_for_services().await.map_err(open_failure)?;
        let scope = namespaces.scope(SERVICES);
        let tasks = TaskTracker::new();
        let firewall = match config.firewall {
            Some(told) => told,
            None => firewall::is_needed().await,
        };
        let collector = config.program().await.map_err(OpenError::io("find", &config.run_dir))?;
        let (names, networks) = make(&config, &state, firewall, &tasks)?;
        if config.masquerade {
            firewall::masquerade(config.subnet).await;
        }
        let (board, end) = (Arc::<Board>::default(), CancellationToken::new());
        tasks.spawn(board.clone().run(
            connection.clone(),
            scope.namespace().to_owned(),
            end.clone(),
        ));
        let images = Images::new(connection, config.snapshotter.clone(), config.registries.clone());
        let base = Self {
            images,
            scope,
            networks,
            names,
            board,
            collector,
            open_files: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
            tasks,
            guard: Mutex::new(Some(end.clone().drop_guard())),
            end,
            namespaces,
            config,
            state,
        };
        base.end_old_leases().await.map_err(open_failure)?;
        Ok(Arc::new(base))
    }

    /// Leases of earlier runs: nobody else makes services.
    async fn end_old_leases(&self) -> Result<(), Failure> {
        let earlier = format!("tg-{}-", self.state.name());
        end_leases(&self.scope, |lease| lease.starts_with(&earlier)).await
    }

    /// The name of the state directory.
    pub(super) fn state(&self) -> &str {
        self.state.name()
    }

    /// The container of a service, and its network.
    pub(super) fn id(&self, name: &str) -> String {
        format!("tg-{}-{}", self.state.name(), short_hash(name))
    }

    /// The folder of volumes that only have a name.
    pub(super) fn volumes(&self) -> PathBuf {
        self.state.root().join("volumes")
    }

    /// Where a service's output is kept.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        log_folder(self.state.root()).join(format!("{name}.log"))
    }

    /// Finds or fetches the image of a service; returns the name of the same bytes for ever.
    pub(super) async fn resolve(&self, service: &Service) -> Result<String, Failure> {
        let policy = match service.pull {
            None => self.config.registries.policy,
            Some(Pull::Always) => PullPolicy::Always,
            Some(Pull::Missing) => PullPolicy::IfNotPresent,
            Some(Pull::Never) => PullPolicy::Never,
        };
        // What was imported or pulled by hand is where functions find it, also before there are any.
        let others = self.namespaces.list().await?;
        let others = others.iter().map(|it| it.name.as_str()).chain([DEFAULT_NAMESPACE]);
        let others: Vec<String> = others.map(|name| self.namespaces.full(name)).collect();
        let found = self.images.resolve(&service.image, policy, self.scope.namespace(), &others);
        found.await.map_err(|failure| match failure {
            Failure::Told(why) => Failure::Told(format!("service {}: {why}", service.name)),
            other => other,
        })
    }

    /// Removes networks that no service has.
    pub(super) async fn sweep(&self, used: impl Fn(&str) -> bool) {
        self.networks.sweep(used).await;
    }

    /// Ends the tasks that serve all services.
    pub(super) async fn close(&self) {
        let guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(guard);
        self.networks.close().await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The `resolv.conf` of services.
pub(super) fn resolv(config: &Config) -> PathBuf {
    config.run_dir.join("services").join("resolv.conf")
}

/// The folder of all logs of services.
pub(super) fn log_folder(state_dir: &std::path::Path) -> PathBuf {
    state_dir.join("logs")
}

/// Makes what is on this machine. Short, and before anything else runs.
fn make(
    config: &Config,
    state: &StateDir,
    firewall: bool,
    tasks: &TaskTracker,
) -> Result<(Arc<Names>, Arc<Networks>), OpenError> {
    free_addresses(config)?;
    let run = config.run_dir.join("services");
    durable::make_folder(&run).map_err(OpenError::io("make", &run))?;
    let folder = config.run_dir.join("names");
    let names = Names::open(folder.clone(), &resolv(config), config.clone());
    let names = names.map_err(OpenError::io("write names in", &folder))?;
    let plan = Plan {
        run_dir: run.clone(),
        addresses: config.run_dir.join("ipam"),
        plugins: config.plugin_dirs.clone(),
        bridge: config.bridge.clone(),
        subnet: config.subnet,
        firewall,
        // Functions and other services are to reach them.
        isolate: false,
        spare: 0,
        keep: 0,
        prefix: format!("tg-{}-", state.name()),
    };
    let networks = Networks::open(plan, tasks.clone());
    let networks = networks.map_err(OpenError::io("make networks in", &run))?;
    Ok((names, networks))
}
