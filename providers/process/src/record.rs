//! What is kept of a function on disk: JSON, one file each.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tidegate_core::{BadName, FunctionId, Replicas};
use tidegate_provider::{Deployment, Namespace, Resources};

/// A function's file.
#[derive(Serialize, Deserialize)]
pub(crate) struct FunctionRecord {
    pub(crate) created: SystemTime,
    pub(crate) desired: Replicas,
    pub(crate) current: RevisionRecord,
    /// The revision that still serves, while the current one has not become ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<RevisionRecord>,
}

/// One revision of what a user said.
#[derive(Serialize, Deserialize)]
pub(crate) struct RevisionRecord {
    pub(crate) revision: u64,
    deployment: DeploymentRecord,
}

#[derive(Serialize, Deserialize)]
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

/// A namespace's file.
#[derive(Serialize, Deserialize)]
pub(crate) struct NamespaceRecord {
    name: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl RevisionRecord {
    pub(crate) fn new(revision: u64, deployment: &Deployment) -> Self {
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
        Self { revision, deployment }
    }

    pub(crate) fn deployment(self) -> Result<Deployment, BadName> {
        let it = self.deployment;
        Ok(Deployment {
            function: FunctionId::new(&it.name, &it.namespace)?,
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
