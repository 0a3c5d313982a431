//! A function's habits and what all functions share: the adaptive policy as a whole.

use std::time::Duration;

use tidegate_core::{Moment, ZeroRule};

use crate::bins;
use crate::hybrid::Hybrid;
use crate::learnt::Learnt;
use crate::plan::{Hazard, Plan, Terms, hazard, plan};
use crate::population::Population;
use crate::price::Price;
use crate::tuning::Tuning;

/// What is learnt of one function; nothing under the fixed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Habits {
    /// For the adaptive policy.
    Adaptive(Box<Learnt>),
    /// For the hybrid histogram.
    Hybrid(Box<Hybrid>),
}

/// What all functions share.
#[derive(Clone, Debug)]
pub struct Common {
    /// The numbers of the policy.
    pub tuning: Tuning,
    /// What all functions together teach.
    pub population: Box<Population>,
    /// What idle time costs.
    pub price: Price,
    /// Whether memory is short: then nothing is warmed beforehand.
    pub memory_short: bool,
}

impl Habits {
    /// Nothing learnt yet; `None` for the policy that learns nothing.
    pub fn new(rule: ZeroRule) -> Option<Self> {
        match rule {
            ZeroRule::Fixed => None,
            ZeroRule::Adaptive => Some(Self::Adaptive(Box::default())),
            ZeroRule::Hybrid => Some(Self::Hybrid(Box::default())),
        }
    }

    /// The policy that these are for.
    pub const fn rule(&self) -> ZeroRule {
        match self {
            Self::Adaptive(_) => ZeroRule::Adaptive,
            Self::Hybrid(_) => ZeroRule::Hybrid,
        }
    }

    /// Bytes on the heap.
    pub const fn heap_bytes(&self) -> usize {
        match self {
            Self::Adaptive(_) => size_of::<Learnt>(),
            Self::Hybrid(_) => size_of::<Hybrid>(),
        }
    }
}

impl Common {
    /// Nothing learnt, at this price.
    pub fn new(price: Price) -> Self {
        let (tuning, population) = (Tuning::default(), Box::default());
        Self { tuning, population, price, memory_short: false }
    }

    /// Takes in a silence that a call has ended.
    pub fn note(&mut self, habits: &mut Habits, silence: Duration) {
        match habits {
            Habits::Adaptive(learnt) => {
                if let Some(bin) = bins::index(silence) {
                    self.population.note(learnt, bin);
                }
                learnt.note(&self.tuning, silence);
            }
            Habits::Hybrid(hybrid) => hybrid.note(silence, 1),
        }
    }

    /// Takes in idle time that was spent.
    pub fn spend(&mut self, now: Moment, idle: Duration) {
        self.price.spend(now, idle);
    }

    /// When to be warm during the silence that is on.
    pub fn plan(&self, habits: &Habits, terms: Terms) -> Plan {
        match habits {
            Habits::Adaptive(learnt) => {
                plan(&self.tuning, learnt, &self.population, terms, self.price.value())
            }
            Habits::Hybrid(hybrid) => hybrid.plan(terms),
        }
    }

    /// How often calls come at this age of a silence; only the adaptive policy asks.
    pub fn hazard(&self, habits: &Habits, age: Duration) -> Option<Hazard> {
        let Habits::Adaptive(learnt) = habits else { return None };
        hazard(&self.tuning, learnt, &self.population, self.price.value(), age)
    }
}
