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

use crate::function::Function;
use crate::host::Host;
use crate::names::Names;
use crate::open::{self, Opened};
use crate::record::Generation;
use crate::revision::Checked;
use crate::runtime::Runtime;
use crate::{OpenError, clock, logs};

/// A provider on one machine.
#[derive(Debug)]
pub struct MachineProvider<R: Runtime> {
    inner: Arc<Inner<R>>,
}

#[derive(Debug)]
struct Inner<R: Runtime> {
    host: Arc<Host<R>>,
    functions: Mutex<Functions<R>>,
    names: RwLock<Names>,
}

#[derive(Debug)]
struct Functions<R: Runtime> {
    deployed: BTreeMap<FunctionId, Arc<Function<R>>>,
    /// On their way to be kept; not there yet for anybody, but nobody else may take the name.
    reserved: BTreeSet<FunctionId>,
}

impl<R: Runtime> MachineProvider<R> {
    /// Takes the state directory, goes on with what an earlier run left behind or ends it, and starts what was
    /// deployed.
    ///
    /// Replicas are tasks of the tokio runtime this is called in, spawned through `tasks`; they end with
    /// [`Provider::release`].
    ///
    /// # Errors
    /// When the directory is in use, cannot be written, or holds a damaged file, or when what the backend
    /// drives cannot be used.
    pub async fn open(config: R::Config, tasks: TaskTracker) -> Result<Arc<Self>, OpenError> {
        let Opened { host, names, functions } = open::open::<R>(config, tasks).await?;
        let deployed =
            functions.iter().map(|(function, _)| (function.id.clone(), function.clone())).collect();
        let inner = Inner {
            host,
            functions: Mutex::new(Functions { deployed, reserved: BTreeSet::new() }),
            names: RwLock::new(names),
        };
        for (function, found) in functions {
            function.start(found);
        }
        Ok(Arc::new(Self { inner: Arc::new(inner) }))
    }

    /// What runs the replicas.
    pub fn runtime(&self) -> &R {
        &self.inner.host.runtime
    }

    /// Whether memory and CPU limits hold for whole replicas; without cgroups memory limits hold for each
    /// process alone, and CPU limits do not hold.
    pub fn limits_hold(&self) -> bool {
        self.inner.host.runtime.limits_hold()
    }
}

impl<R: Runtime> Inner<R> {
    fn functions(&self) -> MutexGuard<'_, Functions<R>> {
        // Nothing in these sections can stop half-way.
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, function: &FunctionId) -> Result<Arc<Function<R>>, ProviderError> {
        let found = self.functions().deployed.get(function).cloned();
        found.ok_or_else(|| ProviderError::NotDeployed(function.clone()))
    }

    fn all(&self) -> Vec<Arc<Function<R>>> {
        self.functions().deployed.values().cloned().collect()
    }

    async fn deploy(
        self: Arc<Self>,
        deployment: Deployment,
        replicas: Replicas,
    ) -> Result<(), ProviderError> {
        let reservation = Reservation::new(&self, &deployment.function)?;
        let host = &self.host;
        let checked = self.check(deployment).await?;
        let names = self.names.read().await;
        names.check(checked.deployment())?;
        let generation = Generation { created: clock::wall(), revision: 1 };
        let revision = checked.revision(generation, &host.settings);
        host.runtime.prepare(&revision).await?;
        let function = Function::new(host.clone(), replicas, revision, None);
        function.first_save().await?;
        self.functions().deployed.insert(function.id.clone(), function.clone());
        drop(reservation);
        function.start(Vec::new());
        Ok(())
    }

    async fn update(self: Arc<Self>, deployment: Deployment) -> Result<(), ProviderError> {
        let function = self.find(&deployment.function)?;
        let checked = self.check(deployment).await?;
        let names = self.names.read().await;
        names.check(checked.deployment())?;
        function.update(checked).await
    }

    /// Checks a deployment. That may take long, such as for an image, and so nobody waits for it; what it
    /// names is looked at before, and must be again after.
    async fn check(&self, deployment: Deployment) -> Result<Checked<R>, ProviderError> {
        self.names.read().await.check(&deployment)?;
        Checked::new(&self.host.runtime, deployment).await
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
        self.host.runtime.keep_secret(secret).await?;
        names.add_secret(name);
        Ok(())
    }

    async fn update_secret(self: Arc<Self>, secret: Secret) -> Result<(), ProviderError> {
        let names = self.names.write().await;
        names.check_secret(&secret.name)?;
        self.host.runtime.keep_secret(secret).await
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
        self.host.runtime.forget_secret(&name).await?;
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
        self.host.runtime.keep_namespace(namespace.clone()).await?;
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
        self.host.runtime.forget_namespace(&name).await?;
        names.remove_namespace(&name);
        Ok(())
    }
}

/// Keeps a name while its function is on its way to be kept.
struct Reservation<'a, R: Runtime> {
    inner: &'a Inner<R>,
    function: FunctionId,
}

impl<'a, R: Runtime> Reservation<'a, R> {
    fn new(inner: &'a Inner<R>, function: &FunctionId) -> Result<Self, ProviderError> {
        let mut functions = inner.functions();
        if functions.deployed.contains_key(function) || !functions.reserved.insert(function.clone())
        {
            return Err(ProviderError::AlreadyDeployed(function.clone()));
        }
        Ok(Self { inner, function: function.clone() })
    }
}

impl<R: Runtime> Drop for Reservation<'_, R> {
    fn drop(&mut self) {
        self.inner.functions().reserved.remove(&self.function);
    }
}

#[async_trait]
impl<R: Runtime> Provider for MachineProvider<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn capabilities(&self) -> Capabilities {
        let create = self.inner.host.runtime.creates();
        Capabilities { freeze: true, create, victims: true, namespaces: true }
    }

    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        self.inner.host.runtime.reachable()?;
        let settings = &self.inner.host.settings;
        Ok(ProviderInfo {
            provider: "tidegate".to_owned(),
            orchestration: R::NAME.to_owned(),
            release: settings.release.clone(),
            sha: settings.sha.clone(),
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
        self.inner.host.runtime.reachable()?;
        if let Some(namespace) = namespace {
            self.inner.names.read().await.check_namespace(namespace)?;
        }
        let all = self.inner.all();
        let wanted =
            |function: &&Arc<Function<R>>| namespace.is_none_or(|it| function.id.namespace() == it);
        Ok(all.iter().filter(wanted).map(|function| function.status()).collect())
    }

    async fn get(&self, function: &FunctionId) -> Result<FunctionStatus, ProviderError> {
        self.inner.host.runtime.reachable()?;
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
            by_others: self.inner.host.runtime.logs_by_others(),
        };
        Ok(logs::read(self.inner.host.runner().clone(), query, notices))
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
        let host = &self.inner.host;
        let outlives = host.runtime.outlives();
        for function in self.inner.all() {
            if outlives {
                function.let_go();
            } else {
                function.close();
            }
        }
        if outlives {
            host.let_go.cancel();
        }
        host.replicas.close();
        host.replicas.wait().await;
        let last = host.clone();
        let closed = host.whole(async move {
            last.runtime.close().await;
            Ok(())
        });
        if let Err(failure) = closed.await {
            warn!("{failure}");
        }
    }
}
