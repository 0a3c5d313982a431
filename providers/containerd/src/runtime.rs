//! The backend as the engine of `providers/machine` drives it: replicas are containers, functions are kept in
//! containerd beside them, secrets in files.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use containerd_client::services::v1::Container;
use prost_types::Any;
use serde_json::json;
use tidegate_core::{DEFAULT_NAMESPACE, FunctionId};
use tidegate_provider::{Deployment, Namespace, ProviderError, ReplicaId, Secret, SecretName};
use tidegate_provider_machine::{
    End, Found, FunctionRecord, Kept, Life, MachineProvider, OpenError, Revision, Runtime,
    Settings, StateDir, disk, durable,
};
use tracing::{debug, warn};

use crate::cgroup::Roots;
use crate::connection::{Connection, Scope};
use crate::containers::{self, NewContainer};
use crate::deployed::{self, Spec};
use crate::error::{BACKEND, Failure, or_absent};
use crate::ground::{BY_PROCESS, Ground, labels, open_failure};
use crate::replica::{FUNCTION, GENERATION, Replica, STATE, Seat, Stage, insist};
use crate::shims::Member;
use crate::{Config, archive, found};

/// Runs replicas as containers through containerd.
pub type ContainerdProvider = MachineProvider<ContainerdRuntime>;

/// Marks containers that keep a function's record, and is the name of that record in them.
pub(crate) const RECORD: &str = "tidegate/v1/function";

/// What runs replicas as containers; see [`ContainerdProvider`].
#[derive(Clone, Debug)]
pub struct ContainerdRuntime {
    ground: Arc<Ground>,
}

/// Brings the images of a file, as `docker save` and others write it, into the namespace where functions find
/// them; returns their names. `name` is for an image that the file does not name.
///
/// # Errors
/// When containerd cannot be reached, or the file holds no image that is whole.
pub async fn import_images(
    config: &Config,
    file: &Path,
    name: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let owner = format!("{BY_PROCESS}{}", std::process::id());
    let connection = Connection::new(&config.socket, &owner);
    connection.version().await?;
    let namespace = format!("{}{DEFAULT_NAMESPACE}", config.namespace_prefix);
    archive::import(&connection.within(&namespace), file, name).await
}

impl ContainerdRuntime {
    /// The namespace of the replica that has an address on the bridge; answered from memory.
    pub fn namespace_of(&self, address: IpAddr) -> Option<Arc<str>> {
        match address {
            IpAddr::V4(address) => self.ground.names.namespace_of(address),
            IpAddr::V6(_) => None,
        }
    }

    /// Does `work` on this machine's files; `action` names it in the error.
    async fn files<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Ground) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let ground = self.ground.clone();
        disk(BACKEND, action, move || work(&ground)).await
    }

    /// Removes copies of secrets for revisions that are kept no more, once no container has them.
    async fn tidy_secrets(&self, namespace: &str) {
        let (ground, inside) = (&self.ground, namespace.to_owned());
        let looking = self.files("look for copies of secrets", move |ground| {
            Ok(ground.copies.unused(&inside, &ground.secret_folders()))
        });
        let unused = looking.await.unwrap_or_default();
        if unused.is_empty() {
            return;
        }
        let containers =
            match containers::list(&ground.namespaces.scope(namespace), GENERATION).await {
                Ok(containers) => containers,
                Err(failure) => return debug!("copies of secrets are left for now: {failure}"),
            };
        let label = |it: &Container, name: &str| it.labels.get(name).cloned().unwrap_or_default();
        let used = containers.iter().filter_map(|it| {
            let function = FunctionId::parse(&label(it, FUNCTION)).ok()?;
            Some(ground.secret_folder(&function, &label(it, GENERATION)))
        });
        let used: BTreeSet<PathBuf> = used.collect();
        let remove = move |_: &Ground| {
            let mut gone = unused.iter().filter(|folder| !used.contains(*folder));
            gone.try_for_each(|folder| durable::remove_folder(folder))
        };
        if let Err(failure) = self.files("remove copies of secrets", remove).await {
            debug!("{failure}");
        }
    }

    async fn read(&self) -> Result<Kept, OpenError> {
        let mut kept = Kept::default();
        for namespace in self.ground.namespaces.list().await.map_err(open_failure)? {
            kept.secrets.extend(self.ground.files.read_secrets(&namespace.name)?);
            let scope = self.ground.namespaces.scope(&namespace.name);
            for container in containers::list(&scope, RECORD).await.map_err(open_failure)? {
                if container.labels.get(STATE).map(String::as_str) != Some(self.ground.state.name())
                {
                    continue;
                }
                let text = container.extensions.get(RECORD).map(|it| it.value.as_slice());
                let record = FunctionRecord::from_json(text.unwrap_or_default());
                let damaged = |why| OpenError::Damaged {
                    path: format!("container {} in namespace {}", container.id, scope.namespace())
                        .into(),
                    why,
                };
                kept.functions.push(record.map_err(damaged)?);
                let function = container.labels.get(FUNCTION).map(|it| FunctionId::parse(it));
                if let Some(Ok(function)) = function {
                    self.ground.names.add(&function);
                }
            }
            kept.namespaces.push(namespace);
        }
        Ok(kept)
    }

    fn container(&self, replica: &ReplicaId, seat: &Seat) -> String {
        seat.container.clone().unwrap_or_else(|| self.ground.container(replica))
    }

    /// Removes all there is of a replica's container.
    async fn remove(&self, scope: &Scope, id: &str, shim: Option<&Member>) -> Result<(), Failure> {
        self.ground.thaw(scope, id);
        let scope = self.ground.leases.under(scope).await?;
        containers::remove(&scope, &self.ground.config.snapshotter, id, shim).await
    }

    async fn write(&self, function: &FunctionId, record: &FunctionRecord) -> Result<(), Failure> {
        let scope = self.ground.scope(function);
        let id = self.ground.record(function);
        let value = Any { type_url: RECORD.to_owned(), value: record.to_json() };
        let extensions: std::collections::HashMap<_, _> = [(RECORD.to_owned(), value)].into();
        match containers::change(&scope, &id, [].into(), extensions.clone()).await {
            Err(failure) if failure.is_not_found() => {}
            done => return done,
        }
        let new = NewContainer {
            id,
            image: String::new(),
            shim: containers::STOCK_SHIM.to_owned(),
            runtime: None,
            snapshotter: String::new(),
            snapshot: String::new(),
            // Never run: only a place for the record.
            spec: json!({"ociVersion": "1.0.2"}),
            labels: labels([
                (RECORD, "1".to_owned()),
                (FUNCTION, function.to_string()),
                (STATE, self.ground.state.name().to_owned()),
            ]),
            extensions,
        };
        containers::record(&scope, new).await
    }
}

#[async_trait]
impl Runtime for ContainerdRuntime {
    const NAME: &'static str = BACKEND;

    type Config = Config;
    type Spec = Spec;
    type Live = Replica;
    type Seat = Seat;

    fn settings(config: &Config) -> Settings {
        config.settings.clone()
    }

    async fn open(config: Config, state: &Arc<StateDir>) -> Result<Self, OpenError> {
        Ok(Self { ground: Ground::open(config, state.clone()).await? })
    }

    async fn kept(&self) -> Result<Kept, OpenError> {
        self.read().await
    }

    async fn found(&self) -> Result<Vec<Found<Self>>, OpenError> {
        let found = found::found(&self.ground).await.map_err(open_failure)?;
        self.ground.answer_for_names();
        Ok(found)
    }

    fn outlives(&self) -> bool {
        true
    }

    fn creates(&self) -> bool {
        true
    }

    fn limits_hold(&self) -> bool {
        self.ground.hierarchy.is_some()
    }

    fn reachable(&self) -> Result<(), ProviderError> {
        match self.ground.board.away() {
            None => Ok(()),
            Some(why) => Err(ProviderError::Unreachable { backend: BACKEND, why }),
        }
    }

    async fn check(&self, deployment: &Deployment) -> Result<Spec, ProviderError> {
        deployed::check(deployment)?;
        let namespaces = self.ground.namespaces.list().await?;
        let others: Vec<String> =
            namespaces.iter().map(|it| self.ground.namespaces.full(&it.name)).collect();
        let namespace = self.ground.namespaces.full(deployment.function.namespace());
        if !others.contains(&namespace) {
            // Said by the engine in better words; here only so that no image is brought there.
            return Ok(Spec::known(deployment, ""));
        }
        let images = &self.ground.images;
        let policy = images.policy(&deployment.annotations)?;
        let image = images.resolve(&deployment.image, policy, &namespace, &others).await?;
        Ok(Spec::known(deployment, &image))
    }

    fn known(&self, deployment: &Deployment, pin: Option<&str>) -> Spec {
        Spec::known(deployment, pin.unwrap_or(&deployment.image))
    }

    fn pin(&self, spec: &Spec) -> Option<String> {
        Some(spec.image.clone())
    }

    async fn prepare(&self, revision: &Revision<Self>) -> Result<(), ProviderError> {
        let deployment = revision.deployment.clone();
        if deployment.secrets.is_empty() {
            return Ok(());
        }
        let function = revision.function();
        let folder = self.ground.secret_folder(function, &revision.generation.to_string());
        let work = move |ground: &Ground| {
            ground.secret_folders().insert(folder.clone());
            let namespace = deployment.function.namespace();
            ground.copies.fill(&folder, &ground.files, namespace, &deployment.secrets)
        };
        self.files("copy the function's secrets", work).await
    }

    async fn keep(
        &self,
        function: &FunctionId,
        record: FunctionRecord,
    ) -> Result<(), ProviderError> {
        self.write(function, &record).await?;
        self.ground.names.add(function);
        let kept = record.revisions().map(|revision| revision.generation.to_string());
        self.ground.keep_secrets_of(function, kept);
        Ok(())
    }

    async fn forget(&self, function: &FunctionId) -> Result<(), ProviderError> {
        let scope = self.ground.scope(function);
        containers::forget(&scope, &self.ground.record(function)).await?;
        self.ground.names.remove(function);
        self.ground.keep_secrets_of(function, std::iter::empty());
        self.tidy_secrets(function.namespace()).await;
        Ok(())
    }

    async fn keep_secret(&self, secret: Secret) -> Result<(), ProviderError> {
        let work = move |ground: &Ground| {
            ground.files.write_secret(&secret)?;
            ground.copies.renew(&secret.name, &secret.value)
        };
        self.files("write the secret", work).await
    }

    async fn forget_secret(&self, name: &SecretName) -> Result<(), ProviderError> {
        let name = name.clone();
        let work = move |ground: &Ground| {
            ground.files.remove_secret(&name)?;
            ground.copies.forget(&name)
        };
        self.files("remove the secret", work).await
    }

    async fn keep_namespace(&self, namespace: Namespace) -> Result<(), ProviderError> {
        Ok(self.ground.namespaces.keep(namespace).await?)
    }

    async fn forget_namespace(&self, name: &str) -> Result<(), ProviderError> {
        or_absent(self.ground.namespaces.forget(name).await)?;
        self.ground.leases.doubt(&self.ground.namespaces.full(name));
        let (name, group) = (name.to_owned(), self.ground.namespaces.full(name));
        self.files("remove the namespace's secrets", move |ground| {
            let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            Roots::find(&mounts).remove(&group);
            ground.files.remove_namespace(&name)
        })
        .await
    }

    fn logs_by_others(&self) -> bool {
        true
    }

    async fn live(&self, seat: &mut Seat, life: &Life<Self>) -> End {
        let stage = Stage {
            ground: &self.ground,
            life,
            scope: self.ground.scope(life.function()),
            container: self.container(life.replica(), seat),
        };
        stage.live(seat).await
    }

    async fn clear(&self, replica: &ReplicaId, seat: Seat) {
        let id = self.container(replica, &seat);
        // Without a scope nothing was recorded, or its record was not answered for: look in all.
        let scopes = match seat.scope {
            Some(scope) => vec![scope],
            None => match self.ground.namespaces.list().await {
                Ok(all) => all.iter().map(|it| self.ground.namespaces.scope(&it.name)).collect(),
                Err(failure) => {
                    warn!(container = %id, "left to the next opening: {failure}");
                    Vec::new()
                }
            },
        };
        // Nobody looked when there was nowhere to look.
        let mut gone = !scopes.is_empty();
        for scope in &scopes {
            gone &= insist(&self.ground.board, &id, || self.remove(scope, &id, seat.shim.as_ref()))
                .await;
            self.tidy_secrets(self.ground.namespaces.short(scope)).await;
        }
        if let Some(network) = seat.network {
            self.ground.names.leave(network.address);
            match gone {
                true => self.ground.networks.release(network).await,
                // Something may still run there.
                false => self.ground.networks.remove(&network.id).await,
            }
        }
    }

    async fn close(&self) {
        self.ground.close().await;
    }
}
