//! Who may decide: our autoscaler, and models of others with their default settings.
//!
//! The models follow what their makers document; where that leaves something open they err to the side
//! of the peer. Nobody's code is used. `docs/simulator.md` says what each one does.

mod community;
mod fixed;
mod keda;
mod knative;
mod openfaas_pro;
mod oracle;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tidegate_core::{Decimal, LoadType, Moment, Policy, Target, format_duration, parse_duration};

use crate::policy::Contender;
use crate::run::Options;
use crate::scaler::{Scaler, Tidegate};

/// Who decides.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Our autoscaler: the crate that the gateway runs.
    Tidegate,
    /// The alert rule and the webhook of the OpenFaaS community edition.
    Community,
    /// The autoscaler of OpenFaaS Pro, with the lag of its scrapes and rules.
    OpenfaasPro,
    /// Knative's stable and panic window.
    Knative,
    /// KEDA's http-add-on with the Kubernetes HPA.
    Keda,
    /// Started when needed, kept for a fixed time.
    Fixed(Duration),
    /// Knows the trace beforehand.
    Oracle,
}

/// Nobody is called that.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "nobody is called {0:?}; use tidegate, budget:HOURS, community, openfaas-pro, knative, keda, fixed:10m or oracle"
)]
pub struct BadScaler(String);

impl Kind {
    /// The scaler itself.
    pub(crate) fn scaler(
        self,
        contender: &Contender,
        options: &Options,
        functions: usize,
    ) -> Box<dyn Scaler> {
        let limit = contender.max_inflight;
        match self {
            Self::Tidegate => Box::new(Tidegate::new(contender.settings(options))),
            Self::Community => Box::new(community::Community::new(functions)),
            Self::OpenfaasPro => Box::new(openfaas_pro::OpenfaasPro::new(functions)),
            Self::Knative => Box::new(knative::Knative::new(functions, limit)),
            Self::Keda => Box::new(keda::Keda::new(functions)),
            Self::Fixed(keep) => Box::new(fixed::Fixed::new(functions, keep, limit)),
            Self::Oracle => Box::new(oracle::Oracle::new(functions, options.model.clone(), limit)),
        }
    }
}

impl FromStr for Kind {
    type Err = BadScaler;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "tidegate" => Self::Tidegate,
            "community" => Self::Community,
            "openfaas-pro" => Self::OpenfaasPro,
            "knative" => Self::Knative,
            "keda" => Self::Keda,
            "oracle" => Self::Oracle,
            _ => {
                let keep = text.strip_prefix("fixed:").and_then(|keep| parse_duration(keep).ok());
                Self::Fixed(keep.ok_or_else(|| BadScaler(text.chars().take(64).collect()))?)
            }
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tidegate => "tidegate",
            Self::Community => "community",
            Self::OpenfaasPro => "openfaas-pro",
            Self::Knative => "knative",
            Self::Keda => "keda",
            Self::Oracle => "oracle",
            Self::Fixed(keep) => return write!(f, "fixed:{}", format_duration(*keep)),
        })
    }
}

// --- what the models share

const SECOND: u64 = 1_000_000_000;

/// The next moment at a whole number of periods after the start.
fn next(now: Moment, period: u64) -> Moment {
    let now = now.as_nanos();
    Moment::from_nanos(now - now % period + period)
}

/// Whether a loop of this period turns now.
fn turns(now: Moment, period: u64) -> bool {
    now.as_nanos().is_multiple_of(period)
}

/// `ceil(load / each)`, forgiving the last bit of floating point.
fn replicas_for(load: f64, each: f64) -> u32 {
    let wanted = load / each.max(1e-9);
    (wanted - wanted * 1e-9).ceil().max(0.0) as u32
}

/// The target of a policy with a load, and what is measured.
fn target(policy: &Policy) -> Option<(LoadType, f64, f64)> {
    match policy.target {
        Target::Load { load, target, proportion } => {
            Some((load, target.as_f64(), Decimal::as_f64(proportion)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in
            ["tidegate", "community", "openfaas-pro", "knative", "keda", "oracle", "fixed:10m"]
        {
            assert_eq!(name.parse::<Kind>().map(|kind| kind.to_string()), Ok(name.to_owned()));
        }
        assert!("fixed:soon".parse::<Kind>().is_err());
        assert!("hpa".parse::<Kind>().is_err());
    }

    #[test]
    fn exact_quotients_stay_exact() {
        assert_eq!(replicas_for(63.0, 90.0 * 0.7), 1);
        assert_eq!(replicas_for(42.0, 12.0 * 0.7), 5);
        assert_eq!(replicas_for(45.1, 45.0), 2);
        assert_eq!(replicas_for(0.0, 5.0), 0);
    }
}
