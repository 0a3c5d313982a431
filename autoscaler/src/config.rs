//! What can be set about scaling for all functions together.

use std::ops::Deref;
use std::time::Duration;

use tidegate_core::{Decimal, Moment};
use tidegate_idler::{Common, Price};

use crate::rule::BUSY_SPAN;
use crate::window::Span;

/// Settings of the autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Span over which load is averaged for scaling down; from 1 s to 1 h.
    pub stable_window: Duration,
    /// Span over which load is averaged for scaling up; at most the stable window.
    pub fast_window: Duration,
    /// Idle time before zero, for functions that name none.
    pub idle_after: Duration,
    /// Time a replica stays frozen at zero, for functions that name none.
    pub warm: Duration,
    /// Time one is kept created after that, its program not started, before it is removed; for functions that
    /// name none. Zero leaves that out.
    pub created: Duration,
    /// Whether idleness is only reported.
    pub dry_run_idle: bool,
    /// Whether the provider can freeze replicas.
    pub can_freeze: bool,
    /// Whether the provider can keep replicas created, their programs not started.
    pub can_create: bool,
    /// Idle replica-hours a day that functions with a learning policy may cost together; moves the price of
    /// idle time. Without it the price stays as it is.
    pub idle_budget: Option<Decimal>,
    /// Longest that new replicas may take to become ready before no more are started.
    pub start_deadline: Duration,
}

/// The settings, and what is worked out from them once.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    config: Config,
    pub stable: Span,
    /// How long a wish holds the count up at least. A part more than the stable window: then this has
    /// forgotten the surge as well, and the way down is one step.
    pub hold: Duration,
    pub fast: Span,
    pub busy: Span,
    /// The stable window where only the rate of calls is of interest.
    pub rate: Span,
    /// What all functions share about idleness: learnt, not set.
    pub common: Common,
}

impl Settings {
    pub fn new(config: Config) -> Self {
        Self {
            stable: Span::new(config.stable_window),
            hold: config.stable_window + config.stable_window / 15,
            fast: Span::new(config.fast_window.min(config.stable_window)),
            busy: Span::new(BUSY_SPAN),
            rate: Span::coarse(config.stable_window),
            common: Common::new(price(&config)),
            config,
        }
    }
}

fn price(config: &Config) -> Price {
    match config.idle_budget {
        Some(hours) => Price::of_budget(Moment::ZERO, hours.as_f64()),
        None => Price::fixed(Price::DEFAULT),
    }
}

impl Deref for Settings {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stable_window: Duration::from_secs(30),
            fast_window: Duration::from_secs(6),
            idle_after: Duration::from_secs(300),
            warm: Duration::from_secs(600),
            created: Duration::ZERO,
            dry_run_idle: false,
            can_freeze: false,
            can_create: false,
            idle_budget: None,
            start_deadline: Duration::from_secs(60),
        }
    }
}
