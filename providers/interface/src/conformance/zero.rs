//! Zero, and how deep it is.

use tidegate_core::{FunctionId, Replicas};

use super::stage::{Stage, ids, refused};
use crate::{Depth, FunctionStatus, Phase, ProviderError, ScaleTo};

fn frozen() -> ScaleTo {
    ScaleTo { replicas: Replicas::ZERO, victims: Vec::new(), depth: Depth::Frozen }
}

/// The function at zero, with frozen replicas where the backend can keep them.
async fn at_frozen_zero(stage: &Stage, function: &FunctionId) -> FunctionStatus {
    stage.scale_to(function, frozen()).await;
    let can_freeze = stage.provider.capabilities().freeze;
    let settled = move |status: &FunctionStatus| {
        let all_frozen = status.replicas.iter().all(|replica| replica.phase == Phase::Frozen);
        all_frozen && can_freeze != status.replicas.is_empty()
    };
    stage.until(function, "zero with none but frozen replicas", settled).await
}

/// At zero the function is there as it was said, without replicas.
pub async fn zero_keeps_the_function(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("sleepy"), 2).await;
    let before = stage.status(&function).await;
    stage.scale(&function, 0).await;
    assert_eq!(stage.status(&function).await.desired, Replicas::ZERO);
    let status = stage.ready(&function, 0).await;
    assert_eq!((status.deployment, status.revision), (before.deployment, before.revision));
}

/// From zero to some, again and again.
pub async fn zero_can_be_left_again(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("restless"), 1).await;
    for count in [0, 2, 0, 1] {
        stage.scale(&function, count).await;
        let status = stage.ready(&function, count).await;
        stage.echoes(&status).await;
    }
    // Without waiting in between.
    stage.scale(&function, 0).await;
    stage.scale(&function, 1).await;
    let status = stage.ready(&function, 1).await;
    stage.echoes(&status).await;
}

/// A frozen replica is not ready; thawed, it is the same one, and it answers.
pub async fn frozen_replicas_do_not_count_and_thaw(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("icy"), 1).await;
    let before = ids(&stage.status(&function).await);
    let status = at_frozen_zero(stage, &function).await;
    assert_eq!((status.ready(), status.desired), (Replicas::ZERO, Replicas::ZERO));
    stage.scale(&function, 2).await;
    let status = stage.ready(&function, 2).await;
    if stage.provider.capabilities().freeze {
        assert!(ids(&status).contains(&before[0]), "the frozen replica is used again");
    }
    stage.echoes(&status).await;
}

/// Asked to go deeper, frozen replicas end.
pub async fn frozen_replicas_are_removed_when_zero_deepens(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("deeper"), 2).await;
    at_frozen_zero(stage, &function).await;
    stage.scale(&function, 0).await;
    stage.ready(&function, 0).await;
}

/// Removal ends frozen replicas too.
pub async fn a_frozen_function_can_be_removed(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("thawed"), 1).await;
    at_frozen_zero(stage, &function).await;
    stage.provider.delete(&function).await.expect("a deployed function is removed");
    refused(stage.provider.get(&function).await, |error| {
        matches!(error, ProviderError::NotDeployed(_))
    });
}
