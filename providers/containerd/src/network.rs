//! Networks for replicas: made, kept on disk with what it takes to remove them, some of them ahead of need, and
//! used again: plugins take longer than all else of a start. Nothing of a replica stays in its network, since it has
//! not the rights to change it and its sockets end with it.
//!
//! ```text
//! run/netns/ID              the network itself
//! run/networks/ID.json      what CNI's ADD told, needed for DEL; written before ADD without it
//! run/ipam/                 which addresses are taken, host-local's own
//! ```
//!
//! All of it is on a file system that a reboot empties, as it does the networks.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde_json::{Value, json};
use tidegate_provider::Address;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::cni::{self, Chain};
use crate::error::Failure;
use crate::subnet::Subnet;
use crate::{clock, netlink, netns};

/// What networks are made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where the files are.
    pub(crate) run_dir: PathBuf,
    /// Where it is written which addresses are taken: one place for all who share the bridge.
    pub(crate) addresses: PathBuf,
    /// Where the plugins are.
    pub(crate) plugins: Vec<PathBuf>,
    pub(crate) bridge: String,
    pub(crate) subnet: Subnet,
    /// Whether the machine's firewall must be told of each replica.
    pub(crate) firewall: bool,
    /// Whether replicas are kept from each other.
    pub(crate) isolate: bool,
    /// How many are made ahead of need.
    pub(crate) spare: usize,
    /// How many wait for the next replicas at most, those that were used before among them.
    pub(crate) keep: usize,
    /// Begins the names of our networks.
    pub(crate) prefix: String,
}

/// A network that a replica can live in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// Its name.
    pub(crate) id: String,
    /// The address inside.
    pub(crate) address: Ipv4Addr,
}

/// A network that has its name, and perhaps nothing else yet.
#[derive(Debug)]
pub(crate) struct Taken {
    id: String,
    state: Attaching,
    networks: Arc<Networks>,
}

#[derive(Debug)]
enum Attaching {
    Done(Network),
    UnderWay(oneshot::Receiver<Result<Network, Failure>>),
    /// Whoever took it has it.
    Claimed,
}

/// All networks of this backend.
#[derive(Debug)]
pub(crate) struct Networks {
    plan: Plan,
    chain: Chain,
    /// Those that wait, the one that waits longest first: what is left of connections to the replica before has
    /// ended by then.
    spare: Mutex<VecDeque<Network>>,
    next: AtomicU64,
    /// Plugins wait for each other; more of them at once only make all slower.
    at_once: Semaphore,
    tasks: TaskTracker,
}

impl Networks {
    /// Makes the folders. Blocks.
    pub(crate) fn open(plan: Plan, tasks: TaskTracker) -> io::Result<Arc<Self>> {
        for folder in ["netns", "networks"] {
            std::fs::create_dir_all(plan.run_dir.join(folder))?;
        }
        std::fs::create_dir_all(&plan.addresses)?;
        let chain = Chain::new(&plan.bridge, &plan.plugins, plugins(&plan));
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Ok(Arc::new(Self {
            chain,
            plan,
            spare: Mutex::default(),
            next: AtomicU64::new(0),
            at_once: Semaphore::new(2 * cores),
            tasks,
        }))
    }

    /// Where a network is reached.
    pub(crate) fn path(&self, id: &str) -> PathBuf {
        let mut path = self.plan.run_dir.join("netns").join(id);
        // Kept as long as the replica: a path that is joined has room for more.
        path.shrink_to_fit();
        path
    }

    /// Where the replica in a network listens on `port`.
    pub(crate) fn place(&self, network: &Network, port: u16) -> Place {
        let socket = SocketAddr::from((network.address, port));
        Place { socket, network: Arc::new(self.path(&network.id)) }
    }

    fn record(&self, id: &str) -> PathBuf {
        self.plan.run_dir.join("networks").join(format!("{id}.json"))
    }

    /// A network: a spare one, or one that is named at once and attached in the background.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<Taken, Failure> {
        let spare = self.lock().pop_front();
        if let Some(network) = spare {
            self.refill();
            return Ok(Taken {
                id: network.id.clone(),
                state: Attaching::Done(network),
                networks: self.clone(),
            });
        }
        let id = self.name().await?;
        let networks = self.clone();
        let (sender, receiver) = oneshot::channel();
        let inside = id.clone();
        self.tasks.spawn(async move {
            // Whoever wanted it went away.
            if let Err(Ok(unclaimed)) = sender.send(networks.attach(&inside).await) {
                networks.release(unclaimed).await;
            }
        });
        Ok(Taken { id, state: Attaching::UnderWay(receiver), networks: self.clone() })
    }

    /// Makes networks ahead of need, in the background.
    pub(crate) fn refill(self: &Arc<Self>) {
        let networks = self.clone();
        self.tasks.spawn(async move {
            while networks.wants_more() {
                match networks.make().await {
                    Ok(network) => networks.release(network).await,
                    Err(failure) => {
                        debug!("no network ahead of need: {failure}");
                        return;
                    }
                }
            }
        });
    }

    fn wants_more(&self) -> bool {
        self.lock().len() < self.plan.spare && !self.tasks.is_closed()
    }

    /// Takes back a network in which nothing runs: for the next replica, unless enough of them wait already.
    pub(crate) async fn release(&self, network: Network) {
        let surplus = {
            let mut spare = self.lock();
            let room = spare.len() < self.plan.keep.max(self.plan.spare);
            if room && !self.tasks.is_closed() {
                spare.push_back(network);
                return;
            }
            network
        };
        self.remove(&surplus.id).await;
    }

    /// Makes a network that is not attached to anything yet; returns its name.
    async fn name(&self) -> Result<String, Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}{:x}-{number}", self.plan.prefix, clock::since_epoch().as_micros());
        self.reserve(&id).await?;
        Ok(id)
    }

    /// The network of this name, made when it is not there or not whole. `doubt` asks to look whether it is as
    /// it was made, and to make it anew when not.
    pub(crate) async fn named(&self, id: &str, doubt: bool) -> Result<Network, Failure> {
        if let Some(network) = self.find(id).await {
            let checked = if doubt { self.check(&network).await } else { Ok(()) };
            match checked {
                Ok(()) => return Ok(network),
                Err(failure) => debug!(network = id, "made anew: {failure}"),
            }
        }
        if self.record(id).exists() || self.path(id).exists() {
            self.remove(id).await;
        }
        self.reserve(id).await?;
        self.attach(id).await
    }

    /// Makes a network of this name that is not attached to anything yet.
    async fn reserve(&self, id: &str) -> Result<(), Failure> {
        let (path, record) = (self.path(id), self.record(id));
        // First, so that whoever finds the network also finds that it must be taken off.
        let made = blocking(move || {
            std::fs::write(&record, Value::Null.to_string())?;
            netns::make(&path)
        });
        made.await.map_err(Failure::io("make a network"))
    }

    async fn make(&self) -> Result<Network, Failure> {
        let id = self.name().await?;
        self.attach(&id).await
    }

    async fn attach(&self, id: &str) -> Result<Network, Failure> {
        let attached = self.add(id).await;
        if attached.is_err() {
            self.remove(id).await;
        }
        attached
    }

    async fn add(&self, id: &str) -> Result<Network, Failure> {
        let _permit = self.at_once.acquire().await;
        let result = self.chain.add(id, &self.path(id)).await?;
        let told = cni::attached(&result, &self.plan.bridge)?;
        let record = self.record(id);
        let text = result.to_string();
        blocking(move || std::fs::write(record, text))
            .await
            .map_err(Failure::io("keep a network's record"))?;
        let (isolated, bridge) = (self.plan.isolate, self.plan.bridge.clone());
        let address = told.address;
        let settled = blocking(move || {
            if let Some(hardware) = told.hardware {
                netlink::introduce(interface(&bridge)?, address, hardware)?;
            }
            match told.port.filter(|_| isolated) {
                Some(port) => netlink::isolate(interface(&port)?),
                None => Ok(()),
            }
        });
        settled.await.map_err(Failure::io("settle a network on its bridge"))?;
        Ok(Network { id: id.to_owned(), address })
    }

    /// Whether a network is as it was made.
    pub(crate) async fn check(&self, network: &Network) -> Result<(), Failure> {
        let result = self.result(&network.id).await;
        self.chain.check(&network.id, &self.path(&network.id), &result).await
    }

    /// A network that was made by an earlier run, if it is whole.
    pub(crate) async fn find(&self, id: &str) -> Option<Network> {
        let told = cni::attached(&self.result(id).await, &self.plan.bridge).ok()?;
        self.path(id).exists().then(|| Network { id: id.to_owned(), address: told.address })
    }

    async fn result(&self, id: &str) -> Value {
        let record = self.record(id);
        let text = blocking(move || std::fs::read(record)).await.unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or(Value::Null)
    }

    /// The part of a result that removing needs, of a network whose ADD was not seen to its end: rules of the
    /// firewall are found by the address, which is in the lease.
    async fn leased(&self, id: &str) -> Value {
        let (leases, id) = (self.leases(), id.to_owned());
        let looking = blocking(move || {
            let mut leases = leases_in(&leases)?;
            Ok(leases.find(|(_, holder)| *holder == id).map(|(address, _)| address))
        });
        match looking.await {
            Ok(Some(address)) => {
                json!({"cniVersion": cni::VERSION, "ips": [{"address": format!("{address}/32")}]})
            }
            _ => Value::Null,
        }
    }

    /// Where host-local keeps which address is whose.
    fn leases(&self) -> PathBuf {
        self.plan.addresses.join(&self.plan.bridge)
    }

    /// Removes a network with its address; what is gone already is fine. What cannot be removed now is tried
    /// again at the next open.
    pub(crate) async fn remove(&self, id: &str) {
        let result = match self.result(id).await {
            Value::Null => self.leased(id).await,
            result => result,
        };
        let path = self.path(id);
        if let Err(failure) = self.chain.del(id, &path, &result).await {
            warn!(network = id, "cannot take a network off the machine: {failure}");
            return;
        }
        let record = self.record(id);
        let removed = blocking(move || {
            netns::remove(&path)?;
            std::fs::remove_file(record)
        });
        if let Err(failure) = removed.await {
            debug!(network = id, "cannot remove a network: {failure}");
        }
    }

    /// Removes all networks but those that `used` names, and makes spare ones.
    pub(crate) async fn sweep(self: &Arc<Self>, used: impl Fn(&str) -> bool) {
        let spare: Vec<String> = self.lock().iter().map(|network| network.id.clone()).collect();
        let (folder, leases) = (self.plan.run_dir.clone(), self.leases());
        let prefix = self.plan.prefix.clone();
        let known = blocking(move || names(&folder, &leases, &prefix)).await.unwrap_or_default();
        for id in known {
            if !used(&id) && !spare.contains(&id) {
                self.remove(&id).await;
            }
        }
        self.refill();
    }

    /// Removes the spare ones, and makes no more.
    pub(crate) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        let spare = std::mem::take(&mut *self.lock());
        for network in spare {
            self.remove(&network.id).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Network>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Its name; the network has it already.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The network, when it is attached already.
    pub(crate) fn network(&self) -> Option<&Network> {
        match &self.state {
            Attaching::Done(network) => Some(network),
            _ => None,
        }
    }

    /// Waits until it is attached.
    pub(crate) async fn attached(mut self) -> Result<Network, Failure> {
        let gone = || Failure::Told("the backend is shutting down".to_owned());
        if let Attaching::UnderWay(receiver) = &mut self.state {
            let network = receiver.await.unwrap_or_else(|_| Err(gone()));
            self.state = Attaching::Claimed;
            return network;
        }
        match std::mem::replace(&mut self.state, Attaching::Claimed) {
            Attaching::Done(network) => Ok(network),
            _ => Err(gone()),
        }
    }
}

/// What nobody claimed goes back, wherever its taker went away.
impl Drop for Taken {
    fn drop(&mut self) {
        let unclaimed = match std::mem::replace(&mut self.state, Attaching::Claimed) {
            Attaching::Done(network) => Some(network),
            Attaching::UnderWay(mut receiver) => {
                // From here on the one who attaches it finds nobody, and gives it back himself.
                receiver.close();
                receiver.try_recv().ok().and_then(Result::ok)
            }
            Attaching::Claimed => None,
        };
        if let Some(network) = unclaimed
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let networks = self.networks.clone();
            let back = async move { networks.release(network).await };
            self.networks.tasks.spawn_on(back, &runtime);
        }
    }
}

/// The name on which a replica's watchdog, if it is ours, listens beside its port.
///
/// Abstract names belong to a network, and a replica's network is its own: each replica has this name for itself. Only its
/// own processes and we can take or reach it, and no file is involved that could be another one.
pub(crate) const LOCAL: &str = "tidegate";

/// Where a replica listens.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// As the machine reaches it, over the bridge.
    pub(crate) socket: SocketAddr,
    network: Arc<PathBuf>,
}

impl Place {
    /// As the gateway reaches it.
    pub(crate) fn address(&self) -> Address {
        // One for all replicas: each would carry a piece of its own.
        static SHARED: LazyLock<Arc<str>> = LazyLock::new(|| LOCAL.into());
        let local = SHARED.clone();
        Address::Inside { network: self.network.clone(), address: self.socket, local }
    }
}

/// The plugins' configuration.
fn plugins(plan: &Plan) -> Vec<Value> {
    let mut plugins = vec![json!({
        "type": "bridge",
        "bridge": plan.bridge,
        "isDefaultGateway": true,
        "hairpinMode": !plan.isolate,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": plan.subnet.to_string(), "gateway": plan.subnet.gateway().to_string()}]],
            "dataDir": plan.addresses,
        },
    })];
    if plan.firewall {
        plugins.push(json!({"type": "firewall"}));
    }
    plugins
}

/// All networks there are, whole or half made.
fn names(run_dir: &Path, leases: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let mut names = std::collections::BTreeSet::new();
    // An address alone is left when a plugin went on after tidegate was killed. Those of others are theirs.
    let holders = leases_in(leases).into_iter().flatten().map(|(_, holder)| holder);
    names.extend(holders.filter(|holder| holder.starts_with(prefix)));
    for folder in ["netns", "networks"] {
        for entry in std::fs::read_dir(run_dir.join(folder))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.insert(name.trim_end_matches(".json").to_owned());
        }
    }
    Ok(names.into_iter().collect())
}

/// Addresses that are taken, and by which network. Source: CNI's host-local plugin, "Files".
fn leases_in(folder: &Path) -> io::Result<impl Iterator<Item = (Ipv4Addr, String)>> {
    Ok(std::fs::read_dir(folder)?.flatten().filter_map(|entry| {
        let address = entry.file_name().to_str()?.parse().ok()?;
        let text = std::fs::read_to_string(entry.path()).ok()?;
        Some((address, text.lines().next()?.trim().to_owned()))
    }))
}

/// The number of an interface of this machine.
fn interface(name: &str) -> io::Result<u32> {
    let text = std::fs::read_to_string(Path::new("/sys/class/net").join(name).join("ifindex"))?;
    text.trim().parse().map_err(io::Error::other)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done)
}
