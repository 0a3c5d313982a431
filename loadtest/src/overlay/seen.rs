//! The gateway's answers, what of them matters here.

use serde::Deserialize;

/// One look at a function.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) desired: u32,
    pub(super) ready: u32,
    pub(super) in_flight: Option<f64>,
    pub(super) waiting: Option<f64>,
    pub(super) min: u32,
    pub(super) decisions: Vec<Told>,
    /// Whether this gateway tells decisions at all.
    pub(super) tells_decisions: bool,
}

/// A decision as `/system/scaling` tells it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Told {
    #[serde(default)]
    pub(super) seconds_ago: f64,
    #[serde(default)]
    pub(super) from: u32,
    #[serde(default)]
    pub(super) to: u32,
    #[serde(default)]
    by: String,
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
struct Scaling {
    desired: u32,
    ready: u32,
    in_flight: Option<f64>,
    waiting: Option<f64>,
    #[serde(default = "one")]
    min: u32,
    #[serde(default)]
    decisions: Vec<Told>,
}

#[derive(Deserialize)]
struct Function {
    #[serde(default)]
    replicas: u32,
    #[serde(default, rename = "availableReplicas")]
    available: u32,
    #[serde(default)]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

fn one() -> u32 {
    1
}

impl Seen {
    /// `/system/scaling/NAME` of tidegate.
    pub(super) fn from_scaling(body: &[u8]) -> Result<Self, String> {
        let Scaling { desired, ready, in_flight, waiting, min, decisions } =
            serde_json::from_slice(body)
                .map_err(|error| format!("it does not speak as tidegate does: {error}"))?;
        Ok(Self { desired, ready, in_flight, waiting, min, decisions, tells_decisions: true })
    }

    /// `/system/function/NAME` of any OpenFaaS gateway.
    pub(super) fn from_function(body: &[u8]) -> Result<Self, String> {
        let function: Function = serde_json::from_slice(body)
            .map_err(|error| format!("it does not speak as OpenFaaS does: {error}"))?;
        let label =
            function.labels.as_ref().and_then(|labels| labels.get("com.openfaas.scale.min"));
        let min = label.and_then(|text| text.parse().ok()).unwrap_or(1);
        Ok(Self { desired: function.replicas, ready: function.available, min, ..Self::default() })
    }
}

impl Told {
    /// Its reason, and who asked when it was not the autoscaler.
    pub(super) fn words(&self) -> String {
        match self.by.as_str() {
            "" | "autoscaler" => self.why.clone(),
            by => format!("{} (by {by})", self.why),
        }
    }
}
