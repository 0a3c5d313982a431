//! Services: long-lived neighbours of functions, each in one container, on the bridge of the functions.
//!
//! ```text
//! Service (core), image ─► plan: what goes, what stays        pure
//!                            ▼
//! Services::up ─► Keeper of each service: waits for others ► container ► watches ► starts again
//!      ▲             ├─ Names: run/names/services, hosts
//!  control socket    └─ Published: ports of the machine ─► the service's address now
//! ```
//!
//! ```text
//! containerd   namespace PREFIX+openfaas, label of its owner
//!              container tg-STATE-HASH, its definition in the extension tidegate/v1/service
//! state_dir    lock, identity, logs/NAME.log, volumes/NAME
//! run_dir      services/{netns,networks,control}, ipam and names shared with functions
//! ```
//!
//! Like replicas, services outlive the process that looks after them; the next one takes them over.

mod base;
mod container;
mod control;
mod health;
mod keeper;
mod names;
mod plan;
mod ports;
mod restart;
mod spec;
mod status;
mod volumes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tidegate_core::Service;
use tidegate_provider_machine::OpenError;
use tokio::sync::{Mutex as AsyncMutex, broadcast};
use tokio_util::sync::CancellationToken;

use self::base::Base;
use self::container::Found;
use self::keeper::{Handle, Keeper, Wait};
use self::ports::Published;
use self::restart::Pauses;
use self::status::Report;
use crate::Config;
use crate::error::Failure;

pub use self::control::{Asked, ask_services, look_at_services, service_logs};
pub use self::status::{ServiceState, ServiceStatus};

/// Events that a slow listener may be behind.
const EVENTS: usize = 256;

/// A service, and the image that its name stood for when it was brought up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) service: Service,
    /// By its digest.
    pub(crate) image: String,
}

/// Looks after the services of this machine.
#[derive(Debug)]
pub struct Services {
    base: Arc<Base>,
    /// One change at a time.
    turn: AsyncMutex<()>,
    keepers: Mutex<BTreeMap<String, Handle>>,
    published: Published,
    events: broadcast::Sender<ServiceStatus>,
    /// Somebody asked by the socket that all services end.
    down: CancellationToken,
}

impl Services {
    /// Takes the state directory, and serves the socket by which other processes ask. Services of earlier runs
    /// are left as they are until [`Services::up`].
    ///
    /// # Errors
    /// When another process looks after services, or containerd, the state or the network cannot be used.
    pub async fn open(config: Config) -> Result<Arc<Self>, OpenError> {
        let base = Base::open(config).await?;
        let services = Arc::new(Self {
            published: Published::new(base.names.clone(), base.tasks.clone()),
            turn: AsyncMutex::default(),
            keepers: Mutex::default(),
            events: broadcast::Sender::new(EVENTS),
            down: CancellationToken::new(),
            base,
        });
        control::serve(&services)?;
        Ok(services)
    }

    /// Hears of each change of a service from now on.
    pub fn events(&self) -> broadcast::Receiver<ServiceStatus> {
        self.events.subscribe()
    }

    /// All services that are looked after, in order of their names.
    pub fn list(&self) -> Vec<ServiceStatus> {
        self.lock().values().map(|handle| handle.status.borrow().clone()).collect()
    }

    /// Makes these the services that run: those that run already as they are wanted go on, all others end.
    /// Each must come after those that it waits for. Returns when all are on their way, see
    /// [`Services::settled`].
    ///
    /// # Errors
    /// When an image cannot be had or a port is taken, in which case nothing has changed; or when containerd
    /// cannot be asked.
    pub async fn up(&self, services: Vec<Service>) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        let mut wanted = Vec::with_capacity(services.len());
        for service in services {
            let image = self.base.resolve(&service).await?;
            wanted.push(Definition { service, image });
        }
        let ports = wanted.iter().flat_map(|one| {
            let name = &one.service.name;
            one.service.ports.iter().map(move |port| (*port, name.clone()))
        });
        let ports = self.published.bind(ports.collect()).await?;
        let found = container::found(&self.base).await?;
        let known: Vec<plan::Known<'_>> = found.iter().map(Found::known).collect();
        let plan = plan::plan(&wanted, &known);
        for round in plan.goes {
            futures_util::future::join_all(round.iter().map(|name| self.end(name, &found))).await;
        }
        self.published.set(ports).await;
        for definition in &wanted {
            let found = found.iter().find(|it| it.name == definition.service.name);
            let stays = found.filter(|it| plan.stays.contains(&it.name));
            self.keep(definition.clone(), stays).await;
        }
        let is_wanted = |name: &str| wanted.iter().any(|one| one.service.name == name);
        self.base.names.keep(is_wanted).await?;
        self.base.sweep(|id| wanted.iter().any(|one| self.base.id(&one.service.name) == id)).await;
        Ok(())
    }

    /// Ends one service and removes its container; its network stays for whoever comes next under the name.
    async fn end(&self, name: &str, found: &[Found]) {
        let handle = self.lock().remove(name);
        if let Some(handle) = handle {
            handle.stop().await;
        } else if let Some(found) = found.iter().find(|it| it.name == name) {
            container::stop_found(&self.base, found).await;
        }
        let id = found.iter().find(|it| it.name == name).map(|it| it.id.clone());
        container::remove(&self.base, &id.unwrap_or_else(|| self.base.id(name))).await;
    }

    /// Sees to it that somebody looks after a service. `found` is its container, when it has a good one.
    async fn keep(&self, definition: Definition, found: Option<&Found>) {
        let name = definition.service.name.clone();
        let old = {
            let mut keepers = self.lock();
            match keepers.get(&name) {
                // It is as it was, and so is its container. One that waits may wait for a service whose
                // keeper is another one now.
                Some(handle) if handle.definition == definition && handle.is_at_work() => return,
                Some(_) => keepers.remove(&name),
                None => None,
            }
        };
        if let Some(old) = old {
            old.leave().await;
        }
        if found.is_some() {
            container::redefine(&self.base, &definition).await;
        }
        let running = found.and_then(|found| container::running(&self.base, found));
        let keeper = Keeper {
            waits: self.waits(&definition.service),
            report: Report::new(&definition, self.events.clone()),
            recorded: found.is_some(),
            pauses: Pauses::new(definition.service.restart, &self.base.config.settings),
            base: self.base.clone(),
            definition,
        };
        let handle = keeper.spawn(running);
        self.lock().insert(name, handle);
    }

    fn waits(&self, service: &Service) -> Vec<Wait> {
        let keepers = self.lock();
        let wait = |(name, condition): (&String, &_)| {
            let status = keepers.get(name)?.status.clone();
            Some(Wait { name: name.clone(), condition: *condition, status })
        };
        service.depends_on.iter().filter_map(wait).collect()
    }

    /// Ends a service and starts it again in the same container.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn restart(&self, name: &str) -> Result<(), Failure> {
        let keepers = self.lock();
        let Some(handle) = keepers.get(name) else {
            let known: Vec<&str> = keepers.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Failure::Told(format!("there is no service {name:?}; there are {known}")));
        };
        handle.restart();
        Ok(())
    }

    /// Waits until every service runs, has ended, or cannot go on by itself.
    pub async fn settled(&self) {
        let mut events = self.events();
        loop {
            if status::are_settled(&self.list(), |name| self.needs(name)) {
                return;
            }
            // Whoever fell behind just looks again.
            if let Err(broadcast::error::RecvError::Closed) = events.recv().await {
                return;
            }
        }
    }

    fn needs(&self, name: &str) -> Vec<String> {
        let keepers = self.lock();
        let needs =
            |handle: &Handle| handle.definition.service.depends_on.keys().cloned().collect();
        keepers.get(name).map(needs).unwrap_or_default()
    }

    /// Waits until somebody asked by the socket that all services end, and they have.
    pub async fn told_down(&self) {
        self.down.cancelled().await;
    }

    /// Leaves services to run without us; the ports of the machine do not lead to them any more.
    pub async fn close(&self) {
        let _turn = self.turn.lock().await;
        let handles = std::mem::take(&mut *self.lock());
        futures_util::future::join_all(handles.into_values().map(Handle::leave)).await;
        self.published.set(ports::Bound::default()).await;
        self.base.close().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Handle>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
