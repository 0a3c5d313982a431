//! The trait's implementation: what is asked is checked, kept, and passed on to the function it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::{
    Capabilities, Deployment, FunctionStatus, LogQuery, LogStream, Namespace, Provider,
    ProviderError, ProviderInfo, ReplicaUsage, ScaleTo, Secret, SecretName, Watch,
};
use tokio::sync::RwLock;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::error::BACKEND;
use crate::function::Function;
use crate::host::Host;
use crate::names::{self, Names};
use crate::open::{self, Opened};
use crate::revision::Revision;
use crate::{Config, OpenError, clock, durable, logs};

/// Runs replicas as watchdog children of this process.
#[derive(Debug)]
pub struct ProcessProvider {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    host: Arc<Host>,
    functions: Mutex<Functions>,
    names: RwLock<Names>,
}

#[derive(Debug, Default)]
struct Functions {
    deployed: BTreeMap<FunctionId, Arc<Function>>,
    /// On their way to disk; not there yet for anybody, but nobody else may take the name.
    reserved: BTreeSet<FunctionId>,
}

impl ProcessProvider {
    /// Takes the state directory, ends what an earlier run left behind, and starts what was deployed.
    ///
    /// Replicas are tasks of the runtime this is called in, spawned through `tasks`; they end with
    /// [`Provider::release`].
    ///
    /// # Errors
    /// When the directory is in use, cannot be written, or holds a damaged file.
    pub async fn open(config: Config, tasks: TaskTracker) -> Result<Arc<Self>, OpenError> {
        let state_dir = config.state_dir.clone();
        let opening = tokio::task::spawn_blocking(move || open::open(config, tasks)).await;
        let Opened { host, names, functions } =
            opening.map_err(|stopped| OpenError::io("open", &state_dir)(stopped.into()))??;
        let deployed =
            functions.iter().map(|function| (function.id.clone(), function.clone())).collect();
        let inner = Inner {
            host,
            functions: Mutex::new(Functions { deployed, ..Functions::default() }),
            names: RwLock::new(names),
        };
        for function in functions {
            function.start();
        }
        Ok(Arc::new(Self { inner: Arc::new(inner) }))
    }

    /// Whether memory and CPU limits hold for whole replicas; without cgroups memory limits hold for each
    /// process alone, and CPU limits do not hold.
    pub fn limits_hold(&self) -> bool {
        self.inner.host.cgroups.is_some()
    }
}

impl Inner {
    fn functions(&self) -> MutexGuard<'_, Functions> {
        // Nothing in these sections can stop half-way.
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, function: &FunctionId) -> Result<Arc<Function>, ProviderError> {
        let found = self.functions().deployed.get(function).cloned();
        found.ok_or_else(|| ProviderError::NotDeployed(function.clone()))
    }

    fn all(&self) -> Vec<Arc<Function>> {
        self.functions().deployed.values().cloned().collect()
    }

    async fn deploy(
        self: Arc<Self>,
        deployment: Deployment,
        replicas: Replicas,
    ) -> Result<(), ProviderError> {
        let names = self.names.read().await;
        let reservation = Reservation::new(&self, &deployment.function)?;
        names.check(&deployment)?;
        let revision = Revision::new(1, deployment, &self.host.config)?;
        warn_of_what_is_not_done(&revision.deployment);
        names::mount_for(&self.host, &revision).await?;
        let function = Function::new(self.host.clone(), clock::wall(), replicas, revision, None);
        function.first_save().await?;
        self.functions().deployed.insert(function.id.clone(), function.clone());
        drop(reservation);
        function.start();
        Ok(())
    }

    async fn update(self: Arc<Self>, deployment: Deployment) -> Result<(), ProviderError> {
        let function = self.find(&deployment.function)?;
        let names = self.names.read().await;
        names.check(&deployment)?;
        warn_of_what_is_not_done(&deployment);
        function.update(deployment).await
    }

    async fn delete(self: Arc<Self>, function: FunctionId) -> Result<(), ProviderError> {
        let _names = self.names.read().await;
        let function = self.find(&function)?;
        function.delete().await?;
        let mut functions = self.functions();
        if functions.deployed.get(&function.id).is_some_and(|it| Arc::ptr_eq(it, &function)) {
            functions.deployed.remove(&function.id);
        }
        drop(functions);
        self.host.changed(&function.id);
        Ok(())
    }

    async fn create_secret(self: Arc<Self>, secret: Secret) -> Result<(), ProviderError> {
        let mut names = self.names.write().await;
        names.check_new_secret(&secret.name)?;
        let name = secret.name.clone();
        self.write_secret(secret).await?;
        names.add_secret(name);
        Ok(())
    }

    async fn update_secret(self: Arc<Self>, secret: Secret) -> Result<(), ProviderError> {
        let names = self.names.write().await;
        names.check_secret(&secret.name)?;
        self.write_secret(secret).await
    }

    async fn write_secret(&self, secret: Secret) -> Result<(), ProviderError> {
        let host = self.host.clone();
        self.host.disk("write the secret", move || names::write_secret(&host.layout, &secret)).await
    }

    async fn delete_secret(self: Arc<Self>, name: SecretName) -> Result<(), ProviderError> {
        let mut names = self.names.write().await;
        names.check_secret(&name)?;
        let users: Vec<String> = self
            .all()
            .iter()
            .filter(|function| {
                function.id.namespace() == name.namespace && function.uses_secret(&name.name)
            })
            .map(|function| function.id.name().to_owned())
            .collect();
        if !users.is_empty() {
            return Err(ProviderError::Invalid(format!(
                "secret {:?} is used by {}; remove it there first",
                name.name,
                users.join(", ")
            )));
        }
        let path = self.host.layout.secret(&name);
        self.host.disk("remove the secret", move || durable::remove(&path)).await?;
        names.remove_secret(&name);
        Ok(())
    }

    async fn put_namespace(
        self: Arc<Self>,
        namespace: Namespace,
        new: bool,
    ) -> Result<(), ProviderError> {
        let mut names = self.names.write().await;
        if new {
            names.check_new_namespace(&namespace.name)?;
        } else {
            names.check_namespace(&namespace.name)?;
        }
        let (host, written) = (self.host.clone(), namespace.clone());
        let work = move || names::write_namespace(&host.layout, written);
        self.host.disk("write the namespace", work).await?;
        names.put_namespace(namespace);
        Ok(())
    }

    async fn delete_namespace(self: Arc<Self>, name: String) -> Result<(), ProviderError> {
        let mut names = self.names.write().await;
        names.check_namespace(&name)?;
        if name == tidegate_core::DEFAULT_NAMESPACE {
            return Err(ProviderError::Invalid(format!(
                "namespace {name:?} is the default one and stays"
            )));
        }
        if self.all().iter().any(|function| function.id.namespace() == name) {
            return Err(ProviderError::Invalid(format!(
                "namespace {name:?} holds functions; remove them first"
            )));
        }
        let (host, removed) = (self.host.clone(), name.clone());
        let work = move || names::remove_namespace(&host.layout, &removed);
        self.host.disk("remove the namespace", work).await?;
        names.remove_namespace(&name);
        Ok(())
    }
}

/// Keeps a name while its function is on the way to disk.
struct Reservation<'a> {
    inner: &'a Inner,
    function: FunctionId,
}

impl<'a> Reservation<'a> {
    fn new(inner: &'a Inner, function: &FunctionId) -> Result<Self, ProviderError> {
        let mut functions = inner.functions();
        if functions.deployed.contains_key(function) || !functions.reserved.insert(function.clone())
        {
            return Err(ProviderError::AlreadyDeployed(function.clone()));
        }
        Ok(Self { inner, function: function.clone() })
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.inner.functions().reserved.remove(&self.function);
    }
}

fn warn_of_what_is_not_done(deployment: &Deployment) {
    if deployment.read_only_root {
        warn!(function.name = %deployment.function, "a read-only root needs containers; the process backend runs the function without");
    }
}

#[async_trait]
impl Provider for ProcessProvider {
    fn name(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { freeze: true, victims: true, namespaces: true }
    }

    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        let config = &self.inner.host.config;
        Ok(ProviderInfo {
            provider: "tidegate".to_owned(),
            orchestration: BACKEND.to_owned(),
            release: config.release.clone(),
            sha: config.sha.clone(),
        })
    }

    async fn deploy(
        &self,
        deployment: Deployment,
        replicas: Replicas,
    ) -> Result<(), ProviderError> {
        self.inner.host.whole(self.inner.clone().deploy(deployment, replicas)).await
    }

    async fn update(&self, deployment: Deployment) -> Result<(), ProviderError> {
        self.inner.host.whole(self.inner.clone().update(deployment)).await
    }

    async fn delete(&self, function: &FunctionId) -> Result<(), ProviderError> {
        self.inner.host.whole(self.inner.clone().delete(function.clone())).await
    }

    async fn list(&self, namespace: Option<&str>) -> Result<Vec<FunctionStatus>, ProviderError> {
        if let Some(namespace) = namespace {
            self.inner.names.read().await.check_namespace(namespace)?;
        }
        let all = self.inner.all();
        let wanted =
            |function: &&Arc<Function>| namespace.is_none_or(|it| function.id.namespace() == it);
        Ok(all.iter().filter(wanted).map(|function| function.status()).collect())
    }

    async fn get(&self, function: &FunctionId) -> Result<FunctionStatus, ProviderError> {
        Ok(self.inner.find(function)?.status())
    }

    async fn scale(&self, function: &FunctionId, to: ScaleTo) -> Result<(), ProviderError> {
        let function = self.inner.find(function)?;
        self.inner.host.whole(async move { function.scale(to).await }).await
    }

    async fn secrets(&self, namespace: &str) -> Result<Vec<SecretName>, ProviderError> {
        self.inner.names.read().await.secrets(namespace)
    }

    async fn create_secret(&self, secret: Secret) -> Result<(), ProviderError> {
        self.inner.host.whole(self.inner.clone().create_secret(secret)).await
    }

    async fn update_secret(&self, secret: Secret) -> Result<(), ProviderError> {
        self.inner.host.whole(self.inner.clone().update_secret(secret)).await
    }

    async fn delete_secret(&self, name: &SecretName) -> Result<(), ProviderError> {
        self.inner.host.whole(self.inner.clone().delete_secret(name.clone())).await
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>, ProviderError> {
        Ok(self.inner.names.read().await.namespaces())
    }

    async fn create_namespace(&self, namespace: Namespace) -> Result<(), ProviderError> {
        self.inner.host.whole(self.inner.clone().put_namespace(namespace, true)).await
    }

    async fn update_namespace(&self, namespace: Namespace) -> Result<(), ProviderError> {
        self.inner.host.whole(self.inner.clone().put_namespace(namespace, false)).await
    }

    async fn delete_namespace(&self, name: &str) -> Result<(), ProviderError> {
        self.inner.host.whole(self.inner.clone().delete_namespace(name.to_owned())).await
    }

    async fn logs(&self, query: LogQuery) -> Result<LogStream, ProviderError> {
        let function = self.inner.find(&query.function)?;
        let notices = function.board.subscribe();
        let query = logs::Query {
            function: query.function,
            folder: function.logs(),
            instance: query.instance,
            since: query.since,
            tail: query.tail,
            follow: query.follow,
        };
        Ok(logs::read(self.inner.host.clone(), query, notices))
    }

    async fn usage(&self, function: &FunctionId) -> Result<Vec<ReplicaUsage>, ProviderError> {
        let function = self.inner.find(function)?;
        self.inner.host.blocking(move || function.usage()).await
    }

    fn watch(&self) -> Watch {
        let inner = Arc::downgrade(&self.inner);
        let all = || self.inner.all().iter().map(|function| function.id.clone()).collect();
        self.inner.host.watchers.watch(all, move |function| {
            // A watcher does not keep the backend alive.
            let found = inner.upgrade()?.find(function).ok()?;
            Some(found.status())
        })
    }

    async fn release(&self) {
        for function in self.inner.all() {
            function.close();
        }
        let host = &self.inner.host;
        host.replicas.close();
        host.replicas.wait().await;
        let last = host.clone();
        let cleaned = host.disk("clean up", move || {
            if let Some(cgroups) = &last.cgroups {
                cgroups.remove();
            }
            durable::remove_folder(last.layout.run())
        });
        if let Err(failure) = cleaned.await {
            warn!("{failure}");
        }
    }
}
