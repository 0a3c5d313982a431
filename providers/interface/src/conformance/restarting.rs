//! What returned `Ok` survives a crash of the control plane.

use tidegate_core::{DEFAULT_NAMESPACE, Replicas};

use super::http::call;
use super::stage::{Stage, ready_replicas, refused};
use super::zero::at_created_zero;
use crate::{FunctionStatus, Namespace, ProviderError, Secret, SecretName};

/// Functions come back as they were said, with the counts that were asked for last.
pub async fn functions_and_counts_survive_a_crash(stage: &mut Stage) {
    let running = stage.deployed(stage.harness.echo("running"), 1).await;
    stage.scale(&running, 3).await;
    let asleep = stage.deployed(stage.harness.echo("asleep"), 1).await;
    let mut update = stage.harness.echo("asleep");
    update.annotations.insert("updated".to_owned(), "yes".to_owned());
    stage.provider.update(update).await.expect("a good update");
    stage.scale(&asleep, 0).await;
    stage.ready(&asleep, 0).await;
    let before = stage.provider.list(None).await.expect("a list");

    stage.crash_and_reopen().await;

    let after = stage.provider.list(None).await.expect("a list");
    let kept = |list: &[FunctionStatus]| -> Vec<_> {
        list.iter().map(|it| (it.deployment.clone(), it.revision, it.created, it.desired)).collect()
    };
    assert_eq!(kept(&after), kept(&before));
    let status = stage.ready(&running, 3).await;
    stage.echoes(&status).await;
    assert!(stage.status(&asleep).await.replicas.is_empty());
}

/// Removal survives too.
pub async fn what_was_removed_stays_removed(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("removed"), 1).await;
    stage.provider.delete(&function).await.expect("a deployed function is removed");
    stage.crash_and_reopen().await;
    refused(stage.provider.get(&function).await, |error| {
        matches!(error, ProviderError::NotDeployed(_))
    });
    assert!(stage.provider.list(None).await.expect("a list").is_empty());
}

/// Secrets with their values, namespaces with their labels.
pub async fn secrets_and_namespaces_survive_a_crash(stage: &mut Stage) {
    let name = SecretName::new("token", DEFAULT_NAMESPACE).expect("a good name");
    let secret = |value: &[u8]| Secret { name: name.clone(), value: value.to_vec() };
    stage.provider.create_secret(secret(b"old")).await.expect("a new secret");
    stage.provider.update_secret(secret(b"new")).await.expect("a known secret");
    let function = stage.deployed(stage.harness.tells_secret("teller", "token"), 1).await;
    let made = Namespace {
        name: "made".to_owned(),
        labels: [("a".to_owned(), "b".to_owned())].into(),
        ..Namespace::default()
    };
    let with_namespaces = stage.provider.capabilities().namespaces;
    if with_namespaces {
        stage.provider.create_namespace(made.clone()).await.expect("a new namespace");
    }

    stage.crash_and_reopen().await;

    let status = stage.ready(&function, 1).await;
    let answer = stage.soon("an answer", call(&status.replicas[0], b"")).await;
    assert_eq!(answer.expect("a ready replica answers").body, b"new");
    assert_eq!(stage.provider.secrets(DEFAULT_NAMESPACE).await.expect("a list"), [name]);
    let namespaces = stage.provider.namespaces().await.expect("a list");
    assert_eq!(namespaces.contains(&made), with_namespaces);
}

/// Whether or not what was created is still there: it is at zero, and the next scale brings one that answers.
pub async fn a_created_function_wakes_after_a_crash(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("waits"), 1).await;
    at_created_zero(stage, &function).await;

    stage.crash_and_reopen().await;

    let status = stage.status(&function).await;
    assert_eq!((status.ready(), status.desired), (Replicas::ZERO, Replicas::ZERO));
    stage.scale(&function, 1).await;
    let status = stage.ready(&function, 1).await;
    stage.echoes(&status).await;
}

/// The good revision is not forgotten while the bad one is tried.
pub async fn a_bad_update_leaves_the_old_revision_serving_after_a_crash(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("mended"), 1).await;
    stage
        .provider
        .update(stage.harness.crashing("mended"))
        .await
        .expect("what crashes is found out later");

    stage.crash_and_reopen().await;

    let status = stage.status(&function).await;
    assert_eq!((status.revision, status.desired), (2, Replicas::ONE));
    let serving = |status: &FunctionStatus| ready_replicas(status).next().is_some();
    let status = stage.until(&function, "ready replica of the old revision", serving).await;
    stage.echoes(&status).await;
}
