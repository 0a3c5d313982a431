//! What a client says of a function, and what it is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{is_nought, is_zero};
use crate::json::{Fields, Many, Object, tolerant};
use crate::time::ZERO;

/// A function to be made or replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionDeployment {
    /// Its name.
    pub service: String,
    /// Its image.
    pub image: String,
    /// Where it lives; empty for the default namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The process that answers its calls.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub env_process: String,
    /// Its environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env_vars: BTreeMap<String, String>,
    /// Where it may be placed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Names of the secrets that it may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Its labels; always sent.
    pub labels: BTreeMap<String, String>,
    /// Its annotations; always sent.
    pub annotations: BTreeMap<String, String>,
    /// The most that a replica may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<FunctionResources>,
    /// What a replica is promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<FunctionResources>,
    /// Whether its root file system is read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_root_filesystem: bool,
}

tolerant!(FunctionDeployment {
    service: "service",
    image: "image",
    namespace: "namespace",
    env_process: "envProcess",
    env_vars: "envVars",
    constraints: "constraints",
    secrets: "secrets",
    labels: "labels",
    annotations: "annotations",
    limits: "limits",
    requests: "requests",
    read_only_root_filesystem: "readOnlyRootFilesystem",
});

/// Amounts in Kubernetes' quantity syntax.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FunctionResources {
    /// Memory, such as `128Mi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Processors, such as `100m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Graphics processors by the maker's name, such as `nvidia.com/gpu`.
    #[serde(flatten)]
    pub gpus: BTreeMap<String, String>,
}

impl FunctionResources {
    /// The keys under which graphics processors are asked for.
    pub const GPUS: [&str; 3] = ["nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu"];

    /// The amounts that are named, by their keys.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        let plain = [("memory", self.memory.as_deref()), ("cpu", self.cpu.as_deref())];
        let plain = plain.into_iter().filter_map(|(key, amount)| Some((key, amount?)));
        plain.chain(self.gpus.iter().map(|(key, amount)| (key.as_str(), amount.as_str())))
    }
}

impl<'de> Deserialize<'de> for FunctionResources {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(from)?;
        let mut gpus = BTreeMap::new();
        for key in Self::GPUS {
            let amount: String = fields.take(key)?;
            if !amount.is_empty() {
                gpus.insert(key.to_owned(), amount);
            }
        }
        Ok(Self { memory: fields.take("memory")?, cpu: fields.take("cpu")?, gpus })
    }
}

impl Object for FunctionResources {}

/// A function as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionStatus {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Where it lives.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The process that answers its calls.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub env_process: String,
    /// Its environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env_vars: BTreeMap<String, String>,
    /// Where it may be placed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Names of the secrets that it may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Its labels; always sent, because clients read them without looking.
    pub labels: BTreeMap<String, String>,
    /// Its annotations; always sent too.
    pub annotations: BTreeMap<String, String>,
    /// The most that a replica may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<FunctionResources>,
    /// What a replica is promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<FunctionResources>,
    /// Whether its root file system is read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_root_filesystem: bool,
    /// How often it has been called.
    #[serde(skip_serializing_if = "is_zero")]
    pub invocation_count: u64,
    /// Replicas wanted; left out at zero.
    #[serde(skip_serializing_if = "is_zero")]
    pub replicas: u64,
    /// Replicas that answer.
    #[serde(skip_serializing_if = "is_zero")]
    pub available_replicas: u64,
    /// When it was made, in RFC 3339; always sent.
    pub created_at: String,
    /// What it uses, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<FunctionUsage>,
    /// Its replicas one by one; tidegate's own addition, which other clients skip.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replica_status: Vec<ReplicaStatus>,
    /// The last replicas that ended without being told to, newest first; tidegate's own addition too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<FunctionEvent>,
}

tolerant!(FunctionStatus {
    name: "name",
    image: "image",
    namespace: "namespace",
    env_process: "envProcess",
    env_vars: "envVars",
    constraints: "constraints",
    secrets: "secrets",
    labels: "labels",
    annotations: "annotations",
    limits: "limits",
    requests: "requests",
    read_only_root_filesystem: "readOnlyRootFilesystem",
    invocation_count: "invocationCount",
    replicas: "replicas",
    available_replicas: "availableReplicas",
    created_at: "createdAt",
    usage: "usage",
    replica_status: "replicaStatus" as Many<ReplicaStatus>,
    events: "events" as Many<FunctionEvent>,
});

impl Default for FunctionStatus {
    fn default() -> Self {
        Self {
            name: String::new(),
            image: String::new(),
            namespace: String::new(),
            env_process: String::new(),
            env_vars: BTreeMap::new(),
            constraints: Vec::new(),
            secrets: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            limits: None,
            requests: None,
            read_only_root_filesystem: false,
            invocation_count: 0,
            replicas: 0,
            available_replicas: 0,
            created_at: ZERO.to_owned(),
            usage: None,
            replica_status: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// What all replicas of a function use together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionUsage {
    /// Thousandths of a processor since the last look.
    #[serde(skip_serializing_if = "is_nought")]
    pub cpu: f64,
    /// Bytes of memory.
    #[serde(skip_serializing_if = "is_nought")]
    pub total_memory_bytes: f64,
}

tolerant!(FunctionUsage { cpu: "cpu", total_memory_bytes: "totalMemoryBytes" });

/// One replica of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplicaStatus {
    /// Which.
    pub id: String,
    /// Where it is in its life.
    pub phase: String,
    /// How often it was started again.
    pub restarts: u64,
    /// Where it answers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// What else is known of it, such as why it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

tolerant!(ReplicaStatus {
    id: "id",
    phase: "phase",
    restarts: "restarts",
    address: "address",
    detail: "detail"
});

/// A replica that ended without being told to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FunctionEvent {
    /// When, in RFC 3339.
    pub time: String,
    /// Which replica.
    pub replica: String,
    /// Why, in one word: `exit_code`, `signal`, `oom`, `not_ready`, `cannot_start` or `unknown`.
    pub reason: String,
    /// The same in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

tolerant!(FunctionEvent { time: "time", replica: "replica", reason: "reason", detail: "detail" });
