//! From a decision to at most one provider call.
//!
//! Upwards, victims that still drain come back first; downwards, the least busy replicas drain and are
//! ended when they are empty; to zero only past the gate, which any arrival shuts.

use std::sync::Arc;

use tidegate_autoscaler::{Action, Decision, Depth as WantedDepth, Reason};
use tidegate_core::{FunctionId, Replicas};
use tidegate_gateway::Entry;
use tidegate_provider::{Depth, ProviderError, ReplicaId, ScaleTo};
use tracing::info;

use super::{Answer, Done, ScaleLoop};

/// A provider call under way, and how to go on from it.
#[derive(Copy, Clone, Debug)]
pub(super) struct Call {
    kind: Kind,
    from: Replicas,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A count above zero.
    Count,
    /// From zero, with the gate open again.
    Wake,
    /// To zero, with the gate shut.
    Zero,
    /// Drained victims are ended, or what rests at zero goes deeper; the count stays.
    Cleanup,
}

impl Call {
    pub(super) fn failed(self, entry: &Arc<Entry>, error: &ProviderError) {
        if self.kind != Kind::Cleanup {
            entry.set_desired(self.from);
        }
        match self.kind {
            Kind::Zero => entry.zero_failed(),
            Kind::Wake => entry.fail_waiters(&error.to_string()),
            Kind::Count | Kind::Cleanup => {}
        }
    }

    /// A call may have arrived while the gate was shut.
    pub(super) fn wants_another_look(self) -> bool {
        self.kind == Kind::Zero
    }
}

impl ScaleLoop {
    /// Does what was decided, and ends victims that are empty by now.
    pub(super) fn apply(
        &mut self,
        function: &FunctionId,
        decision: Decision,
        answer: Option<Answer>,
    ) {
        self.look_again(function, decision.look_again);
        let Some(entry) = self.functions.get(function).map(|watched| watched.entry.clone()) else {
            return;
        };
        let call = match decision.action {
            Action::Stay(_) => self.clean_up(&entry),
            Action::Scale { to, depth, reason } => self.scale(&entry, to, depth, &reason),
        };
        match call {
            Some((call, to)) => self.start(&entry, call, to, answer),
            None => {
                if let Some(answer) = answer {
                    let _ = answer.send(Ok(()));
                }
            }
        }
    }

    fn scale(
        &mut self,
        entry: &Arc<Entry>,
        to: Replicas,
        depth: WantedDepth,
        reason: &Reason,
    ) -> Option<(Call, ScaleTo)> {
        let from = entry.desired();
        let planned = if to.is_zero() {
            self.fall_to_zero(entry, from, depth, reason)
        } else if to > from {
            if from.is_zero() {
                let from_nothing = entry.status().replicas.is_empty();
                self.uses.woken(self.clock.now(), entry.id(), from_nothing);
            }
            Some(up(entry, from, to))
        } else {
            Some(down(entry, from, to))
        };
        if planned.is_some() && from != to {
            log(entry.id(), from, to, reason);
            self.metrics.scaled(entry.id(), from, to);
        }
        planned
    }

    fn fall_to_zero(
        &mut self,
        entry: &Arc<Entry>,
        from: Replicas,
        depth: WantedDepth,
        reason: &Reason,
    ) -> Option<(Call, ScaleTo)> {
        let depth = match depth {
            WantedDepth::Frozen => Depth::Frozen,
            WantedDepth::Created => Depth::Created,
            WantedDepth::Removed => Depth::Removed,
        };
        let zero = ScaleTo { replicas: Replicas::ZERO, victims: Vec::new(), depth };
        if from.is_zero() {
            // At zero already: only the depth changes.
            log_depth(entry.id(), depth, reason);
            return Some((Call { kind: Kind::Cleanup, from }, zero));
        }
        if entry.begin_zero().is_some_and(|ticket| ticket.issue()) {
            entry.set_desired(Replicas::ZERO);
            return Some((Call { kind: Kind::Zero, from }, zero));
        }
        // Calls are open. Idleness waits for the next look; an operator's zero lets them finish.
        reason.is_operator().then(|| down(entry, from, Replicas::ZERO))
    }

    /// Ends victims whose calls are done.
    fn clean_up(&mut self, entry: &Arc<Entry>) -> Option<(Call, ScaleTo)> {
        let victims = entry.drained();
        if victims.is_empty() {
            return None;
        }
        let desired = entry.desired();
        let replicas = with_draining(entry, desired, &victims);
        let to = ScaleTo { replicas, victims, depth: Depth::Removed };
        Some((Call { kind: Kind::Cleanup, from: desired }, to))
    }

    fn start(&mut self, entry: &Arc<Entry>, call: Call, to: ScaleTo, answer: Option<Answer>) {
        let function = entry.id().clone();
        if let Some(watched) = self.functions.get_mut(&function) {
            watched.busy = true;
        }
        let (provider, entry) = (self.provider.clone(), entry.clone());
        self.calls.push(Box::pin(async move {
            let result = provider.scale(&function, to).await;
            Done { entry, call, result, answer }
        }));
    }
}

/// Victims that still drain come back into service before anything new is started.
fn up(entry: &Arc<Entry>, from: Replicas, to: Replicas) -> (Call, ScaleTo) {
    let missing = to.minus(from).get() as usize;
    entry.undrain(missing);
    entry.set_desired(to);
    let victims = entry.drained();
    let replicas = with_draining(entry, to, &victims);
    let kind = if from.is_zero() { Kind::Wake } else { Kind::Count };
    if kind == Kind::Wake {
        // What was told to end stays out of service until the provider reports it anew, so the gate may
        // open before the provider has written the count down: a thawed replica answers at once.
        entry.reopen();
    }
    (Call { kind, from }, ScaleTo { replicas, victims, depth: Depth::Removed })
}

/// Replicas that are not ready yet go at once; of the ready ones the least busy drain first.
fn down(entry: &Arc<Entry>, from: Replicas, to: Replicas) -> (Call, ScaleTo) {
    entry.set_desired(to);
    let surplus = entry.available().minus(to).get() as usize;
    entry.pick_victims(surplus);
    let victims = entry.drained();
    let replicas = with_draining(entry, to, &victims);
    (Call { kind: Kind::Count, from }, ScaleTo { replicas, victims, depth: Depth::Removed })
}

/// The provider keeps those that drain until they are empty; `victims` are.
fn with_draining(entry: &Entry, wanted: Replicas, victims: &[ReplicaId]) -> Replicas {
    let draining = entry.draining().saturating_sub(victims.len());
    wanted.plus(Replicas::new(u32::try_from(draining).unwrap_or(u32::MAX)))
}

fn log_depth(function: &FunctionId, depth: Depth, reason: &Reason) {
    let replicas = match depth {
        Depth::Removed => "removed",
        Depth::Created => "created",
        Depth::Frozen => "frozen",
    };
    info!(
        function.name = function.name(),
        function.namespace = function.namespace(),
        replicas.at_zero = replicas,
        reason = reason.label(),
        "replicas of {function} at zero are {replicas} from now on: {reason}"
    );
}

fn log(function: &FunctionId, from: Replicas, to: Replicas, reason: &Reason) {
    info!(
        function.name = function.name(),
        function.namespace = function.namespace(),
        replicas.from = from.get(),
        replicas.to = to.get(),
        reason = reason.label(),
        "scaling {function} from {from} to {to}: {reason}"
    );
}
