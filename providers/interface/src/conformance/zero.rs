//! Zero, and how deep it is.

use tidegate_core::{FunctionId, Replicas};

use super::stage::{Stage, ids, refused};
use crate::{Depth, FunctionStatus, Phase, ProviderError, ScaleTo};

fn frozen() -> ScaleTo {
    ScaleTo { replicas: Replicas::ZERO, victims: Vec::new(), depth: Depth::Frozen }
}

fn created() -> ScaleTo {
    ScaleTo { depth: Depth::Created, ..frozen() }
}

/// The function at zero, with frozen replicas where the backend can keep them.
async fn at_frozen_zero(stage: &Stage, function: &FunctionId) -> FunctionStatus {
    stage.scale_to(function, frozen()).await;
    none_but(stage, function, Phase::Frozen, stage.provider.capabilities().freeze).await
}

/// The function at zero, with created replicas where the backend can keep them.
pub(super) async fn at_created_zero(stage: &Stage, function: &FunctionId) -> FunctionStatus {
    stage.scale_to(function, created()).await;
    none_but(stage, function, Phase::Created, stage.provider.capabilities().create).await
}

/// Waits until there are replicas in this phase alone where the backend can do that, and none where not.
pub(super) async fn none_but(
    stage: &Stage,
    function: &FunctionId,
    phase: Phase,
    can: bool,
) -> FunctionStatus {
    let settled = move |status: &FunctionStatus| {
        let all = status.replicas.iter().all(|replica| replica.phase == phase);
        all && can != status.replicas.is_empty()
    };
    let what = format!("zero with none but {} replicas", phase.label());
    stage.until(function, &what, settled).await
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

/// A created replica is not ready; started, it is the same one, and it answers.
pub async fn created_replicas_do_not_count_and_start(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("prepared"), 1).await;
    let status = at_created_zero(stage, &function).await;
    assert_eq!((status.ready(), status.desired), (Replicas::ZERO, Replicas::ZERO));
    let prepared = ids(&status);
    stage.scale(&function, 2).await;
    let status = stage.ready(&function, 2).await;
    assert!(prepared.iter().all(|id| ids(&status).contains(id)), "what was created is used");
    stage.echoes(&status).await;
    // And back, without waiting in between.
    stage.scale_to(&function, created()).await;
    stage.scale(&function, 1).await;
    let status = stage.ready(&function, 1).await;
    stage.echoes(&status).await;
}

/// Asked for again, what is created stays as it is.
pub async fn created_replicas_stay_one_and_the_same(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("steady"), 1).await;
    let before = ids(&at_created_zero(stage, &function).await);
    assert_eq!(ids(&at_created_zero(stage, &function).await), before);
}

/// Deeper and deeper: frozen, created, removed.
pub async fn frozen_replicas_give_way_to_created_ones_and_those_to_none(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("sinking"), 2).await;
    at_frozen_zero(stage, &function).await;
    at_created_zero(stage, &function).await;
    stage.scale(&function, 0).await;
    stage.ready(&function, 0).await;
}

/// An update replaces created replicas, and removal ends them.
pub async fn a_created_function_can_be_removed_or_updated(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("renewed"), 1).await;
    let before = ids(&at_created_zero(stage, &function).await);
    let mut update = stage.harness.echo("renewed");
    update.annotations.insert("updated".to_owned(), "yes".to_owned());
    stage.provider.update(update).await.expect("a good update");
    stage.scale(&function, 1).await;
    let status = stage.ready(&function, 1).await;
    assert!(!before.contains(&ids(&status)[0]), "the old revision is not started");
    stage.echoes(&status).await;
    at_created_zero(stage, &function).await;
    stage.provider.delete(&function).await.expect("a deployed function is removed");
    refused(stage.provider.get(&function).await, |error| {
        matches!(error, ProviderError::NotDeployed(_))
    });
}
