//! What a backend on one machine adds to the engine: how one replica is run, and where things are kept.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::FunctionId;
use tidegate_provider::{
    Address, Deployment, Namespace, Phase, ProviderError, ReplicaId, Secret, SecretName,
};

use crate::exit::Cause;
use crate::{FunctionRecord, Generation, Life, OpenError, Revision, Settings, StateDir};

/// A backend on one machine, but for what all of them share.
///
/// All calls come from tasks of the tokio runtime that [`crate::MachineProvider::open`] was called in. Calls
/// about one function's record come one at a time, and so do calls about one replica; others do not wait
/// for each other. Calls may be slow, but for those of [`Live`].
#[async_trait]
pub trait Runtime: Debug + Send + Sync + Sized + 'static {
    /// The backend's name in errors and to clients, such as `process`.
    const NAME: &'static str;

    /// What the backend is told when it is opened.
    type Config: Send + 'static;
    /// A deployment, checked and turned into what its replicas need.
    type Spec: Debug + Send + Sync + 'static;
    /// A replica that runs.
    type Live: Live;
    /// What a replica keeps from one life to the next, such as its container and network; the default is
    /// that of a replica that was never started.
    type Seat: Default + Send + 'static;

    /// The settings that the engine needs.
    fn settings(config: &Self::Config) -> Settings;

    /// Opens the backend in its state directory, which nobody else holds. Removes what an earlier run left
    /// behind, but for what [`Runtime::found`] will tell.
    ///
    /// # Errors
    /// When what it needs is not there.
    async fn open(config: Self::Config, state: &Arc<StateDir>) -> Result<Self, OpenError>;

    /// All that was kept.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    async fn kept(&self) -> Result<Kept, OpenError>;

    /// Replicas of earlier runs that are still there, oldest first; asked once, after everything kept is
    /// known. They go on as they are: those that run are not started anew. Those that belong to nothing
    /// kept are [cleared](Runtime::clear).
    ///
    /// # Errors
    /// When they cannot be listed.
    async fn found(&self) -> Result<Vec<Found<Self>>, OpenError> {
        Ok(Vec::new())
    }

    /// Whether replicas outlive tidegate, frozen ones too. When tidegate stops they are then left alone, and
    /// the next open [finds](Runtime::found) them; otherwise they are ended.
    fn outlives(&self) -> bool {
        false
    }

    /// Whether a replica can be made without its program being started: its life then waits for
    /// [`Life::wanted`] in between. Others are removed at that depth of zero.
    fn creates(&self) -> bool {
        false
    }

    /// Whether memory and CPU limits hold for whole replicas.
    fn limits_hold(&self) -> bool {
        true
    }

    /// Whether the backend can be reached; answered at once, from what is known.
    ///
    /// # Errors
    /// [`ProviderError::Unreachable`] when it cannot.
    fn reachable(&self) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Checks a deployment for what this backend can run, and gets what it needs, such as an image. The
    /// function may go away meanwhile; nothing of it is kept yet.
    ///
    /// # Errors
    /// When it cannot be run.
    async fn check(&self, deployment: &Deployment) -> Result<Self::Spec, ProviderError>;

    /// A deployment that was checked when it was deployed, and what was [pinned](Runtime::pin) then. What is
    /// wrong with it today is for its replicas to report.
    fn known(&self, deployment: &Deployment, pin: Option<&str>) -> Self::Spec;

    /// What must be kept beside a deployment to know its spec again, such as the digest that a tag meant.
    fn pin(&self, _spec: &Self::Spec) -> Option<String> {
        None
    }

    /// Makes what all replicas of a revision share, before any is started; at each open again.
    ///
    /// # Errors
    /// When that fails; the revision is then not deployed.
    async fn prepare(&self, revision: &Revision<Self>) -> Result<(), ProviderError>;

    /// Keeps a function's record in place of the one before it, durably: whole or not at all.
    ///
    /// # Errors
    /// When it is not kept; the one before it then is.
    async fn keep(
        &self,
        function: &FunctionId,
        record: FunctionRecord,
    ) -> Result<(), ProviderError>;

    /// Forgets a function's record, durably. Its replicas end afterwards.
    ///
    /// # Errors
    /// When it is still kept.
    async fn forget(&self, function: &FunctionId) -> Result<(), ProviderError>;

    /// Keeps a secret, in place of one of that name; running replicas see the new value.
    ///
    /// # Errors
    /// When it is not kept.
    async fn keep_secret(&self, secret: Secret) -> Result<(), ProviderError>;

    /// Forgets a secret that no function uses.
    ///
    /// # Errors
    /// When it is still kept.
    async fn forget_secret(&self, name: &SecretName) -> Result<(), ProviderError>;

    /// Keeps a namespace, in place of one of that name.
    ///
    /// # Errors
    /// When it is not kept.
    async fn keep_namespace(&self, namespace: Namespace) -> Result<(), ProviderError>;

    /// Forgets a namespace that holds no functions, with its secrets.
    ///
    /// # Errors
    /// When it is still kept.
    async fn forget_namespace(&self, name: &str) -> Result<(), ProviderError>;

    /// Where a replica will answer, when that is known before it runs; else it is told when it is
    /// [ready](Life::ready).
    fn address(&self, _replica: &ReplicaId) -> Option<Address> {
        None
    }

    /// Whether replicas' output is written to their log files by others, such as
    /// [`crate::logs::collect`] in a process that outlives tidegate. Otherwise the backend copies it to
    /// [`Life::copy`].
    fn logs_by_others(&self) -> bool {
        false
    }

    /// Runs a replica from start to end of its processes, once: starts it in its `seat`, tells `life` what
    /// happens, and ends it when [told](Life::told_to_end). A seat that was [found](Runtime::found) with
    /// something running in it is not started, only watched and ended. On return nothing of it runs any more.
    ///
    /// The engine calls this again after a crash and a pause. It may drop the future when it lets go of
    /// replicas that [outlive](Runtime::outlives) tidegate.
    async fn live(&self, seat: &mut Self::Seat, life: &Life<Self>) -> End;

    /// Removes all there is of a replica that is not wanted any more; kills what still runs.
    async fn clear(&self, replica: &ReplicaId, seat: Self::Seat);

    /// The last call: replicas have ended, or were let go.
    async fn close(&self);
}

/// A replica that runs. These calls are made on the path of waking requests and under a lock: within a
/// millisecond, without waiting for other processes; only [`Live::usage`] may block.
pub trait Live: Debug + Send + Sync + 'static {
    /// Stops all its processes, and keeps their memory.
    ///
    /// # Errors
    /// When it cannot; the replica is then ended.
    fn freeze(&self) -> std::io::Result<()>;

    /// Lets them run again; it answers at once.
    ///
    /// # Errors
    /// When it cannot; the replica is then replaced.
    fn thaw(&self) -> std::io::Result<()>;

    /// What it uses. Blocks.
    fn usage(&self) -> Used;
}

/// What a replica uses.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// CPU since it started, in milliseconds.
    pub cpu_millis: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// How one life of a replica ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As it was told.
    Told,
    /// By itself.
    Crash(Cause),
}

/// All that a backend has kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// Functions, in any order.
    pub functions: Vec<FunctionRecord>,
    /// Namespaces; the default one may be missing.
    pub namespaces: Vec<Namespace>,
    /// Secrets of those namespaces.
    pub secrets: Vec<SecretName>,
}

/// A replica of an earlier run.
#[derive(Debug)]
pub struct Found<R: Runtime> {
    /// Its id.
    pub replica: ReplicaId,
    /// Of which function.
    pub function: FunctionId,
    /// Of which generation of it ([`Revision::generation`]).
    pub generation: Generation,
    /// What it does: created, starting, ready, frozen, or `Backoff` when it ended by itself while nobody looked.
    pub phase: Phase,
    /// Where it answers; needed when it is ready or frozen.
    pub address: Option<Address>,
    /// How often it was restarted, as far as is known.
    pub restarts: u32,
    /// Why it ended, in phase `Backoff`.
    pub cause: Option<Cause>,
    /// It, unless it ended.
    pub live: Option<Arc<R::Live>>,
    /// Its seat, for [`Runtime::live`].
    pub seat: R::Seat,
}
