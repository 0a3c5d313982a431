//! The functions that the loop watches: those of the gateway's table, looked up anew at every turn, so that
//! it never acts for one that is gone, nor for the earlier one of two that had the same name.

use std::collections::VecDeque;
use std::sync::Arc;

use tidegate_autoscaler::{Ask, Handle};
use tidegate_core::{FunctionId, Moment, Policy};
use tidegate_gateway::{Entry, ScaleError};
use tidegate_provider::{Phase, ProviderError, Replica};

use super::{Answer, ScaleLoop};
use crate::boot::BootTime;

/// One function as the loop has it.
pub(super) struct Watched {
    pub(super) entry: Arc<Entry>,
    /// Where the autoscaler keeps it.
    pub(super) handle: Handle,
    pub(super) revision: u64,
    pub(super) next_look: Option<Moment>,
    /// A provider call is under way.
    pub(super) busy: bool,
    /// Something happened meanwhile.
    pub(super) again: bool,
    /// Asks that wait for the call under way.
    pub(super) asks: VecDeque<(Ask, Answer)>,
}

impl ScaleLoop {
    /// The function as the table has it now; learnt when it is new or changed, forgotten when it is gone.
    pub(super) fn meet(&mut self, function: &FunctionId) -> Option<&mut Watched> {
        let entry = self.table.get(function);
        let known = self.functions.get(function);
        let same = |entry: &Arc<Entry>| known.is_none_or(|known| Arc::ptr_eq(&known.entry, entry));
        if known.is_some() && !entry.as_ref().is_some_and(same) {
            self.forget(function);
        }
        self.learn(entry?);
        self.functions.get_mut(function)
    }

    /// Takes in a new revision.
    fn learn(&mut self, entry: Arc<Entry>) {
        let function = entry.id().clone();
        let revision = entry.status().revision;
        let known = self.functions.get(&function).map(|watched| watched.revision);
        if known == Some(revision) {
            return;
        }
        let now = self.clock.now();
        let memory = match known {
            None => self.memories.take(&BootTime::now(), &function),
            Some(_) => self.autoscaler.memory(now, &function),
        };
        let policy = Policy::clone(&entry.policy());
        let status = entry.status();
        let labels = &status.deployment.labels;
        let handle = self.autoscaler.insert(now, &function, policy, labels, memory);
        self.learn_rules(now, &function, &entry.policy(), labels);
        let least = self.floors.set(self.both_clocks(), &function, labels);
        if !least.is_zero() {
            self.autoscaler.floor(now, &function, least);
        }
        let new = || Watched::new(entry, handle, revision);
        let watched = self.functions.entry(function).or_insert_with(new);
        (watched.handle, watched.revision) = (handle, revision);
    }

    /// Whoever asked something of it is told that it is gone.
    fn forget(&mut self, function: &FunctionId) {
        self.autoscaler.remove(self.clock.now(), function);
        self.floors.forget(function);
        self.uses.forget(function);
        self.forget_rules(function);
        self.metrics.forget(function);
        self.memories.forget(function);
        let watched = self.functions.remove(function);
        for (_, answer) in watched.into_iter().flat_map(|watched| watched.asks) {
            answer_not_deployed(answer, function.clone());
        }
    }
}

/// The asker may have left; nothing depends on the answer.
pub(super) fn answer_not_deployed(answer: Answer, function: FunctionId) {
    let _ = answer.send(Err(ScaleError::Provider(ProviderError::NotDeployed(function))));
}

impl Watched {
    fn new(entry: Arc<Entry>, handle: Handle, revision: u64) -> Self {
        Self {
            entry,
            handle,
            revision,
            next_look: None,
            busy: false,
            again: false,
            asks: VecDeque::new(),
        }
    }

    /// Answers waiting calls when every replica keeps crashing, with what it said.
    pub(super) fn give_up_on_waiters(&self) {
        const STARTS: u32 = 3;
        let status = self.entry.status();
        let replicas = &status.replicas;
        let hopeless =
            |replica: &&Replica| replica.phase == Phase::Backoff && replica.restarts >= STARTS;
        let crashed = replicas.iter().filter(hopeless).count();
        if crashed == 0 || crashed < replicas.len() {
            return;
        }
        if let Some(replica) = replicas.first() {
            let detail = &replica.detail;
            self.entry.fail_waiters(&format!("{} does not start: {detail}", self.entry.id()));
        }
    }
}
