//! What all replicas of an open backend share: the connection, networks, images and places.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, getrlimit};
use sha2::{Digest, Sha256};
use tidegate_core::FunctionId;
use tidegate_provider::{ProviderError, ReplicaId};
use tidegate_provider_machine::{Files, Generation, OpenError, StateDir, place};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::Config;
use crate::cgroup::{Cgroup, Hierarchy};
use crate::connection::{Connection, Scope};
use crate::dns::{Names, Sockets};
use crate::doctor::Missing;
use crate::error::Failure;
use crate::events::Board;
use crate::firewall;
use crate::images::Images;
use crate::lease::Standing;
use crate::name_files::{self, Answering};
use crate::namespaces::{Namespaces, end_leases};
use crate::network::{Networks, Plan};
use crate::oci_runtime;
use crate::secrets::Copies;
use crate::shims::Shims;
use crate::stock;
use crate::strays;

/// Begins the names of leases that a process took by itself, without a state directory.
pub(crate) const BY_PROCESS: &str = "tidegate-";

/// An open backend.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) config: Config,
    pub(crate) state: Arc<StateDir>,
    pub(crate) namespaces: Namespaces,
    pub(crate) images: Images,
    pub(crate) leases: Standing,
    pub(crate) networks: Arc<Networks>,
    pub(crate) board: Arc<Board>,
    /// What looks after containers.
    pub(crate) shims: Arc<Shims>,
    pub(crate) hierarchy: Option<Arc<Hierarchy>>,
    pub(crate) files: Files,
    pub(crate) copies: Copies,
    /// The program that writes logs.
    pub(crate) collector: PathBuf,
    /// Most files that we may open.
    pub(crate) open_files: u64,
    /// Folders of secrets that revisions which are kept use.
    pub(crate) secret_folders: Mutex<BTreeSet<PathBuf>>,
    /// What names mean.
    pub(crate) names: Arc<Names>,
    /// Where replicas ask for names; nobody answers there before all is known.
    sockets: Mutex<Option<Sockets>>,
    /// Tasks that serve all replicas.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when they have to end.
    ended: CancellationToken,
    /// Ends them; also when the backend is dropped.
    pub(crate) end: Mutex<Option<DropGuard>>,
}

impl Ground {
    /// Takes containerd's namespaces, and makes what replicas need.
    pub(crate) async fn open(
        mut config: Config,
        state: Arc<StateDir>,
    ) -> Result<Arc<Self>, OpenError> {
        if let (Some(_), Some(Missing { what, mend })) =
            (&config.oci_runtime, oci_runtime::missing(&config).await)
        {
            return Err(open_failure(Failure::Told(format!("{what}; {mend}"))));
        }
        let told = config.oci_runtime.is_some();
        config.oci_runtime = oci_runtime::choose(&config).await;
        if let Some(program) = config.oci_runtime.as_ref().filter(|_| !told) {
            info!(
                "{program} makes containers, as it is installed; TIDEGATE_OCI_RUNTIME=runc has runc make them"
            );
        }
        let connection = Connection::new(&config.socket, &format!("tg-{}", state.name()));
        connection.version().await.map_err(open_failure)?;
        let prefix = config.namespace_prefix.clone();
        let namespaces = Namespaces::new(connection.clone(), prefix, state.name().to_owned());
        namespaces.take().await.map_err(open_failure)?;
        let tasks = TaskTracker::new();
        let local = Local::prepare(&config, &state, &tasks).await?;
        if config.masquerade {
            firewall::masquerade(config.subnet).await;
        }
        let (board, end) = (Arc::<Board>::default(), CancellationToken::new());
        let (ending, retention) = (end.clone(), config.image_retention);
        let heard = namespaces.full(tidegate_core::DEFAULT_NAMESPACE);
        tasks.spawn(board.clone().run(connection.clone(), heard, end.clone()));
        let shims = Shims::new(format!("tg-{}-shim-", state.name()), config.shims);
        let images = Images::new(connection, config.snapshotter.clone(), config.registries.clone());
        let ground = Arc::new(Self {
            images,
            leases: Standing::default(),
            namespaces,
            networks: local.networks,
            board,
            shims: Arc::new(shims),
            hierarchy: local.hierarchy.map(Arc::new),
            files: local.files,
            copies: local.copies,
            collector: local.collector,
            open_files: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
            secret_folders: Mutex::default(),
            names: Arc::new(local.names),
            sockets: Mutex::new(local.sockets),
            tasks,
            ended: end.clone(),
            end: Mutex::new(Some(end.drop_guard())),
            config,
            state,
        });
        ground.end_old_leases().await.map_err(open_failure)?;
        ground.tasks.spawn(strays::tend(Arc::downgrade(&ground), ending.clone()));
        if !retention.is_zero() {
            ground.tasks.spawn(stock::tend(Arc::downgrade(&ground), retention, ending));
        }
        Ok(ground)
    }

    /// Leases of earlier runs, and of processes that do not live any more.
    async fn end_old_leases(&self) -> Result<(), Failure> {
        let earlier = format!("tg-{}-", self.state.name());
        let dead = |lease: &str| {
            let process = lease.strip_prefix(BY_PROCESS).and_then(|rest| rest.split('-').next());
            lease.starts_with(&earlier)
                || process.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists())
        };
        for namespace in self.namespaces.list().await? {
            end_leases(&self.namespaces.scope(&namespace.name), dead).await?;
        }
        Ok(())
    }

    /// Calls about a function's namespace.
    pub(crate) fn scope(&self, function: &FunctionId) -> Scope {
        self.namespaces.scope(function.namespace())
    }

    /// The id of the container of a replica. A function's name may be no valid id.
    pub(crate) fn container(&self, replica: &ReplicaId) -> String {
        format!("tg-{}-{}", self.state.name(), place(replica))
    }

    /// The id of the container that keeps a function's record; nothing ever runs in it.
    pub(crate) fn record(&self, function: &FunctionId) -> String {
        format!("tg-{}-fn-{}", self.state.name(), short_hash(function.as_str()))
    }

    /// The cgroup of a container, from the root of each hierarchy.
    pub(crate) fn cgroup(&self, scope: &Scope, container: &str) -> String {
        format!("/{}/{container}", scope.namespace())
    }

    /// Lets a container's processes run, so that they can end: of a frozen one that was killed runc says that it
    /// is paused, and removes nothing.
    pub(crate) fn thaw(&self, scope: &Scope, container: &str) {
        if let Some(hierarchy) = &self.hierarchy {
            // There is nothing to thaw when the group is gone.
            let _ = Cgroup::new(hierarchy, &self.cgroup(scope, container)).thaw();
        }
    }

    /// Where `hosts` and `resolv.conf` are.
    pub(crate) fn name_files(&self) -> PathBuf {
        name_folder(&self.config)
    }

    /// Begins to answer replicas that ask for names, once all names are known.
    pub(crate) fn answer_for_names(&self) {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(sockets) = sockets else { return };
        let (names, subnet) = (self.names.clone(), self.config.subnet);
        if let Err(error) = sockets.serve(names, subnet, &self.tasks, &self.ended) {
            warn!("replicas that ask for names are not answered: {error}");
        }
    }

    /// The folder of a revision's secrets.
    pub(crate) fn secret_folder(&self, function: &FunctionId, generation: &str) -> PathBuf {
        self.copies.folder(function.namespace(), &format!("{}.{generation}", function.name()))
    }

    /// Folders of secrets that are in use.
    pub(crate) fn secret_folders(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.secret_folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of a function, only these revisions keep their secrets.
    pub(crate) fn keep_secrets_of(
        &self,
        function: &FunctionId,
        kept: impl Iterator<Item = String>,
    ) {
        let kept: Vec<PathBuf> =
            kept.map(|generation| self.secret_folder(function, &generation)).collect();
        let any = self.secret_folder(function, "");
        self.secret_folders().retain(|folder| kept.contains(folder) || !is_of(folder, &any));
    }

    /// Ends the tasks that serve all replicas.
    pub(crate) async fn close(&self) {
        // First, since replicas go on: meanwhile they find names elsewhere.
        let config = self.config.clone();
        let written = tokio::task::spawn_blocking(move || {
            name_files::write(&name_folder(&config), &config, Answering::Others)
        });
        if let Ok(Err(error)) = written.await {
            warn!("replicas keep asking us for names: {error}");
        }
        let guard = self.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(guard);
        self.networks.close().await;
        self.leases.end().await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What is made on this machine.
struct Local {
    networks: Arc<Networks>,
    hierarchy: Option<Hierarchy>,
    files: Files,
    copies: Copies,
    collector: PathBuf,
    names: Names,
    sockets: Option<Sockets>,
}

impl Local {
    async fn prepare(
        config: &Config,
        state: &StateDir,
        tasks: &TaskTracker,
    ) -> Result<Self, OpenError> {
        let firewall = match config.firewall {
            Some(told) => told,
            None => firewall::is_needed().await,
        };
        let collector = config.program().await.map_err(OpenError::io("find", &config.run_dir))?;
        let (inside, root) = (config.clone(), state.root().to_owned());
        let (name, tasks) = (state.name().to_owned(), tasks.clone());
        let work = move || Self::make(&inside, root, &name, collector, firewall, tasks);
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|stopped| OpenError::io("open", &config.run_dir)(stopped.into()))?
    }

    fn make(
        config: &Config,
        root: PathBuf,
        name: &str,
        collector: PathBuf,
        firewall: bool,
        tasks: TaskTracker,
    ) -> Result<Self, OpenError> {
        free_addresses(config)?;
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let hierarchy = Hierarchy::find(&mounts);
        if hierarchy.is_none() {
            warn!("no control groups are mounted: replicas cannot be frozen nor measured");
        }
        let run = &config.run_dir;
        std::fs::create_dir_all(run).map_err(OpenError::io("make", run))?;
        let sockets = take_port_of_names(config);
        let answering = if sockets.is_some() { Answering::Ourselves } else { Answering::Others };
        let folder = name_folder(config);
        name_files::write(&folder, config, answering)
            .map_err(OpenError::io("write names in", run))?;
        let servers = config.name_servers.clone();
        let names = Names::new(config.subnet.gateway(), &folder.join("services"), servers);
        let plan = Plan {
            run_dir: run.clone(),
            addresses: run.join("ipam"),
            plugins: config.plugin_dirs.clone(),
            bridge: config.bridge.clone(),
            subnet: config.subnet,
            firewall,
            isolate: config.isolate,
            spare: config.spare_networks,
            keep: config.kept_networks,
            prefix: format!("tg-{name}-"),
        };
        Ok(Self {
            networks: Networks::open(plan, tasks)
                .map_err(OpenError::io("make networks in", run))?,
            hierarchy,
            files: Files::make(&root).map_err(OpenError::io("make folders in", &root))?,
            copies: Copies::open(run.join("secrets"))
                .map_err(OpenError::io("make folders in", run))?,
            collector,
            names,
            sockets,
        })
    }
}

fn name_folder(config: &Config) -> PathBuf {
    config.run_dir.join("names")
}

/// Names of functions are wanted, not needed: without them the gateway is still found by its own.
fn take_port_of_names(config: &Config) -> Option<Sockets> {
    let bridge = config.subnet.gateway();
    match Sockets::bind(bridge) {
        Ok(sockets) => Some(sockets),
        Err(error) => {
            warn!(
                "functions do not find each other by name, only the gateway as `gateway`: cannot listen on \
                 {bridge}:53: {error}; see who does with `ss -lnp 'sport = 53'`, and have it leave {bridge} alone"
            );
            None
        }
    }
}

/// Whether a folder of secrets is one of those of a function, whose names begin with `any`.
fn is_of(folder: &Path, any: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|it| it.to_string_lossy().into_owned());
    let (Some(name), Some(begin)) = (name(folder), name(any)) else { return false };
    // What follows is a number, a dot and a number: a longer name of another function has no place there.
    folder.parent() == any.parent()
        && name.strip_prefix(&begin).is_some_and(|rest| rest.parse::<Generation>().is_ok())
}

/// Refuses addresses that this machine reaches elsewhere.
pub(crate) fn free_addresses(config: &Config) -> Result<(), OpenError> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    match config.subnet.taken(&routes, &config.bridge) {
        None => Ok(()),
        Some(route) => Err(open_failure(Failure::Told(format!(
            "addresses {} for functions overlap {route}; choose others",
            config.subnet
        )))),
    }
}

/// A failure to open.
pub(crate) fn open_failure(failure: Failure) -> OpenError {
    OpenError::Backend(ProviderError::from(failure))
}

/// Sixteen hexadecimal digits that stand for a text.
pub(crate) fn short_hash(text: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(text.as_bytes()).iter().take(8).fold(String::new(), |mut out, byte| {
        // Writing to a text does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Labels from pairs.
pub(crate) fn labels<const N: usize>(pairs: [(&str, String); N]) -> HashMap<String, String> {
    pairs.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}
