//! A backend of which a test writes the script: replicas are entries of a world that outlives the engine,
//! and time is virtual.
#![allow(clippy::unwrap_used, reason = "a test's own locks")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::{
    Address, CrashReason, Deployment, Depth, FunctionStatus, Namespace, Phase, Provider,
    ProviderError, ReplicaId, ScaleTo, Secret, SecretName,
};
use tidegate_provider_machine::exit::{self, Cause};
use tidegate_provider_machine::{
    End, Found, FunctionRecord, Generation, Kept, Life, Live, MachineProvider, OpenError, Revision,
    Runtime, Settings, StateDir, Used, failed,
};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

/// How long a replica takes to become ready.
pub const START: Duration = Duration::from_millis(100);

/// How long a replica takes to end, or to be cleaned up after.
pub const CLEANING: Duration = Duration::from_millis(50);

pub type ScriptedProvider = MachineProvider<Scripted>;

/// What there is, whether or not an engine runs.
#[derive(Debug, Default)]
pub struct World {
    facts: Mutex<Facts>,
    /// Something in it changed.
    changed: Notify,
}

/// Kept records, replicas, and the script.
#[derive(Debug, Default)]
pub struct Facts {
    pub functions: BTreeMap<FunctionId, FunctionRecord>,
    pub secrets: Vec<SecretName>,
    pub namespaces: Vec<Namespace>,
    pub replicas: BTreeMap<ReplicaId, Body>,
    /// How many replicas were ever started.
    pub starts: usize,
    /// How often something was let run again.
    pub thaws: usize,
    /// Nothing can be kept or forgotten.
    pub store_fails: bool,
    /// Nothing can be let run again.
    pub thaw_fails: bool,
    /// Replicas crash as soon as they are ready.
    pub all_crash: bool,
    /// Replicas cannot be made.
    pub make_fails: bool,
    /// How often one was tried to be made.
    pub makes: usize,
    /// Checks wait until this is taken away.
    pub check_waits: bool,
    /// What specs were known again by.
    pub pins: Vec<Option<String>>,
    /// The engine cannot reach what it drives.
    pub unreachable: bool,
}

/// One replica in the world.
#[derive(Clone, Debug)]
pub struct Body {
    pub function: FunctionId,
    pub generation: Generation,
    pub ready: bool,
    pub frozen: bool,
    /// Its program was not started.
    pub created: bool,
    pub runs: bool,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub world: Arc<World>,
    pub settings: Settings,
    /// Whether replicas outlive the engine, and others write their logs.
    pub outlives: bool,
}

#[derive(Debug)]
pub struct Scripted {
    config: Config,
}

#[derive(Debug)]
pub struct Alive {
    world: Arc<World>,
    id: ReplicaId,
}

/// Whether the replica was started before.
#[derive(Debug, Default)]
pub struct Seat(bool);

impl World {
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    /// Changes something, and lets replicas see it.
    pub fn change<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        let done = change(&mut self.facts());
        self.changed.notify_waiters();
        done
    }

    /// Waits until `fits`.
    pub async fn until(&self, fits: impl Fn(&Facts) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if fits(&self.facts()) {
                return;
            }
            changed.await;
        }
    }

    /// Ends what runs of a replica, as a crash does.
    pub fn crash(&self, replica: &ReplicaId) {
        self.change(|facts| facts.replicas.get_mut(replica).expect("it is there").runs = false);
    }

    fn store<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> Result<T, ProviderError> {
        if self.facts().store_fails {
            return Err(failed(Scripted::NAME, "write", io::Error::other("the disk is full")));
        }
        Ok(self.change(change))
    }
}

impl Live for Alive {
    fn freeze(&self) -> io::Result<()> {
        let freeze = |facts: &mut Facts| facts.replicas.get_mut(&self.id).unwrap().frozen = true;
        self.world.change(freeze);
        Ok(())
    }

    fn thaw(&self) -> io::Result<()> {
        self.world.change(|facts| {
            if facts.thaw_fails {
                return Err(io::Error::other("it is solid"));
            }
            facts.thaws += 1;
            facts.replicas.get_mut(&self.id).unwrap().frozen = false;
            Ok(())
        })
    }

    fn usage(&self) -> Used {
        Used { cpu_millis: 5000, memory_bytes: 1 << 20 }
    }
}

fn address() -> Address {
    Address::Tcp(([10, 62, 0, 7], 8080).into())
}

#[async_trait]
impl Runtime for Scripted {
    const NAME: &'static str = "scripted";

    type Config = Config;
    type Spec = String;
    type Live = Alive;
    type Seat = Seat;

    fn settings(config: &Config) -> Settings {
        config.settings.clone()
    }

    async fn open(config: Config, _state: &Arc<StateDir>) -> Result<Self, OpenError> {
        if !config.outlives {
            config.world.change(|facts| facts.replicas.clear());
        }
        Ok(Self { config })
    }

    async fn kept(&self) -> Result<Kept, OpenError> {
        let facts = self.config.world.facts();
        Ok(Kept {
            functions: facts.functions.values().cloned().collect(),
            namespaces: facts.namespaces.clone(),
            secrets: facts.secrets.clone(),
        })
    }

    async fn found(&self) -> Result<Vec<Found<Self>>, OpenError> {
        let facts = self.config.world.facts();
        let found = |(id, body): (&ReplicaId, &Body)| Found {
            replica: id.clone(),
            function: body.function.clone(),
            generation: body.generation.to_string().parse().expect("it was written so"),
            phase: match body {
                Body { runs: false, .. } => Phase::Backoff,
                Body { created: true, .. } => Phase::Created,
                Body { frozen: true, .. } => Phase::Frozen,
                Body { ready: true, .. } => Phase::Ready,
                _ => Phase::Starting,
            },
            address: Some(address()),
            restarts: 0,
            cause: (!body.runs).then(|| exit::with_code(7)),
            live: body
                .runs
                .then(|| Arc::new(Alive { world: self.config.world.clone(), id: id.clone() })),
            seat: Seat(true),
        };
        Ok(facts.replicas.iter().map(found).collect())
    }

    fn outlives(&self) -> bool {
        self.config.outlives
    }

    fn creates(&self) -> bool {
        true
    }

    fn logs_by_others(&self) -> bool {
        self.config.outlives
    }

    fn reachable(&self) -> Result<(), ProviderError> {
        if self.config.world.facts().unreachable {
            return Err(ProviderError::Unreachable { backend: Self::NAME, why: "away".to_owned() });
        }
        Ok(())
    }

    async fn check(&self, deployment: &Deployment) -> Result<String, ProviderError> {
        self.config.world.until(|facts| !facts.check_waits).await;
        Ok(format!("digest of {}", deployment.image))
    }

    fn known(&self, deployment: &Deployment, pin: Option<&str>) -> String {
        self.config.world.facts().pins.push(pin.map(str::to_owned));
        pin.unwrap_or(&deployment.image).to_owned()
    }

    fn pin(&self, spec: &String) -> Option<String> {
        Some(spec.clone())
    }

    async fn prepare(&self, _revision: &Revision<Self>) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn keep(
        &self,
        function: &FunctionId,
        record: FunctionRecord,
    ) -> Result<(), ProviderError> {
        let record =
            FunctionRecord::from_json(&record.to_json()).expect("what was written is read");
        self.config.world.store(|facts| facts.functions.insert(function.clone(), record))?;
        Ok(())
    }

    async fn forget(&self, function: &FunctionId) -> Result<(), ProviderError> {
        self.config.world.store(|facts| facts.functions.remove(function))?;
        Ok(())
    }

    async fn keep_secret(&self, secret: Secret) -> Result<(), ProviderError> {
        self.config.world.store(|facts| facts.secrets.push(secret.name))
    }

    async fn forget_secret(&self, name: &SecretName) -> Result<(), ProviderError> {
        self.config.world.store(|facts| facts.secrets.retain(|it| it != name))
    }

    async fn keep_namespace(&self, namespace: Namespace) -> Result<(), ProviderError> {
        self.config.world.store(|facts| facts.namespaces.push(namespace))
    }

    async fn forget_namespace(&self, name: &str) -> Result<(), ProviderError> {
        self.config.world.store(|facts| facts.namespaces.retain(|it| it.name != name))
    }

    async fn live(&self, seat: &mut Seat, life: &Life<Self>) -> End {
        let (world, id) = (&self.config.world, life.replica());
        let runs = |facts: &Facts| facts.replicas.get(id).is_some_and(|body| body.runs);
        let running = seat.0 && runs(&world.facts());
        seat.0 = true;
        if !running {
            let (function, generation) = (life.function().clone(), life.revision().generation);
            let body = Body {
                function,
                generation,
                ready: false,
                frozen: false,
                created: true,
                runs: true,
            };
            let made = world.change(|facts| {
                facts.makes += 1;
                facts.replicas.insert(id.clone(), body);
                !facts.make_fails
            });
            if !made {
                return End::Crash(Cause::new(CrashReason::CannotStart, "cannot be made"));
            }
        }
        if world.facts().replicas[id].created {
            tokio::select! {
                biased;
                () = life.told_to_end() => return End::Told,
                () = world.until(|facts| !runs(facts)) => {
                    return End::Crash(Cause::new(CrashReason::Unknown, "is gone"));
                }
                () = life.wanted() => {}
            }
            world.change(|facts| {
                facts.starts += 1;
                facts.replicas.get_mut(id).unwrap().created = false;
            });
        }
        life.started(Arc::new(Alive { world: world.clone(), id: id.clone() }));
        let ready = world.facts().replicas[id].ready;
        if !ready {
            sleep(START).await;
            world.change(|facts| facts.replicas.get_mut(id).unwrap().ready = true);
        }
        life.ready(Some(address()), "");
        if world.facts().all_crash {
            world.crash(id);
        }
        tokio::select! {
            biased;
            () = life.told_to_end() => {
                sleep(CLEANING).await;
                End::Told
            }
            () = world.until(|facts| !runs(facts)) => {
                let cause = exit::with_code(7);
                life.lost(&cause.why);
                sleep(CLEANING).await;
                End::Crash(cause)
            }
        }
    }

    async fn clear(&self, replica: &ReplicaId, _seat: Seat) {
        self.config.world.change(|facts| facts.replicas.remove(replica));
    }

    async fn close(&self) {}
}

/// A world with a state directory, in which engines come and go.
pub struct Stage {
    folder: TempDir,
    pub world: Arc<World>,
    outlives: bool,
}

impl Stage {
    pub fn new(outlives: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, world: Arc::default(), outlives }
    }

    /// Where the logs of a function are.
    pub fn logs(&self, function: &FunctionId) -> std::path::PathBuf {
        self.folder.path().join("logs").join(function.as_str())
    }

    /// Opens an engine and plays a scene with it. At its end the engine is killed, as with `kill -9`.
    pub fn scene(&self, scene: impl AsyncFnOnce(Scene)) {
        let mut building = tokio::runtime::Builder::new_current_thread();
        let runtime = building.enable_all().start_paused(true).build().expect("a runtime");
        let mut settings = Settings::new(self.folder.path());
        settings.log_bytes = 4096;
        let config = Config { world: self.world.clone(), settings, outlives: self.outlives };
        runtime.block_on(async {
            let opening = ScriptedProvider::open(config, TaskTracker::new());
            let provider = opening.await.unwrap_or_else(|failure| panic!("{failure:?}"));
            scene(Scene { world: self.world.clone(), provider }).await;
        });
    }
}

/// One engine over the world.
pub struct Scene {
    pub world: Arc<World>,
    pub provider: Arc<ScriptedProvider>,
}

impl Scene {
    pub async fn deployed(&self, deployment: Deployment, count: u32) -> FunctionId {
        let function = deployment.function.clone();
        self.provider.deploy(deployment, Replicas::new(count)).await.expect("a good function");
        self.until(&function, |status| status.ready().get() == count).await;
        function
    }

    pub async fn status(&self, function: &FunctionId) -> FunctionStatus {
        self.provider.get(function).await.expect("it is deployed")
    }

    /// Waits, in virtual time.
    pub async fn until(
        &self,
        function: &FunctionId,
        fits: impl Fn(&FunctionStatus) -> bool,
    ) -> FunctionStatus {
        let waiting = async {
            loop {
                let status = self.status(function).await;
                if fits(&status) {
                    return status;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        match timeout(Duration::from_secs(600), waiting).await {
            Ok(status) => status,
            Err(_) => panic!("never came: {:#?}", self.status(function).await),
        }
    }

    /// Takes the function to zero, frozen, and waits until it is.
    pub async fn freeze(&self, function: &FunctionId) {
        self.to_zero(function, Depth::Frozen).await;
        self.until(function, |status| only(status, Phase::Frozen)).await;
    }

    /// Asks for zero.
    pub async fn to_zero(&self, function: &FunctionId, depth: Depth) {
        let zero = ScaleTo { depth, ..ScaleTo::replicas(0) };
        self.provider.scale(function, zero).await.expect("it is deployed");
    }
}

/// Whether all replicas, and there are some, are in this phase.
pub fn only(status: &FunctionStatus, phase: Phase) -> bool {
    !status.replicas.is_empty() && status.replicas.iter().all(|it| it.phase == phase)
}

/// A function of no importance.
pub fn plain(name: &str) -> Deployment {
    Deployment {
        function: FunctionId::parse(name).expect("a good name"),
        image: format!("{name}:latest"),
        process: String::new(),
        env: [].into(),
        labels: [].into(),
        annotations: [].into(),
        secrets: Vec::new(),
        constraints: Vec::new(),
        limits: None,
        requests: None,
        read_only_root: false,
    }
}
