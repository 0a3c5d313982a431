//! Policy files: a name, labels and windows, and who decides.
//!
//! ```toml
//! name = "five in flight"
//! max_inflight = 5
//! [labels]
//! "com.openfaas.scale.type" = "capacity"
//! "com.openfaas.scale.target" = 5
//! [autoscaler]
//! stable_window = "60s"
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use tidegate_autoscaler::Config;
use tidegate_core::{BadLabel, Decimal, Policy, PolicyWarning, parse_duration};

use crate::peers::{BadScaler, Kind};
use crate::run::Options;

/// What a policy file says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyFile {
    /// What the policy is called in reports.
    pub name: Option<String>,
    /// Who decides: `tidegate`, or a model of somebody else.
    pub scaler: Option<String>,
    /// Calls one replica takes at once.
    pub max_inflight: Option<u32>,
    /// The labels of every function.
    pub labels: BTreeMap<String, Scalar>,
    /// Settings of our autoscaler.
    pub autoscaler: AutoscalerFile,
}

/// Settings of our autoscaler; what is left out is as in the gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoscalerFile {
    /// Span over which load is averaged for scaling down.
    pub stable_window: Option<String>,
    /// Span over which load is averaged for scaling up.
    pub fast_window: Option<String>,
    /// Idle time before zero, for functions that name none.
    pub idle_after: Option<String>,
    /// Time a replica stays frozen at zero.
    pub warm: Option<String>,
    /// Longest that new replicas may take to become ready before no more are started.
    pub start_deadline: Option<String>,
    /// Whether idleness is only reported.
    pub dry_run_idle: Option<bool>,
    /// Idle replica-hours a day that functions with a learning policy may cost together.
    pub idle_budget: Option<Scalar>,
}

/// A label's value, with or without quotes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Whole(i64),
    /// A number with places.
    Number(f64),
    /// A text.
    Text(String),
}

/// A policy ready to be run.
#[derive(Clone, Debug)]
pub struct Contender {
    /// What it is called in reports.
    pub name: String,
    /// Who decides.
    pub kind: Kind,
    /// How every function wants to be scaled.
    pub policy: Policy,
    /// The labels that say so.
    pub labels: BTreeMap<String, String>,
    /// Settings of our autoscaler.
    pub config: Config,
    /// Calls one replica takes at once.
    pub max_inflight: Option<u32>,
    /// What is odd about the labels.
    pub warnings: Vec<PolicyWarning>,
}

/// A policy that cannot work.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum BadPolicy {
    /// Labels that are not allowed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Labels(Vec<BadLabel>),
    /// Nobody is called that.
    #[error(transparent)]
    Scaler(#[from] BadScaler),
    /// Not a span.
    #[error("autoscaler.{field}: {value:?} is not a duration above zero such as 30s")]
    Span {
        /// Which setting.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// Not a number of hours.
    #[error(
        "autoscaler.idle_budget: {value:?} is not a number of replica-hours a day above 0, such as 24 or 1.5"
    )]
    Budget {
        /// Its value.
        value: String,
    },
    /// A trace has calls and nothing that is measured elsewhere.
    #[error("com.openfaas.scale.type: {0:?} cannot be simulated; use rps, capacity or queue")]
    Type(String),
    /// No call could be served.
    #[error("max_inflight must be at least 1")]
    NoCalls,
    /// Windows that do not fit together.
    #[error("autoscaler.fast_window must not be longer than autoscaler.stable_window")]
    Windows,
}

impl PolicyFile {
    /// A policy that is nothing but who decides: `knative`, `fixed:10m`.
    pub fn of_scaler(scaler: &str) -> Self {
        Self { scaler: Some(scaler.to_owned()), ..Self::default() }
    }

    /// A policy in one word: who decides, or `budget:HOURS` for our learning one with that many idle
    /// replica-hours a day for all functions together.
    ///
    /// # Errors
    /// When nobody is called that, or the hours are no decimal number above zero.
    pub fn named(word: &str) -> Result<Self, BadPolicy> {
        let Some(hours) = word.strip_prefix("budget:") else {
            word.parse::<Kind>()?;
            return Ok(Self::of_scaler(word));
        };
        let label = |name: &str, value: &str| (name.to_owned(), Scalar::Text(value.to_owned()));
        let file = Self {
            labels: BTreeMap::from([
                label("com.openfaas.scale.zero", "true"),
                label("com.tidegate.scale.zero-policy", "adaptive"),
            ]),
            autoscaler: AutoscalerFile {
                idle_budget: Some(Scalar::Text(hours.to_owned())),
                ..AutoscalerFile::default()
            },
            ..Self::of_scaler("tidegate")
        };
        file.autoscaler.config()?;
        Ok(file)
    }

    /// Ready to be run. `base` are labels that hold where the file says nothing else; `shown` is the
    /// policy's name where the file has none.
    ///
    /// # Errors
    /// When it cannot work.
    pub fn contender(
        &self,
        base: &BTreeMap<String, String>,
        shown: &str,
    ) -> Result<Contender, BadPolicy> {
        let mut labels = base.clone();
        let own = self.labels.iter().map(|(name, value)| (name.clone(), value.to_string()));
        labels.extend(own);
        let (policy, warnings) = Policy::from_labels(&labels).map_err(BadPolicy::Labels)?;
        let word = labels.get(tidegate_core::labels::TYPE).map_or("rps", |word| word.trim());
        if !["rps", "capacity", "queue"].contains(&word) {
            return Err(BadPolicy::Type(word.to_owned()));
        }
        if self.max_inflight == Some(0) {
            return Err(BadPolicy::NoCalls);
        }
        Ok(Contender {
            name: self.name.clone().unwrap_or_else(|| shown.to_owned()),
            kind: self.scaler.as_deref().unwrap_or("tidegate").parse()?,
            policy,
            labels,
            config: self.autoscaler.config()?,
            max_inflight: self.max_inflight,
            warnings,
        })
    }
}

impl Contender {
    /// The settings of our autoscaler under this provider.
    pub fn settings(&self, options: &Options) -> Config {
        Config { can_freeze: options.model.warm.is_some(), ..self.config.clone() }
    }
}

impl AutoscalerFile {
    fn config(&self) -> Result<Config, BadPolicy> {
        let mut config = Config::default();
        set("stable_window", &self.stable_window, &mut config.stable_window)?;
        set("fast_window", &self.fast_window, &mut config.fast_window)?;
        set("idle_after", &self.idle_after, &mut config.idle_after)?;
        set("warm", &self.warm, &mut config.warm)?;
        set("start_deadline", &self.start_deadline, &mut config.start_deadline)?;
        config.dry_run_idle = self.dry_run_idle.unwrap_or(config.dry_run_idle);
        if let Some(hours) = &self.idle_budget {
            let value = hours.to_string();
            // Nothing is no budget, here as in the gateway.
            let hours = value.parse::<Decimal>().ok().filter(|hours| !hours.is_zero());
            config.idle_budget = Some(hours.ok_or(BadPolicy::Budget { value })?);
        }
        if config.fast_window > config.stable_window {
            return Err(BadPolicy::Windows);
        }
        Ok(config)
    }
}

fn set(field: &'static str, text: &Option<String>, to: &mut Duration) -> Result<(), BadPolicy> {
    if let Some(value) = text {
        let span = parse_duration(value).ok().filter(|span| !span.is_zero());
        *to = span.ok_or_else(|| BadPolicy::Span { field, value: value.clone() })?;
    }
    Ok(())
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Whole(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}
