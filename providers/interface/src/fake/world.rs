//! What there is in the fake: functions with their replicas, secrets, namespaces.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tidegate_core::{DEFAULT_NAMESPACE, FunctionId, Replicas};

use super::replica::{FakeReplica, Log};
use super::{CRASHES, NEVER_READY, Starts};
use crate::{
    Capabilities, Crash, CrashReason, Crashes, Deployment, Depth, FunctionStatus, Namespace, Phase,
    ProviderError, Replica, ReplicaId, ScaleTo, SecretName,
};

/// All there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) namespaces: BTreeMap<String, Namespace>,
    pub(super) secrets: BTreeMap<SecretName, Vec<u8>>,
    pub(super) functions: BTreeMap<FunctionId, Function>,
    starts: Starts,
    /// Counts replicas.
    next: u64,
}

/// One function.
#[derive(Debug)]
pub(super) struct Function {
    current: Revision,
    /// The last good revision before a bad one.
    previous: Option<Revision>,
    created: SystemTime,
    desired: Replicas,
    depth: Depth,
    replicas: Vec<FakeReplica>,
    log: Log,
}

#[derive(Clone, Debug)]
struct Revision {
    number: u64,
    deployment: Arc<Deployment>,
}

impl World {
    pub(super) fn new(starts: Starts) -> Self {
        let default = Namespace { name: DEFAULT_NAMESPACE.to_owned(), ..Namespace::default() };
        Self {
            namespaces: [(default.name.clone(), default)].into(),
            secrets: BTreeMap::new(),
            functions: BTreeMap::new(),
            starts,
            next: 0,
        }
    }

    pub(super) fn function(&mut self, id: &FunctionId) -> Result<&mut Function, ProviderError> {
        self.functions.get_mut(id).ok_or_else(|| ProviderError::NotDeployed(id.clone()))
    }

    #[expect(clippy::disallowed_methods, reason = "a fake has no clock.rs of its own")]
    pub(super) fn deploy(&mut self, deployment: Deployment, desired: Replicas) {
        let function = Function {
            current: Revision { number: 1, deployment: Arc::new(deployment) },
            previous: None,
            created: SystemTime::now(),
            desired,
            depth: Depth::Removed,
            replicas: Vec::new(),
            log: Log::default(),
        };
        let id = function.current.deployment.function.clone();
        self.functions.insert(id, function);
    }

    pub(super) fn uses_secret(&self, name: &SecretName) -> bool {
        self.functions.iter().any(|(id, function)| {
            let named = &function.current.deployment.secrets;
            id.namespace() == name.namespace && named.contains(&name.name)
        })
    }

    pub(super) fn let_start(&mut self, function: &FunctionId, count: usize) {
        let Some(function) = self.functions.get_mut(function) else { return };
        let starting =
            function.replicas.iter_mut().filter(|it| it.replica.phase == Phase::Starting);
        for replica in starting.take(count) {
            replica.replica.phase = Phase::Ready;
        }
    }

    /// What is durable, and nothing else.
    pub(super) fn after_crash(&mut self) -> Self {
        let mut functions = std::mem::take(&mut self.functions);
        for function in functions.values_mut() {
            function.replicas.clear();
        }
        Self {
            namespaces: self.namespaces.clone(),
            secrets: self.secrets.clone(),
            functions,
            starts: self.starts,
            next: self.next,
        }
    }

    pub(super) fn settle_all(&mut self, shared: &Arc<Mutex<Self>>) {
        for id in self.functions.keys().cloned().collect::<Vec<_>>() {
            self.settle(&id, shared);
        }
    }

    /// Makes the replicas of a function what they should be.
    pub(super) fn settle(&mut self, id: &FunctionId, shared: &Arc<Mutex<Self>>) {
        let Some(function) = self.functions.get_mut(id) else { return };
        let wanted = function.desired.get() as usize;
        let (current, serving) = (function.current.clone(), function.serving().clone());
        if wanted == 0 {
            function.sleep();
            if function.depth == Depth::Created && function.replicas.is_empty() {
                self.next += 1;
                let id = ReplicaId::new(format!("{}-fake-{}", id.name(), self.next));
                let (log, deployment) = (function.log.clone(), current.deployment);
                let mut replica = FakeReplica::start(id, current.number, deployment, log, shared);
                replica.replica.phase = Phase::Created;
                function.replicas.push(replica);
            }
            return;
        }
        let starts_at_once = self.starts == Starts::AtOnce;
        let known = [current.number, serving.number];
        let mut fresh = Vec::new();
        let live = function.replicas.iter().filter(|it| it.revision == serving.number).count();
        let failing = function.replicas.iter().any(|it| it.revision == current.number);
        let starts = std::iter::repeat_n(&serving, wanted.saturating_sub(live));
        let trial = (current.number != serving.number && !failing).then_some(&current);
        for revision in starts.chain(trial) {
            self.next += 1;
            let id = ReplicaId::new(format!("{}-fake-{}", id.name(), self.next));
            let deployment = revision.deployment.clone();
            let mut replica =
                FakeReplica::start(id, revision.number, deployment, function.log.clone(), shared);
            revision.begin(&mut replica.replica, starts_at_once);
            fresh.push(replica);
        }
        function.replicas.retain(|replica| known.contains(&replica.revision));
        function.wake(starts_at_once);
        function.shrink(serving.number, wanted);
        function.replicas.extend(fresh);
    }
}

impl Revision {
    /// What becomes of a replica whose program starts.
    fn begin(&self, replica: &mut Replica, starts_at_once: bool) {
        let (phase, detail) = match self.deployment.process.as_str() {
            CRASHES => (Phase::Backoff, "exited with code 1"),
            NEVER_READY => (Phase::Starting, ""),
            _ if starts_at_once => (Phase::Ready, ""),
            _ => (Phase::Starting, ""),
        };
        replica.phase = phase;
        replica.detail = detail.to_owned();
        replica.restarts = u32::from(phase == Phase::Backoff);
    }
}

impl Function {
    pub(super) fn status(&self) -> FunctionStatus {
        FunctionStatus {
            deployment: self.current.deployment.clone(),
            revision: self.current.number,
            created: self.created,
            desired: self.desired,
            replicas: self.replicas.iter().map(|it| it.replica.clone()).collect(),
            crashes: Arc::new(self.crashes()),
        }
    }

    /// Each replica that does not work has crashed once.
    fn crashes(&self) -> Crashes {
        let mut crashes = Crashes::default();
        for FakeReplica { replica, .. } in &self.replicas {
            if replica.phase == Phase::Backoff {
                crashes.add(Crash {
                    at: self.created,
                    replica: replica.id.clone(),
                    reason: CrashReason::ExitCode,
                    detail: replica.detail.clone(),
                });
            }
        }
        crashes
    }

    pub(super) fn log(&self) -> Log {
        self.log.clone()
    }

    pub(super) fn update(&mut self, deployment: Deployment) {
        let previous = self.serving().clone();
        let number = self.current.number + 1;
        self.previous = (!self.desired.is_zero()).then_some(previous);
        self.current = Revision { number, deployment: Arc::new(deployment) };
    }

    pub(super) fn scale(&mut self, to: ScaleTo, capabilities: Capabilities) {
        self.desired = to.replicas;
        self.depth = match to.depth {
            Depth::Frozen if capabilities.freeze => Depth::Frozen,
            Depth::Created if capabilities.create => Depth::Created,
            _ => Depth::Removed,
        };
        self.replicas.retain(|replica| !to.victims.contains(&replica.replica.id));
    }

    /// The revision that answers calls: the current one unless it is bad and there was one before it.
    fn serving(&self) -> &Revision {
        let bad = [CRASHES, NEVER_READY].contains(&self.current.deployment.process.as_str());
        self.previous.as_ref().filter(|_| bad).unwrap_or(&self.current)
    }

    fn sleep(&mut self) {
        self.previous = None;
        let current = self.current.number;
        let depth = self.depth;
        let keeps = |phase: Phase| match depth {
            Depth::Frozen => matches!(phase, Phase::Ready | Phase::Frozen),
            Depth::Created => phase == Phase::Created,
            Depth::Removed => false,
        };
        self.replicas.retain(|it| it.revision == current && keeps(it.replica.phase));
        self.replicas.truncate(1);
        for replica in self.replicas.iter_mut().filter(|_| depth == Depth::Frozen) {
            replica.replica.phase = Phase::Frozen;
        }
    }

    /// Lets what is frozen run, and starts what is created.
    fn wake(&mut self, starts_at_once: bool) {
        let current = self.current.clone();
        for replica in &mut self.replicas {
            match replica.replica.phase {
                Phase::Frozen => replica.replica.phase = Phase::Ready,
                Phase::Created => current.begin(&mut replica.replica, starts_at_once),
                _ => {}
            }
        }
    }

    /// Those not ready go first, then the newest.
    fn shrink(&mut self, revision: u64, wanted: usize) {
        while self.replicas.iter().filter(|it| it.revision == revision).count() > wanted {
            let candidates =
                self.replicas.iter().enumerate().filter(|(_, it)| it.revision == revision);
            let victim = candidates.min_by_key(|(index, it)| {
                (it.replica.phase == Phase::Ready, std::cmp::Reverse(*index))
            });
            let Some((index, _)) = victim else { return };
            self.replicas.remove(index);
        }
    }
}
