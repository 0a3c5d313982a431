//! From what the provider and the gateway know to what clients see.

use tidegate_api::{
    FunctionDeployment, FunctionEvent, FunctionResources, FunctionStatus, FunctionUsage,
    ReplicaStatus, rfc3339,
};
use tidegate_core::FunctionId;
use tidegate_provider::{self as provider, Crash, Deployment, Replica, ReplicaUsage, Resources};

use crate::Table;

/// A function as clients see it. Counts come from the gateway, which knows what is wanted and what
/// gets calls; before it has heard of the function, from the provider.
pub(super) fn of(table: &Table, status: &provider::FunctionStatus) -> FunctionStatus {
    let deployment = &status.deployment;
    let entry = table.get(&deployment.function);
    let (wanted, available) = match &entry {
        Some(entry) => (entry.desired(), entry.available()),
        None => (status.desired, status.ready()),
    };
    let mut labels = deployment.labels.to_map();
    labels.insert("faas_function".to_owned(), deployment.function.name().to_owned());
    FunctionStatus {
        name: deployment.function.name().to_owned(),
        image: deployment.image.clone(),
        namespace: deployment.function.namespace().to_owned(),
        env_process: deployment.process.clone(),
        env_vars: deployment.env.to_map(),
        constraints: deployment.constraints.clone(),
        secrets: deployment.secrets.clone(),
        labels,
        annotations: deployment.annotations.to_map(),
        limits: deployment.limits.as_ref().map(amounts),
        requests: deployment.requests.as_ref().map(amounts),
        read_only_root_filesystem: deployment.read_only_root,
        invocation_count: entry.map_or(0, |entry| entry.completed()),
        replicas: u64::from(wanted.get()),
        available_replicas: u64::from(available.get()),
        created_at: rfc3339(status.created),
        usage: None,
        replica_status: Vec::new(),
        events: Vec::new(),
    }
}

/// What is said of each replica in a description.
pub(super) fn replica(replica: &Replica) -> ReplicaStatus {
    ReplicaStatus {
        id: replica.id.to_string(),
        phase: replica.phase.label().to_owned(),
        restarts: u64::from(replica.restarts),
        address: replica.address.as_ref().map(ToString::to_string).unwrap_or_default(),
        detail: replica.detail.clone(),
    }
}

/// What is said of a replica that ended without being told to.
pub(super) fn event(crash: &Crash) -> FunctionEvent {
    FunctionEvent {
        time: rfc3339(crash.at),
        replica: crash.replica.to_string(),
        reason: crash.reason.label().to_owned(),
        detail: crash.detail.clone(),
    }
}

/// What all replicas use together.
pub(super) fn usage(replicas: &[ReplicaUsage]) -> FunctionUsage {
    FunctionUsage {
        cpu: replicas.iter().map(|usage| usage.cpu_millicores).sum(),
        total_memory_bytes: replicas.iter().map(|usage| usage.memory_bytes as f64).sum(),
    }
}

/// What a client deploys, in the provider's words.
pub(super) fn deployment(function: FunctionId, wire: FunctionDeployment) -> Deployment {
    Deployment {
        function,
        image: wire.image,
        process: wire.env_process,
        env: wire.env_vars.into(),
        labels: wire.labels.into(),
        annotations: wire.annotations.into(),
        secrets: wire.secrets,
        constraints: wire.constraints,
        limits: wire.limits.map(resources),
        requests: wire.requests.map(resources),
        read_only_root: wire.read_only_root_filesystem,
    }
}

fn resources(wire: FunctionResources) -> Resources {
    Resources { memory: wire.memory, cpu: wire.cpu }
}

fn amounts(resources: &Resources) -> FunctionResources {
    FunctionResources {
        memory: resources.memory.clone(),
        cpu: resources.cpu.clone(),
        ..FunctionResources::default()
    }
}
