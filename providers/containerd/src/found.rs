//! What an earlier run left: replicas that still run are taken over, all else of ours is removed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use containerd_client::services::v1::Container;
use containerd_client::types::v1::{Process, Status};
use tidegate_core::FunctionId;
use tidegate_provider::{Phase, ReplicaId};
use tidegate_provider_machine::{Found, exit, place};
use tracing::{info, warn};

use crate::connection::Scope;
use crate::containers;
use crate::error::Failure;
use crate::ground::Ground;
use crate::network::Network;
use crate::replica::{
    Created, FUNCTION, GENERATION, NETWORK, PORT, READY, REPLICA, RESTARTS, Replica, Running, SHIM,
    STATE, Seat, Task,
};
use crate::runtime::ContainerdRuntime;
use crate::strays;

/// Replicas of earlier runs, oldest first. What cannot go on is removed, and networks that nobody uses.
pub(crate) async fn found(ground: &Arc<Ground>) -> Result<Vec<Found<ContainerdRuntime>>, Failure> {
    let mut all: Vec<(Container, Found<ContainerdRuntime>)> = Vec::new();
    for namespace in ground.namespaces.list().await? {
        let scope = ground.namespaces.scope(&namespace.name);
        strays::end_tasks_of(ground, &scope).await?;
        let tasks = containers::tasks(&scope).await?;
        // A task tells the id of its container in one of two places.
        let tasks: HashMap<String, Process> = tasks
            .into_iter()
            .map(|task| {
                (
                    if task.container_id.is_empty() {
                        task.id.clone()
                    } else {
                        task.container_id.clone()
                    },
                    task,
                )
            })
            .collect();
        for container in containers::list(&scope, REPLICA).await? {
            if container.labels.get(STATE).map(String::as_str) != Some(ground.state.name()) {
                continue;
            }
            match take(ground, &scope, &container, tasks.get(&container.id)).await {
                Some(found) => all.push((container, found)),
                None => {
                    info!(container = %container.id, "removing a container that cannot go on");
                    ground.thaw(&scope, &container.id);
                    containers::remove(&scope, &ground.config.snapshotter, &container.id, None)
                        .await?;
                }
            }
        }
    }
    all.sort_by_key(|(_, found)| age(&found.replica));
    let used: HashSet<String> = all
        .iter()
        .filter_map(|(_, found)| found.seat.network.as_ref().map(|network| network.id.clone()))
        .collect();
    watch_networks(ground, &all);
    ground.networks.sweep(|id| used.contains(id)).await;
    ground.copies.sweep(&ground.secret_folders());
    Ok(all.into_iter().map(|(_, found)| found).collect())
}

/// Orders replicas by their ids, which count runs and the replicas of each.
fn age(replica: &ReplicaId) -> Option<(u64, u64)> {
    let (run, number) = place(replica).split_once('-')?;
    Some((run.parse().ok()?, number.parse().ok()?))
}

/// Looks in the background whether networks are as they were made: somebody may have flushed or restarted
/// what they hang on. Replicas are not ended for it, since one that cannot be reached fails by itself.
fn watch_networks(ground: &Arc<Ground>, all: &[(Container, Found<ContainerdRuntime>)]) {
    let networks: Vec<Network> =
        all.iter().filter_map(|(_, found)| found.seat.network.clone()).collect();
    let inside = ground.networks.clone();
    ground.tasks.spawn(async move {
        for network in networks {
            if let Err(failure) = inside.check(&network).await {
                warn!(network = network.id, address = %network.address, "a replica's network was changed: {failure}");
            }
        }
    });
}

/// Takes over a container that has a task, and a network by which it can be reached.
async fn take(
    ground: &Arc<Ground>,
    scope: &Scope,
    container: &Container,
    task: Option<&Process>,
) -> Option<Found<ContainerdRuntime>> {
    let label = |name: &str| container.labels.get(name).map(String::as_str);
    let task = task?;
    let function: FunctionId = FunctionId::parse(label(FUNCTION)?).ok()?;
    let generation = label(GENERATION)?.parse().ok()?;
    let network = ground.networks.find(label(NETWORK)?).await?;
    ground.names.settle(network.address, function.namespace());
    let place = ground.networks.place(&network, label(PORT)?.parse().ok()?);
    let restarts: u32 = label(RESTARTS).and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut seat = Seat {
        network: Some(network),
        scope: Some(scope.clone()),
        container: Some(container.id.clone()),
        shim: Some({
            let group = label(SHIM).map_or_else(|| ground.record(&function), str::to_owned);
            ground.shims.rejoin(scope.namespace(), &group)
        }),
        lives: restarts + 1,
        found: None,
    };
    let mut found = Found {
        replica: ReplicaId::new(label(REPLICA)?),
        function,
        generation,
        phase: Phase::Backoff,
        address: None,
        restarts,
        cause: None,
        live: None,
        seat: Seat::default(),
    };
    match task.status() {
        Status::Stopped => found.cause = Some(exit::by_status(task.exit_status)),
        Status::Created => {
            let ending = ground.board.listen(scope.namespace(), &container.id, task.pid);
            found.phase = Phase::Created;
            let live = Replica::new(ground, scope, &container.id);
            found.live = Some(live.clone());
            seat.found =
                Some(Box::new(Task::Created(Created { live, ending, place, begun: false })));
        }
        Status::Running | Status::Paused | Status::Pausing => {
            let live = Replica::new(ground, scope, &container.id);
            let frozen = live.cgroup.as_ref().is_some_and(|it| it.is_frozen().unwrap_or(false));
            let ready = label(READY) == Some("1") || frozen;
            let ending = ground.board.listen(scope.namespace(), &container.id, task.pid);
            found.phase = match (frozen, ready) {
                (true, _) => Phase::Frozen,
                (false, true) => Phase::Ready,
                (false, false) => Phase::Starting,
            };
            found.address = Some(place.address());
            found.live = Some(live.clone());
            seat.found =
                Some(Box::new(Task::Running(Running { live, ending, place, ready, noted: ready })));
        }
        _ => return None,
    }
    found.seat = seat;
    Some(found)
}
