//! A provider in memory, for tests of those who call providers. It passes the conformance suite, so that it
//! cannot lie; its replicas are tasks that answer HTTP on loopback.
//!
//! What a function does is said by its process: [`ECHO`], [`NEVER_READY`], [`CRASHES`], or [`tells_secret`].

mod replica;
mod world;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidegate_core::{DEFAULT_NAMESPACE, FunctionId, Quantity, Replicas};
use tokio::sync::watch;

use crate::{
    Capabilities, Change, Deployment, FunctionStatus, LogQuery, LogStream, Namespace, Provider,
    ProviderError, ProviderInfo, ReplicaUsage, ScaleTo, Secret, SecretName, Watch,
};
use world::{Function, World};

/// Process of a function that answers with the body, and logs it.
pub const ECHO: &str = "echo";
/// Process of a function that never becomes ready.
pub const NEVER_READY: &str = "never-ready";
/// Process of a function whose replicas crash.
pub const CRASHES: &str = "crashes";
const SECRET: &str = "secret:";

/// Process of a function that answers with this secret's value.
pub fn tells_secret(secret: &str) -> String {
    format!("{SECRET}{secret}")
}

/// When replicas become ready.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Starts {
    /// At once.
    #[default]
    AtOnce,
    /// When the test says so, with [`FakeProvider::let_start`].
    WhenTold,
}

/// A provider in memory.
#[derive(Clone, Debug)]
pub struct FakeProvider {
    world: Arc<Mutex<World>>,
    /// Counts changes; the world's own lock orders them.
    changes: Arc<watch::Sender<u64>>,
    capabilities: Capabilities,
    on_scale: OnScale,
}

type Listener = dyn Fn(&FunctionId, &ScaleTo) + Send + Sync;

/// Who is told of each scale call.
#[derive(Clone)]
struct OnScale(Arc<Listener>);

impl Default for OnScale {
    fn default() -> Self {
        Self(Arc::new(|_, _| ()))
    }
}

impl fmt::Debug for OnScale {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OnScale")
    }
}

impl Default for FakeProvider {
    fn default() -> Self {
        Self::new(Starts::AtOnce)
    }
}

impl FakeProvider {
    /// An empty one that can do everything.
    pub fn new(starts: Starts) -> Self {
        let capabilities =
            Capabilities { freeze: true, create: true, victims: true, namespaces: true };
        Self {
            world: Arc::new(Mutex::new(World::new(starts))),
            changes: Arc::default(),
            capabilities,
            on_scale: OnScale::default(),
        }
    }

    /// The same, telling `listener` of every scale call before it is done.
    pub fn on_scale(
        mut self,
        listener: impl Fn(&FunctionId, &ScaleTo) + Send + Sync + 'static,
    ) -> Self {
        self.on_scale = OnScale(Arc::new(listener));
        self
    }

    /// The same with other capabilities.
    pub fn with(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Lets up to `count` starting replicas of `function` become ready.
    pub fn let_start(&self, function: &FunctionId, count: usize) {
        self.world().let_start(function, count);
        self.changed();
    }

    /// Ends all replicas as a crash of the machine would, and keeps what is durable; the result is the
    /// provider after it. This one is of no use any more.
    pub fn crash(&self) -> Self {
        let world = Arc::new(Mutex::new(self.world().after_crash()));
        world.lock().unwrap_or_else(PoisonError::into_inner).settle_all(&world);
        Self {
            world,
            changes: Arc::default(),
            capabilities: self.capabilities,
            on_scale: self.on_scale.clone(),
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Changes the world, settles `function`, and tells watchers.
    fn change<T>(
        &self,
        function: &FunctionId,
        change: impl FnOnce(&mut World) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let mut world = self.world();
        let done = change(&mut world)?;
        world.settle(function, &self.world);
        drop(world);
        self.changed();
        Ok(done)
    }
}

fn not_found(what: &'static str, name: &str) -> ProviderError {
    ProviderError::NotFound { what, name: name.to_owned() }
}

fn exists(what: &'static str, name: &str) -> ProviderError {
    ProviderError::Exists { what, name: name.to_owned() }
}

fn check(world: &World, deployment: &Deployment) -> Result<(), ProviderError> {
    let invalid = |why: String| Err(ProviderError::Invalid(why));
    let namespace = deployment.function.namespace();
    if !world.namespaces.contains_key(namespace) {
        return invalid(format!("namespace {namespace:?} does not exist"));
    }
    for name in &deployment.secrets {
        let name = SecretName { namespace: namespace.to_owned(), name: name.clone() };
        if !world.secrets.contains_key(&name) {
            return invalid(format!("secret {:?} does not exist", name.name));
        }
    }
    if deployment.process.is_empty() {
        return invalid("the function names no process".to_owned());
    }
    for amounts in [&deployment.limits, &deployment.requests].into_iter().flatten() {
        for text in [&amounts.memory, &amounts.cpu].into_iter().flatten() {
            text.parse::<Quantity>().map_err(|bad| ProviderError::Invalid(bad.to_string()))?;
        }
    }
    Ok(())
}

#[async_trait]
impl Provider for FakeProvider {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        Ok(ProviderInfo {
            provider: "fake".to_owned(),
            orchestration: "memory".to_owned(),
            release: "0.0.0".to_owned(),
            sha: "none".to_owned(),
        })
    }

    async fn deploy(
        &self,
        deployment: Deployment,
        replicas: Replicas,
    ) -> Result<(), ProviderError> {
        let id = deployment.function.clone();
        self.change(&id, |world| {
            if world.functions.contains_key(&deployment.function) {
                return Err(ProviderError::AlreadyDeployed(deployment.function));
            }
            check(world, &deployment)?;
            world.deploy(deployment, replicas);
            Ok(())
        })
    }

    async fn update(&self, deployment: Deployment) -> Result<(), ProviderError> {
        let id = deployment.function.clone();
        self.change(&id, |world| {
            world.function(&deployment.function)?;
            check(world, &deployment)?;
            world.function(&deployment.function)?.update(deployment);
            Ok(())
        })
    }

    async fn delete(&self, function: &FunctionId) -> Result<(), ProviderError> {
        self.change(function, |world| {
            let gone = world.functions.remove(function);
            gone.map(drop).ok_or_else(|| ProviderError::NotDeployed(function.clone()))
        })
    }

    async fn list(&self, namespace: Option<&str>) -> Result<Vec<FunctionStatus>, ProviderError> {
        let world = self.world();
        if let Some(missing) = namespace.filter(|name| !world.namespaces.contains_key(*name)) {
            return Err(not_found("namespace", missing));
        }
        let statuses = world.functions.values().map(Function::status);
        Ok(statuses
            .filter(|it| namespace.is_none_or(|name| it.function().namespace() == name))
            .collect())
    }

    async fn get(&self, function: &FunctionId) -> Result<FunctionStatus, ProviderError> {
        Ok(self.world().function(function)?.status())
    }

    async fn scale(&self, function: &FunctionId, to: ScaleTo) -> Result<(), ProviderError> {
        (self.on_scale.0)(function, &to);
        let capabilities = self.capabilities;
        self.change(function, |world| {
            world.function(function)?.scale(to, capabilities);
            Ok(())
        })
    }

    async fn secrets(&self, namespace: &str) -> Result<Vec<SecretName>, ProviderError> {
        let world = self.world();
        if !world.namespaces.contains_key(namespace) {
            return Err(not_found("namespace", namespace));
        }
        Ok(world.secrets.keys().filter(|name| name.namespace == namespace).cloned().collect())
    }

    async fn create_secret(&self, secret: Secret) -> Result<(), ProviderError> {
        let mut world = self.world();
        if !world.namespaces.contains_key(&secret.name.namespace) {
            return Err(not_found("namespace", &secret.name.namespace));
        }
        if world.secrets.contains_key(&secret.name) {
            return Err(exists("secret", &secret.name.name));
        }
        world.secrets.insert(secret.name, secret.value);
        Ok(())
    }

    async fn update_secret(&self, secret: Secret) -> Result<(), ProviderError> {
        match self.world().secrets.get_mut(&secret.name) {
            Some(value) => {
                *value = secret.value;
                Ok(())
            }
            None => Err(not_found("secret", &secret.name.name)),
        }
    }

    async fn delete_secret(&self, name: &SecretName) -> Result<(), ProviderError> {
        let mut world = self.world();
        if world.uses_secret(name) {
            return Err(ProviderError::Invalid(format!("secret {:?} is used", name.name)));
        }
        world.secrets.remove(name).map(drop).ok_or_else(|| not_found("secret", &name.name))
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>, ProviderError> {
        Ok(self.world().namespaces.values().cloned().collect())
    }

    async fn create_namespace(&self, namespace: Namespace) -> Result<(), ProviderError> {
        FunctionId::check_label("namespace", &namespace.name)
            .map_err(|bad| ProviderError::Invalid(bad.to_string()))?;
        let mut world = self.world();
        if world.namespaces.contains_key(&namespace.name) {
            return Err(exists("namespace", &namespace.name));
        }
        world.namespaces.insert(namespace.name.clone(), namespace);
        Ok(())
    }

    async fn update_namespace(&self, namespace: Namespace) -> Result<(), ProviderError> {
        match self.world().namespaces.get_mut(&namespace.name) {
            Some(known) => {
                *known = namespace;
                Ok(())
            }
            None => Err(not_found("namespace", &namespace.name)),
        }
    }

    async fn delete_namespace(&self, name: &str) -> Result<(), ProviderError> {
        let mut world = self.world();
        let busy = world.functions.keys().any(|function| function.namespace() == name);
        if busy || name == DEFAULT_NAMESPACE {
            return Err(ProviderError::Invalid(format!("namespace {name:?} stays")));
        }
        world.namespaces.remove(name).ok_or_else(|| not_found("namespace", name))?;
        world.secrets.retain(|secret, _| secret.namespace != name);
        Ok(())
    }

    async fn logs(&self, query: LogQuery) -> Result<LogStream, ProviderError> {
        let log = self.world().function(&query.function)?.log();
        Ok(log.read(query))
    }

    async fn usage(&self, function: &FunctionId) -> Result<Vec<ReplicaUsage>, ProviderError> {
        let status = self.world().function(function)?.status();
        let used = status.replicas.into_iter().map(|replica| ReplicaUsage {
            id: replica.id,
            cpu_millis: 1,
            cpu_millicores: 1.0,
            memory_bytes: 1 << 20,
        });
        Ok(used.collect())
    }

    fn watch(&self) -> Watch {
        let watcher = Watcher {
            world: self.world.clone(),
            changes: self.changes.subscribe(),
            told: HashMap::new(),
            synced: false,
        };
        Box::pin(futures_util::stream::unfold(watcher, |mut watcher| async {
            let change = watcher.next().await?;
            Some((change, watcher))
        }))
    }

    async fn release(&self) {
        self.world().functions.clear();
        self.changed();
    }
}

/// Compares what is with what it told, and tells the first difference.
struct Watcher {
    world: Arc<Mutex<World>>,
    changes: watch::Receiver<u64>,
    told: HashMap<FunctionId, FunctionStatus>,
    synced: bool,
}

impl Watcher {
    async fn next(&mut self) -> Option<Change> {
        loop {
            self.changes.borrow_and_update();
            if let Some(change) = self.difference() {
                return Some(change);
            }
            if !std::mem::replace(&mut self.synced, true) {
                return Some(Change::Synced);
            }
            self.changes.changed().await.ok()?;
        }
    }

    fn difference(&mut self) -> Option<Change> {
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, function) in &world.functions {
            let status = function.status();
            if self.told.get(id) != Some(&status) {
                self.told.insert(id.clone(), status.clone());
                return Some(Change::Function(status));
            }
        }
        let gone = self.told.keys().find(|id| !world.functions.contains_key(*id)).cloned()?;
        self.told.remove(&gone);
        Some(Change::Gone(gone))
    }
}
