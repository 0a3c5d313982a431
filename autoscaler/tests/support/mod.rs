//! One function and its load in virtual time, for timelines that read as such.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod plant;
pub mod served;
pub mod walk;

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_autoscaler::{Action, Ask, Autoscaler, Config, Decision, Explanation, Hold, Source};
use tidegate_core::{FunctionId, Load, Moment, Observation, Policy, Replicas};

/// A function whose replicas are ready as soon as they are asked for, unless told otherwise.
pub struct Scenario {
    pub autoscaler: Autoscaler,
    pub function: FunctionId,
    pub now: Moment,
    pub load: Load,
    pub desired: Replicas,
    pub ready: Replicas,
    pub instant_starts: bool,
    pub replica_limit: Option<u32>,
    pub revision: u64,
    pub policy: Policy,
    pub frozen: Replicas,
    pub created: Replicas,
    pub changes: Vec<(Moment, u32, &'static str)>,
    pub last: Option<Decision>,
    rate_rest: f64,
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn policy(pairs: &[(&str, &str)]) -> Policy {
    let labels: BTreeMap<String, String> =
        pairs.iter().map(|(name, value)| (label(name), (*value).to_owned())).collect();
    Policy::from_labels(&labels).expect("good labels").0
}

/// `max` is a label of OpenFaaS, `tidegate:tolerance` one of ours.
fn label(name: &str) -> String {
    match name.strip_prefix("tidegate:") {
        Some(ours) => format!("com.tidegate.scale.{ours}"),
        None => format!("com.openfaas.scale.{name}"),
    }
}

impl Scenario {
    pub fn with(pairs: &[(&str, &str)]) -> Self {
        Self::with_config(pairs, Config::default())
    }

    pub fn with_config(pairs: &[(&str, &str)], config: Config) -> Self {
        let policy = policy(pairs);
        let mut autoscaler = Autoscaler::new(config);
        let function = FunctionId::parse("f").expect("a good name");
        let min = policy.bounds.min();
        autoscaler.insert(Moment::ZERO, function.clone(), policy.clone(), None);
        Self {
            autoscaler,
            function,
            now: Moment::ZERO,
            load: Load::default(),
            desired: min,
            ready: min,
            instant_starts: true,
            replica_limit: None,
            revision: 1,
            policy,
            frozen: Replicas::ZERO,
            created: Replicas::ZERO,
            changes: Vec::new(),
            last: None,
            rate_rest: 0.0,
        }
    }

    pub fn observation(&self) -> Observation {
        Observation {
            function: self.function.clone(),
            revision: self.revision,
            load: Some(self.load),
            desired: self.desired,
            ready: self.ready,
            pending: self.desired.minus(self.ready),
            draining: Replicas::ZERO,
            frozen: self.frozen,
            created: self.created,
            replica_limit: self.replica_limit,
        }
    }

    /// A value is measured now.
    pub fn measures(&mut self, source: &Source, value: f64) -> &mut Self {
        self.autoscaler.measured(self.now, &self.function, source, Ok(value));
        self
    }

    /// A value cannot be measured now.
    pub fn fails(&mut self, source: &Source, why: &str) -> &mut Self {
        self.autoscaler.measured(self.now, &self.function, source, Err(why.to_owned()));
        self
    }

    /// The same value every five seconds for so long; a look each second.
    pub fn reads(&mut self, source: &Source, value: f64, span: Duration) -> &mut Self {
        for second in 0..span.as_secs() {
            if second.is_multiple_of(5) {
                self.measures(source, value);
            }
            self.holds(self.load.in_flight, secs(1));
        }
        self
    }

    /// The load is not known for so long; a look each second.
    pub fn misses(&mut self, span: Duration) -> &mut Self {
        for _ in 0..span.as_secs() {
            self.passes(secs(1));
            let seen = Observation { load: None, ..self.observation() };
            let decision = self.autoscaler.decide(self.now, &seen);
            self.take(decision);
        }
        self
    }

    /// The control plane is started anew: its clock and its counters begin at nothing, the replicas stay.
    pub fn restart(&mut self) -> &mut Self {
        self.restart_with(Config::default())
    }

    pub fn restart_with(&mut self, config: Config) -> &mut Self {
        let memory = self.autoscaler.memory(self.now, &self.function);
        self.now = Moment::ZERO;
        let Load { in_flight, waiting, .. } = self.load;
        self.load = Load { in_flight, waiting, started: in_flight + waiting, ..Load::default() };
        self.autoscaler = Autoscaler::new(config);
        let (function, policy) = (self.function.clone(), self.policy.clone());
        self.autoscaler.insert(Moment::ZERO, function, policy, memory);
        self
    }

    pub fn explain(&self) -> Explanation {
        self.autoscaler.explain(self.now, &self.function).expect("known")
    }

    pub fn look_again(&self) -> Option<Moment> {
        self.last.as_ref().and_then(|decision| decision.look_again)
    }

    /// A look at this moment.
    pub fn look(&mut self) -> Decision {
        let decision = self.autoscaler.decide(self.now, &self.observation());
        self.take(decision)
    }

    pub fn ask(&mut self, ask: Ask) -> Decision {
        let decision = self.autoscaler.ask(self.now, &self.observation(), ask);
        self.take(decision)
    }

    /// What was decided is done.
    pub fn take(&mut self, decision: Decision) -> Decision {
        if let Action::Scale { to, ref reason, .. } = decision.action {
            if to != self.desired {
                self.changes.push((self.now, to.get(), reason.label()));
            }
            self.desired = to;
            self.ready = self.ready.min(to);
            if self.instant_starts {
                self.ready = to;
            }
        }
        self.last = Some(decision.clone());
        decision
    }

    /// So many calls are open for so long; a look each second.
    pub fn holds(&mut self, open: u64, span: Duration) -> &mut Self {
        for _ in 0..span.as_secs() {
            self.load.in_flight = open;
            self.passes(secs(1));
            self.look();
        }
        self
    }

    /// So many calls a second complete, each within a moment, for so long.
    pub fn serves(&mut self, rate: f64, span: Duration) -> &mut Self {
        for _ in 0..span.as_secs() {
            self.rate_rest += rate;
            let calls = self.rate_rest.floor();
            self.rate_rest -= calls;
            self.passes(secs(1));
            self.load.started += calls as u64;
            self.load.completed += calls as u64;
            if calls > 0.0 {
                self.load.last_end = Some(self.now);
            }
            self.look();
        }
        self
    }

    /// Time passes without a look; open calls add to the integral.
    pub fn passes(&mut self, span: Duration) {
        let nanos = self.load.demand().saturating_mul(span.as_nanos() as u64);
        self.load.concurrency_nanos = self.load.concurrency_nanos.saturating_add(nanos);
        self.now = self.now + span;
    }

    pub fn wants(&mut self, count: u32) -> &mut Self {
        assert_eq!(self.desired.get(), count, "at {}: {:?}", self.now, self.changes);
        self
    }

    pub fn hold(&self) -> Option<Hold> {
        match &self.last.as_ref()?.action {
            Action::Stay(hold) => Some(hold.clone()),
            Action::Scale { .. } => None,
        }
    }
}
