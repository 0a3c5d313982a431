//! A function under a load that is given as calls open at each second, its replicas ready after a time.
//!
//! What the scaling of such a load costs: replica-seconds, beside those of one who knows the load ahead and
//! applies the formula to it each second; actions; seconds in which replicas had more than their target.
#![allow(dead_code, reason = "each user takes its part")]

use std::collections::{BTreeMap, VecDeque};

use tidegate_autoscaler::{Action, Autoscaler, Config};
use tidegate_core::{FunctionId, Load, Moment, Observation, Policy, Replicas};

/// Calls that one replica should carry.
pub const TARGET: f64 = 10.0;
/// The share of it that the formula uses.
pub const PROPORTION: f64 = 0.9;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub seconds: u32,
    pub actions: u32,
    /// Changes of direction.
    pub turns: u32,
    pub replica_seconds: u64,
    pub ideal_seconds: u64,
    /// Seconds with more than the target on a ready replica.
    pub over_target: u32,
    /// The highest count, and the highest that the formula asked for.
    pub highest: u32,
    pub ideal_highest: u32,
    /// When the count changed, and to what.
    pub changes: Vec<(u32, u32)>,
}

impl Account {
    pub fn ratio(&self) -> f64 {
        self.replica_seconds as f64 / self.ideal_seconds as f64
    }

    pub fn over_target_percent(&self) -> f64 {
        f64::from(self.over_target) * 100.0 / f64::from(self.seconds)
    }

    pub fn overshoot_percent(&self) -> f64 {
        (f64::from(self.highest) / f64::from(self.ideal_highest) - 1.0) * 100.0
    }
}

/// One function.
pub struct Plant {
    autoscaler: Autoscaler,
    function: FunctionId,
    load: Load,
    desired: u32,
    ready: u32,
    /// When replicas on their way will be ready, in ticks.
    starts: VecDeque<u64>,
    start_ticks: u64,
    tick: u64,
    up: Option<bool>,
}

/// A tenth of a second.
const TICK_NANOS: u64 = 100_000_000;

/// The labels of a function with the default settings.
pub fn labels() -> BTreeMap<String, String> {
    [("type", "capacity"), ("target", "10"), ("max", "1000")]
        .map(|(name, value)| (format!("com.openfaas.scale.{name}"), value.to_owned()))
        .into()
}

impl Plant {
    pub fn new(labels: &BTreeMap<String, String>, start_seconds: f64) -> Self {
        let (policy, _) = Policy::from_labels(labels).expect("good labels");
        let function = FunctionId::parse("f").expect("a good name");
        let mut autoscaler = Autoscaler::new(Config::default());
        autoscaler.insert(Moment::ZERO, function.clone(), policy, None);
        Self {
            autoscaler,
            function,
            load: Load::default(),
            desired: 1,
            ready: 1,
            starts: VecDeque::new(),
            start_ticks: (start_seconds * 10.0) as u64,
            tick: 0,
            up: None,
        }
    }

    /// One second with so many calls open, into `account`.
    pub fn second(&mut self, open: u64, account: &mut Account) {
        self.load.in_flight = open;
        for tick in 0..10 {
            self.become_ready();
            // A look each second, and at the arrivals that find all full.
            let full = open as f64 > f64::from(self.ready) * TARGET;
            if tick == 0 || full {
                self.look(account);
            }
            self.load.concurrency_nanos += open * TICK_NANOS;
            self.tick += 1;
        }
        let ideal = (open as f64 / (TARGET * PROPORTION) - 1e-9).ceil().max(1.0) as u32;
        account.seconds += 1;
        account.replica_seconds += u64::from(self.desired);
        account.ideal_seconds += u64::from(ideal);
        account.over_target += u32::from(open as f64 > f64::from(self.ready) * TARGET);
        account.highest = account.highest.max(self.desired);
        account.ideal_highest = account.ideal_highest.max(ideal);
    }

    fn become_ready(&mut self) {
        while self.starts.front().is_some_and(|at| *at <= self.tick) {
            self.starts.pop_front();
            self.ready += 1;
        }
    }

    fn look(&mut self, account: &mut Account) {
        let seen = Observation {
            function: self.function.clone(),
            revision: 1,
            load: Some(self.load),
            desired: Replicas::new(self.desired),
            ready: Replicas::new(self.ready),
            pending: Replicas::new(self.desired.saturating_sub(self.ready)),
            draining: Replicas::ZERO,
            frozen: Replicas::ZERO,
            created: Replicas::ZERO,
            replica_limit: None,
        };
        let now = Moment::from_nanos(self.tick * TICK_NANOS);
        let Action::Scale { to, .. } = self.autoscaler.decide(now, &seen).action else { return };
        let to = to.get();
        if to == self.desired {
            return;
        }
        account.actions += 1;
        account.turns += u32::from(self.up.is_some_and(|up| up != (to > self.desired)));
        account.changes.push((account.seconds, to));
        self.up = Some(to > self.desired);
        self.desired = to;
        while self.ready + (self.starts.len() as u32) > to && self.starts.pop_back().is_some() {}
        self.ready = self.ready.min(to);
        while self.ready + (self.starts.len() as u32) < to {
            self.starts.push_back(self.tick + self.start_ticks);
        }
        self.become_ready();
    }
}

/// A load over time: calls open on average at a second.
#[derive(Copy, Clone, Debug)]
pub enum Shape {
    Constant(f64),
    /// Low, high and low again, a third each.
    Step {
        low: f64,
        high: f64,
        seconds: u32,
    },
    /// Up and down again, evenly.
    Ramp {
        low: f64,
        high: f64,
        seconds: u32,
    },
    Square {
        low: f64,
        high: f64,
        period: u32,
    },
    Sine {
        low: f64,
        high: f64,
        period: u32,
    },
    /// High for some seconds at the end of each period.
    Spikes {
        low: f64,
        high: f64,
        long: u32,
        period: u32,
    },
    /// A day: a night's low, a broad noon, an evening peak.
    Diurnal {
        low: f64,
        high: f64,
    },
}

impl Shape {
    pub fn at(self, second: u32) -> f64 {
        use std::f64::consts::TAU;
        let wave = |low: f64, high: f64, turn: f64| low + (high - low) * (1.0 - turn.cos()) / 2.0;
        let part = |of: u32| f64::from(second % of) / f64::from(of);
        match self {
            Self::Constant(level) => level,
            Self::Step { low, high, seconds } => match second * 3 / seconds {
                1 => high,
                _ => low,
            },
            Self::Ramp { low, high, seconds } => {
                low + (high - low) * (1.0 - (part(seconds) * 2.0 - 1.0).abs())
            }
            Self::Square { low, high, period } => {
                if part(period) < 0.5 {
                    low
                } else {
                    high
                }
            }
            Self::Sine { low, high, period } => wave(low, high, TAU * part(period)),
            Self::Spikes { low, high, long, period } => {
                if second % period + long >= period {
                    high
                } else {
                    low
                }
            }
            Self::Diurnal { low, high } => {
                let day = TAU * part(86_400);
                let evening = (TAU * 2.0 * part(86_400)).sin().min(0.0).abs() * 0.3;
                low + (high - low) * ((1.0 - day.cos()) / 2.0 * 0.7 + evening)
            }
        }
    }
}

/// Noise of so many percent, evenly spread; the same each time.
#[derive(Clone, Debug)]
pub struct Noise {
    state: u64,
    percent: f64,
}

impl Noise {
    pub fn new(seed: u64, percent: f64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, percent }
    }

    pub fn on(&mut self, level: f64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let dice = (self.state >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0;
        (level * (1.0 + dice * self.percent / 100.0)).round().max(0.0) as u64
    }
}

/// Runs a shape: `warm` seconds that do not count, then `seconds` that do.
pub fn run(plant: &mut Plant, shape: Shape, noise: &mut Noise, warm: u32, seconds: u32) -> Account {
    let mut unseen = Account::default();
    let mut account = Account::default();
    for second in 0..warm + seconds {
        let open = noise.on(shape.at(second));
        plant.second(open, if second < warm { &mut unseen } else { &mut account });
    }
    account
}
