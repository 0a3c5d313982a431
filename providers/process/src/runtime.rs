//! The backend as the engine of `providers/machine` drives it: replicas are processes, all else is files.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::FunctionId;
use tidegate_provider::{
    Address, Deployment, Namespace, ProviderError, ReplicaId, Secret, SecretName,
};
use tidegate_provider_machine::{
    End, Files, FunctionRecord, Kept, Life, MachineProvider, OpenError, Revision, Runtime,
    Settings, StateDir, disk, durable,
};
use tracing::{debug, info, warn};

use crate::cgroup::Cgroups;
use crate::layout::Layout;
use crate::processes::Processes;
use crate::spec::Spec;
use crate::{Config, procfs, replica};

/// Runs replicas as watchdog children of this process.
pub type ProcessProvider = MachineProvider<ProcessRuntime>;

/// What runs replicas as processes; see [`ProcessProvider`].
#[derive(Clone, Debug)]
pub struct ProcessRuntime {
    pub(crate) inner: Arc<Inner>,
}

/// Tools and places that every replica uses.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) cgroups: Option<Cgroups>,
    files: Files,
    /// Held as long as any write is under way, so that no other takes the state directory.
    _state: Arc<StateDir>,
}

impl ProcessRuntime {
    /// Does `work` on the files of the state directory; `action` names it in the error.
    async fn files<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Inner) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let inner = self.inner.clone();
        disk(Self::NAME, action, move || work(&inner)).await
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    const NAME: &'static str = "process";

    type Config = Config;
    type Spec = Spec;
    type Live = Processes;
    type Seat = ();

    fn settings(config: &Config) -> Settings {
        config.settings()
    }

    async fn open(config: Config, state: &Arc<StateDir>) -> Result<Self, OpenError> {
        let state = state.clone();
        let root = state.root().to_owned();
        let opening = tokio::task::spawn_blocking(move || open(config, state)).await;
        let inner = opening.map_err(|stopped| OpenError::io("open", &root)(stopped.into()))??;
        Ok(Self { inner: Arc::new(inner) })
    }

    async fn kept(&self) -> Result<Kept, OpenError> {
        let (inside, root) = (self.inner.clone(), self.inner.layout.run());
        let reading = tokio::task::spawn_blocking(move || inside.files.read()).await;
        reading.map_err(|stopped| OpenError::io("read", root)(stopped.into()))?
    }

    fn limits_hold(&self) -> bool {
        self.inner.cgroups.is_some()
    }

    async fn check(&self, deployment: &Deployment) -> Result<Spec, ProviderError> {
        let spec = Spec::new(deployment)?;
        if deployment.read_only_root {
            warn!(function.name = %deployment.function, "a read-only root needs containers; the process backend runs the function without");
        }
        Ok(spec)
    }

    fn known(&self, deployment: &Deployment, _pin: Option<&str>) -> Spec {
        Spec::known(deployment)
    }

    async fn prepare(&self, revision: &Revision<Self>) -> Result<(), ProviderError> {
        let folder = self.inner.layout.mounted_secrets(revision.function(), revision.number());
        let deployment = revision.deployment.clone();
        if deployment.secrets.is_empty() && !folder.exists() {
            return Ok(());
        }
        let work = move |inner: &Inner| mount(&inner.files, &folder, &deployment);
        self.files("link the function's secrets", work).await
    }

    async fn keep(
        &self,
        function: &FunctionId,
        record: FunctionRecord,
    ) -> Result<(), ProviderError> {
        let function = function.clone();
        let work = move |inner: &Inner| inner.files.write_function(&function, &record);
        self.files("write the function's record", work).await
    }

    async fn forget(&self, function: &FunctionId) -> Result<(), ProviderError> {
        let function = function.clone();
        let work = move |inner: &Inner| inner.files.remove_function(&function);
        self.files("remove the function's record", work).await
    }

    async fn keep_secret(&self, secret: Secret) -> Result<(), ProviderError> {
        self.files("write the secret", move |inner| inner.files.write_secret(&secret)).await
    }

    async fn forget_secret(&self, name: &SecretName) -> Result<(), ProviderError> {
        let name = name.clone();
        self.files("remove the secret", move |inner| inner.files.remove_secret(&name)).await
    }

    async fn keep_namespace(&self, namespace: Namespace) -> Result<(), ProviderError> {
        let work = move |inner: &Inner| inner.files.write_namespace(namespace);
        self.files("write the namespace", work).await
    }

    async fn forget_namespace(&self, name: &str) -> Result<(), ProviderError> {
        let name = name.to_owned();
        self.files("remove the namespace", move |inner| inner.files.remove_namespace(&name)).await
    }

    fn address(&self, replica: &ReplicaId) -> Option<Address> {
        Some(Address::Unix(Arc::new(self.inner.layout.socket(replica))))
    }

    async fn live(&self, _seat: &mut (), life: &Life<Self>) -> End {
        replica::live(&self.inner, life).await
    }

    async fn clear(&self, replica: &ReplicaId, _seat: ()) {
        let place = self.inner.layout.place(replica);
        let work = move || {
            if let Err(failure) = durable::remove_folder(&place) {
                debug!("cannot remove {}: {failure}", place.display());
            }
        };
        // Fails only when the runtime ends, and then the next open cleans up.
        let _ = tokio::task::spawn_blocking(work).await;
    }

    async fn close(&self) {
        let cleaned = self.files("clean up", |inner| {
            if let Some(cgroups) = &inner.cgroups {
                cgroups.remove();
            }
            durable::remove_folder(inner.layout.run())
        });
        if let Err(failure) = cleaned.await {
            warn!("{failure}");
        }
    }
}

/// Ends what an earlier run left behind, and makes the folders.
fn open(config: Config, state: Arc<StateDir>) -> Result<Inner, OpenError> {
    let cgroups = cgroups(&config, state.name());
    end_orphans(&state, cgroups.as_ref());
    let made = Layout::make(&state).and_then(|layout| Ok((layout, Files::make(state.root())?)));
    let (layout, files) = made.map_err(OpenError::io("make folders in", state.root()))?;
    Ok(Inner { config, layout, cgroups, files, _state: state })
}

/// Control groups, where they can be used.
fn cgroups(config: &Config, state: &str) -> Option<Cgroups> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let found = Cgroups::find(&mounts, state).filter(|_| config.cgroups)?;
    found.clear();
    match found.usable() {
        Ok(()) => Some(found),
        Err(failure) => {
            info!(
                "cgroups cannot be used ({failure}): memory limits hold per process, CPU limits not at all"
            );
            None
        }
    }
}

/// Ends processes of earlier runs: those that did not notice that their parent died, such as frozen ones.
fn end_orphans(state: &StateDir, cgroups: Option<&Cgroups>) {
    let ended = procfs::kill_marked(|replica| state.owns(replica));
    if ended > 0 {
        warn!("ended {ended} processes that an earlier run left behind");
    }
    if let Some(cgroups) = cgroups {
        cgroups.clear();
    }
}

/// Makes the folder in which one revision finds its secrets: links to the only copy, so that a secret that
/// is replaced is new for all functions at the same moment. A function without secrets has no such folder.
fn mount(files: &Files, folder: &Path, deployment: &Deployment) -> io::Result<()> {
    durable::remove_folder(folder)?;
    if deployment.secrets.is_empty() {
        return Ok(());
    }
    durable::make_folder(folder)?;
    let names: BTreeSet<&String> = deployment.secrets.iter().collect();
    for name in names {
        let namespace = deployment.function.namespace().to_owned();
        let target = files.secret(&SecretName { namespace, name: name.clone() });
        symlink(target, folder.join(name))?;
    }
    Ok(())
}
