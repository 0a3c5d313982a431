//! What the loops count: decisions by reason, counts changed, time per turn.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tidegate_autoscaler::{Action, Hold, Source};
use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::{CrashReason, Crashes};

/// The function of a series, whose text is kept once for all of them.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Name(FunctionId);

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        write!(encoder, "{}", self.0)
    }
}

/// Labels of a decision; both from fixed sets and deployed functions.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DecisionLabels {
    function_name: Name,
    reason: &'static str,
}

/// Labels of a change of the count.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ScaleLabels {
    function_name: Name,
    direction: &'static str,
}

/// Label of a measurement; from a fixed set and the configured rules.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SourceLabels {
    source: String,
}

/// What the loops count.
#[derive(Debug, Default)]
pub struct Metrics {
    decisions: Family<DecisionLabels, Counter>,
    scalings: Family<ScaleLabels, Counter>,
    failures: Counter,
    evictions: Counter,
    memory_short: Gauge,
    unmeasured: Family<SourceLabels, Counter>,
    looks: Counter,
    busy_seconds: Gauge<f64, AtomicU64>,
    /// With which reasons each function has series; few.
    reasons: HashMap<FunctionId, Vec<&'static str>>,
}

impl Metrics {
    /// Registers everything that the loops count.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "tidegate_decisions",
            "Scale decisions by reason, those to do nothing among them",
            metrics.decisions.clone(),
        );
        registry.register(
            "tidegate_scalings",
            "Changes of the wanted count of replicas",
            metrics.scalings.clone(),
        );
        registry.register(
            "tidegate_scaling_failures",
            "Scale calls that the provider refused",
            metrics.failures.clone(),
        );
        registry.register(
            "tidegate_evictions",
            "Functions at zero whose replicas gave up their memory since it was short",
            metrics.evictions.clone(),
        );
        registry.register(
            "tidegate_memory_short",
            "Whether memory is short",
            metrics.memory_short.clone(),
        );
        registry.register(
            "tidegate_measure_failures",
            "Values for scaling that could not be measured",
            metrics.unmeasured.clone(),
        );
        registry.register(
            "tidegate_scale_loop_looks",
            "Functions looked at by deadline",
            metrics.looks.clone(),
        );
        registry.register(
            "tidegate_scale_loop_last_turn_seconds",
            "Time the last turn by deadline took",
            metrics.busy_seconds.clone(),
        );
        metrics
    }

    /// One decision was taken. To leave a function at zero is none: thousands of those cost no series.
    pub fn decided(&mut self, function: &FunctionId, action: &Action) {
        let reason = match action {
            Action::Stay(Hold::AtZero) => return,
            Action::Stay(hold) => hold.label(),
            Action::Scale { reason, .. } => reason.label(),
        };
        match self.reasons.get_mut(function) {
            Some(known) if known.contains(&reason) => {}
            Some(known) => known.push(reason),
            None => drop(self.reasons.insert(function.clone(), vec![reason])),
        }
        let labels = DecisionLabels { function_name: Name(function.clone()), reason };
        self.decisions.get_or_create(&labels).inc();
    }

    /// The wanted count changed.
    pub fn scaled(&self, function: &FunctionId, from: Replicas, to: Replicas) {
        let direction = if to > from { "up" } else { "down" };
        let labels = ScaleLabels { function_name: Name(function.clone()), direction };
        self.scalings.get_or_create(&labels).inc();
    }

    /// The provider refused a count.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// Whether memory is short now.
    pub fn memory_is_short(&self, short: bool) {
        self.memory_short.set(i64::from(short));
    }

    /// What rests of a function gave up its memory.
    pub fn evicted(&self) {
        self.evictions.inc();
    }

    /// A value could not be measured.
    pub fn unmeasured(&self, source: &Source) {
        let source = match source {
            Source::Rule(name) => format!("rule:{name}"),
            other => other.to_string(),
        };
        self.unmeasured.get_or_create(&SourceLabels { source }).inc();
    }

    /// A turn by deadline is over.
    pub fn turned(&self, looked: u64, took: Duration) {
        self.looks.inc_by(looked);
        self.busy_seconds.set(took.as_secs_f64());
    }

    /// The function is gone, its series with it.
    pub fn forget(&mut self, function: &FunctionId) {
        let function_name = Name(function.clone());
        for reason in self.reasons.remove(function).unwrap_or_default() {
            self.decisions.remove(&DecisionLabels { function_name: function_name.clone(), reason });
        }
        for direction in ["up", "down"] {
            self.scalings.remove(&ScaleLabels { function_name: function_name.clone(), direction });
        }
    }
}

/// How often replicas ended without being told to, by function and reason, as the provider counts it.
#[derive(Clone, Debug, Default)]
pub struct CrashCounts {
    crashes: Family<DecisionLabels, Counter>,
}

impl CrashCounts {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let counts = Self::default();
        registry.register(
            "tidegate_replica_crashes",
            "Replicas that ended without being told to",
            counts.crashes.clone(),
        );
        counts
    }

    /// All crashes of a function so far. One that never crashed has no series.
    pub fn seen(&self, function: &FunctionId, crashes: &Crashes) {
        for reason in CrashReason::ALL {
            let (count, labels) = (crashes.count(reason), crash_labels(function, reason));
            let counted = self.crashes.get(&labels).map_or(0, |counter| counter.get());
            if count < counted {
                // Another function of the same name.
                self.crashes.remove(&labels);
                self.add(&labels, count);
            } else {
                self.add(&labels, count - counted);
            }
        }
    }

    fn add(&self, labels: &DecisionLabels, count: u64) {
        if count > 0 {
            self.crashes.get_or_create(labels).inc_by(count);
        }
    }

    /// The function is gone, its series with it.
    pub fn forget(&self, function: &FunctionId) {
        for reason in CrashReason::ALL {
            self.crashes.remove(&crash_labels(function, reason));
        }
    }
}

fn crash_labels(function: &FunctionId, reason: CrashReason) -> DecisionLabels {
    DecisionLabels { function_name: Name(function.clone()), reason: reason.label() }
}

#[cfg(test)]
mod tests {
    use tidegate_provider::{Crash, ReplicaId};

    use super::*;

    #[test]
    fn crashes_are_counted_once_and_forgotten_with_their_function() {
        let (counts, id) = (CrashCounts::default(), FunctionId::parse("f").expect("a name"));
        let mut crashes = Crashes::default();
        let told = || {
            let labels = crash_labels(&id, CrashReason::OutOfMemory);
            counts.crashes.get(&labels).map(|counter| counter.get())
        };
        for so_far in 1..3 {
            crashes.add(Crash {
                at: std::time::SystemTime::UNIX_EPOCH,
                replica: ReplicaId::new("r"),
                reason: CrashReason::OutOfMemory,
                detail: String::new(),
            });
            counts.seen(&id, &crashes);
            counts.seen(&id, &crashes);
            assert_eq!(told(), Some(so_far));
        }
        counts.seen(&id, &Crashes::default());
        assert_eq!(told(), None, "another function of the same name");
        counts.seen(&id, &crashes);
        counts.forget(&id);
        assert_eq!(told(), None);
    }
}
