//! What is kept of functions and namespaces, and how it is written down: JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tidegate_core::{BadName, FunctionId, Replicas};
use tidegate_provider::{Deployment, Namespace, Resources};

/// What is kept of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRecord {
    pub(crate) created: SystemTime,
    pub(crate) desired: Replicas,
    pub(crate) current: RevisionRecord,
    /// The revision that still serves, while the current one has not become ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<RevisionRecord>,
}

/// Which revision of which deployment: a function that was removed and deployed anew has others.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Generation {
    /// When the function was deployed.
    pub created: SystemTime,
    /// Counts its updates, from 1.
    pub revision: u64,
}

/// One revision, as far as a backend needs to know what is kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct KeptRevision<'a> {
    /// Which.
    pub generation: Generation,
    /// The image that was asked for.
    pub image: &'a str,
    /// What the backend [pinned](crate::Runtime::pin).
    pub pin: Option<&'a str>,
}

/// One revision of what a user said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RevisionRecord {
    pub(crate) revision: u64,
    deployment: DeploymentRecord,
    /// What the backend wants kept with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pin: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DeploymentRecord {
    name: String,
    namespace: String,
    image: String,
    process: String,
    env: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    secrets: Vec<String>,
    constraints: Vec<String>,
    limits: Option<Resources>,
    requests: Option<Resources>,
    read_only_root: bool,
}

/// What is kept of a namespace.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NamespaceRecord {
    name: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl FunctionRecord {
    /// As JSON.
    ///
    /// # Panics
    /// Never: texts, numbers and times after 1970 are JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("texts, numbers and times after 1970 are JSON")
    }

    /// From what [`FunctionRecord::to_json`] wrote.
    ///
    /// # Errors
    /// When it is something else; in words.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|bad| bad.to_string())
    }

    /// Which function.
    ///
    /// # Errors
    /// When its name was damaged.
    pub fn function(&self) -> Result<FunctionId, BadName> {
        self.current.deployment.function()
    }
}

impl FunctionRecord {
    /// What is kept of its revisions.
    pub fn revisions(&self) -> impl Iterator<Item = KeptRevision<'_>> {
        let all = std::iter::once(&self.current).chain(&self.previous);
        all.map(|it| KeptRevision {
            generation: Generation { created: self.created, revision: it.revision },
            image: &it.deployment.image,
            pin: it.pin.as_deref(),
        })
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        write!(f, "{}.{}", since.as_nanos(), self.revision)
    }
}

impl FromStr for Generation {
    type Err = BadGeneration;

    fn from_str(text: &str) -> Result<Self, BadGeneration> {
        let bad = || BadGeneration(text.to_owned());
        let (created, revision) = text.split_once('.').ok_or_else(bad)?;
        let created = created.parse().map(Duration::from_nanos).map_err(|_| bad())?;
        let revision = revision.parse().map_err(|_| bad())?;
        Ok(Self { created: SystemTime::UNIX_EPOCH + created, revision })
    }
}

/// A text that is no generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no generation: expected nanoseconds since 1970, a dot, and a revision")]
pub struct BadGeneration(String);

impl RevisionRecord {
    pub(crate) fn new(revision: u64, deployment: &Deployment, pin: Option<String>) -> Self {
        let it = deployment.clone();
        let deployment = DeploymentRecord {
            name: it.function.name().to_owned(),
            namespace: it.function.namespace().to_owned(),
            image: it.image,
            process: it.process,
            env: it.env.to_map(),
            labels: it.labels.to_map(),
            annotations: it.annotations.to_map(),
            secrets: it.secrets,
            constraints: it.constraints,
            limits: it.limits,
            requests: it.requests,
            read_only_root: it.read_only_root,
        };
        Self { revision, deployment, pin }
    }

    /// What was said.
    pub(crate) fn deployment(self) -> Result<Deployment, BadName> {
        let it = self.deployment;
        Ok(Deployment {
            function: it.function()?,
            image: it.image,
            process: it.process,
            env: it.env.into(),
            labels: it.labels.into(),
            annotations: it.annotations.into(),
            secrets: it.secrets,
            constraints: it.constraints,
            limits: it.limits,
            requests: it.requests,
            read_only_root: it.read_only_root,
        })
    }
}

impl DeploymentRecord {
    fn function(&self) -> Result<FunctionId, BadName> {
        FunctionId::new(&self.name, &self.namespace)
    }
}

impl From<Namespace> for NamespaceRecord {
    fn from(it: Namespace) -> Self {
        Self { name: it.name, labels: it.labels, annotations: it.annotations }
    }
}

impl From<NamespaceRecord> for Namespace {
    fn from(it: NamespaceRecord) -> Self {
        Self { name: it.name, labels: it.labels, annotations: it.annotations }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_read_as_it_is_written() {
        let created = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_763_733_347_000_000_321);
        let generation = Generation { created, revision: 7 };
        assert_eq!(generation.to_string(), "1763733347000000321.7");
        assert_eq!(generation.to_string().parse(), Ok(generation));
        for bad in ["", "1", "1.", ".1", "-1.1", "a.b", "1.1.1"] {
            assert!(bad.parse::<Generation>().is_err(), "{bad:?}");
        }
    }
}
