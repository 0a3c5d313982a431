//! Updates: durable, rolled out without a gap, and harmless when the new revision is bad.

use tidegate_core::Replicas;

use super::stage::{Stage, ids, ready_replicas, refused};
use crate::{FunctionStatus, ProviderError, Resources};

/// Refused as not deployed, before anything else is looked at.
pub async fn updating_what_is_not_deployed_is_refused(stage: &mut Stage) {
    let not_deployed = |error: &ProviderError| matches!(error, ProviderError::NotDeployed(_));
    let mut deployment = stage.harness.echo("unknown");
    refused(stage.provider.update(deployment.clone()).await, not_deployed);
    deployment.secrets.push("no-such-secret".to_owned());
    refused(stage.provider.update(deployment).await, not_deployed);
    assert!(stage.provider.list(None).await.expect("a list").is_empty());
}

/// All that was said is replaced, the count stays, and so does the time of the first deployment.
pub async fn an_update_replaces_all_that_was_said(stage: &mut Stage) {
    let mut first = stage.harness.echo("replaced");
    first.labels.insert("only".to_owned(), "in the first".to_owned());
    let function = stage.deployed(first, 2).await;
    let before = stage.status(&function).await;
    let mut second = stage.harness.echo("replaced");
    second.env.insert("NEW".to_owned(), "1".to_owned());
    stage.provider.update(second.clone()).await.expect("a good update");

    let status = stage.status(&function).await;
    assert_eq!(*status.deployment, second);
    assert_eq!(
        (status.revision, status.desired, status.created),
        (2, Replicas::new(2), before.created)
    );
    let old = ids(&before);
    let replaced = |status: &FunctionStatus| {
        status.ready().get() == 2
            && ids(status).len() == 2
            && ids(status).iter().all(|id| !old.contains(id))
    };
    let status = stage.until(&function, "roll-out", replaced).await;
    stage.echoes(&status).await;
}

/// At every look there are ready replicas enough, though all of them are replaced.
pub async fn an_update_never_leaves_the_function_without_a_replica(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("rolling"), 3).await;
    let old = ids(&stage.status(&function).await);
    let mut update = stage.harness.echo("rolling");
    update.env.insert("REVISION".to_owned(), "2".to_owned());
    stage.provider.update(update).await.expect("a good update");
    let looks = |status: &FunctionStatus| {
        assert!(status.ready().get() >= 3, "{status:#?}");
        status.replicas.len() == 3 && ids(status).iter().all(|id| !old.contains(id))
    };
    stage.until(&function, "roll-out", looks).await;
}

/// A revision that crashes takes nothing from the old one, which serves on and even grows; the reason is
/// told, and a good update puts things right.
pub async fn a_bad_update_leaves_the_old_revision_serving(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("mended"), 1).await;
    let old = ids(&stage.status(&function).await);
    stage
        .provider
        .update(stage.harness.crashing("mended"))
        .await
        .expect("what crashes is found out later");
    let failing = |status: &FunctionStatus| {
        assert!(status.ready().get() >= 1, "{status:#?}");
        status
            .replicas
            .iter()
            .any(|replica| !old.contains(&replica.id) && !replica.detail.is_empty())
    };
    let status = stage.until(&function, "reason of the failure", failing).await;
    assert!(ready_replicas(&status).all(|replica| old.contains(&replica.id)));
    stage.echoes(&status).await;

    stage.scale(&function, 3).await;
    let grown = |status: &FunctionStatus| status.ready().get() == 3;
    let status = stage.until(&function, "growth of the old revision", grown).await;
    stage.echoes(&status).await;

    stage.provider.update(stage.harness.echo("mended")).await.expect("a good update");
    let status = stage.ready(&function, 3).await;
    assert!(ids(&status).iter().all(|id| !old.contains(id)) || status.revision == 3);
    stage.echoes(&status).await;
}

/// An update that is refused leaves everything as it was.
pub async fn a_refused_update_changes_nothing(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("steady"), 1).await;
    let before = stage.status(&function).await;
    let mut update = stage.harness.echo("steady");
    update.limits = Some(Resources { memory: Some("plenty".to_owned()), cpu: None });
    let invalid = |error: &ProviderError| matches!(error, ProviderError::Invalid(_));
    refused(stage.provider.update(update).await, invalid);
    let mut update = stage.harness.echo("steady");
    update.secrets.push("no-such-secret".to_owned());
    refused(stage.provider.update(update).await, invalid);
    assert_eq!(stage.status(&function).await, before);
}

/// A function at zero stays there; its next replica is of the new revision.
pub async fn an_update_at_zero_starts_nothing(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.crashing("asleep"), 0).await;
    stage.provider.update(stage.harness.echo("asleep")).await.expect("a good update");
    let status = stage.status(&function).await;
    assert_eq!((status.revision, status.replicas.len()), (2, 0));
    stage.scale(&function, 1).await;
    let status = stage.ready(&function, 1).await;
    stage.echoes(&status).await;
}
