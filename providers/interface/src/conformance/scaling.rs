//! Scaling above zero.

use std::collections::HashSet;

use tidegate_core::{FunctionId, Replicas};

use super::stage::{Stage, ids, refused};
use crate::{Address, Depth, FunctionStatus, ProviderError, ReplicaId, ScaleTo};

/// The count is told at once; then as many replicas answer, each at an address of its own.
pub async fn a_count_is_told_at_once_and_reached(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("grows"), 1).await;
    let first = ids(&stage.status(&function).await);
    stage.scale(&function, 4).await;
    assert_eq!(stage.status(&function).await.desired, Replicas::new(4));
    let status = stage.ready(&function, 4).await;
    assert_eq!(ids(&status)[..1], first[..], "oldest first");
    let addresses: HashSet<&Address> =
        status.replicas.iter().filter_map(|it| it.address.as_ref()).collect();
    assert_eq!(addresses.len(), 4);
    stage.echoes(&status).await;
}

/// Replicas that stay are those that were there.
pub async fn fewer_replicas_end_the_others(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("shrinks"), 4).await;
    let before = ids(&stage.status(&function).await);
    stage.scale(&function, 2).await;
    let status = stage.ready(&function, 2).await;
    // The newest go first.
    assert_eq!(ids(&status), before[..2]);
    stage.echoes(&status).await;
}

/// Where the backend can, the victims that the caller drained go, and no others.
pub async fn named_victims_are_the_ones_that_go(stage: &mut Stage) {
    if !stage.provider.capabilities().victims {
        return;
    }
    let function = stage.deployed(stage.harness.echo("chosen"), 4).await;
    let before = ids(&stage.status(&function).await);
    let victims = vec![before[0].clone(), before[2].clone()];
    let to = ScaleTo { replicas: Replicas::new(2), victims, depth: Depth::Removed };
    stage.scale_to(&function, to).await;
    let status = stage.ready(&function, 2).await;
    assert_eq!(ids(&status), [before[1].clone(), before[3].clone()]);
}

/// A victim that is named while the count stays is replaced.
pub async fn a_victim_at_the_same_count_is_replaced(stage: &mut Stage) {
    if !stage.provider.capabilities().victims {
        return;
    }
    let function = stage.deployed(stage.harness.echo("renewed"), 2).await;
    let before = ids(&stage.status(&function).await);
    let to = ScaleTo {
        replicas: Replicas::new(2),
        victims: before[..1].to_vec(),
        depth: Depth::Removed,
    };
    stage.scale_to(&function, to).await;
    let renewed =
        |status: &FunctionStatus| status.ready().get() == 2 && !ids(status).contains(&before[0]);
    let status = stage.until(&function, "renewal", renewed).await;
    assert!(ids(&status).contains(&before[1]));
}

/// A victim may have ended by itself meanwhile.
pub async fn victims_that_are_gone_are_ignored(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("forgiving"), 2).await;
    let victims = vec![ReplicaId::new("long-gone")];
    let to = ScaleTo { replicas: Replicas::new(1), victims, depth: Depth::Removed };
    stage.scale_to(&function, to).await;
    stage.ready(&function, 1).await;
}

/// Asking for what is there touches no replica.
pub async fn the_same_count_changes_nothing(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("content"), 2).await;
    let before = stage.status(&function).await;
    stage.scale(&function, 2).await;
    assert_eq!(stage.status(&function).await, before);
}

/// Nothing is made by scaling.
pub async fn scaling_what_is_not_deployed_is_refused(stage: &mut Stage) {
    let function = FunctionId::parse("nobody").expect("a good name");
    let result = stage.provider.scale(&function, ScaleTo::replicas(1)).await;
    refused(
        result,
        |error| matches!(error, ProviderError::NotDeployed(named) if *named == function),
    );
}

/// Calls that overlap leave one of their counts, and exactly as many replicas; a later one stands.
pub async fn calls_at_the_same_time_end_in_one_count(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("contended"), 1).await;
    let calls = [3, 0, 5, 1, 4, 2, 0, 3].map(|count| {
        let (provider, function) = (stage.provider.clone(), function.clone());
        async move { provider.scale(&function, ScaleTo::replicas(count)).await }
    });
    for result in futures_util::future::join_all(calls).await {
        result.expect("each call is taken");
    }
    let desired = stage.status(&function).await.desired;
    stage.ready(&function, desired.get()).await;
    stage.scale(&function, 2).await;
    let status = stage.ready(&function, 2).await;
    stage.echoes(&status).await;
}
