//! Namespaces.

use tidegate_core::{DEFAULT_NAMESPACE, FunctionId, Replicas};

use super::stage::{Stage, refused};
use crate::{Deployment, Namespace, ProviderError, Secret, SecretName};

fn namespace(name: &str, label: &str) -> Namespace {
    let labels = [("openfaas".to_owned(), label.to_owned())].into();
    Namespace { name: name.to_owned(), labels, ..Namespace::default() }
}

fn moved(mut deployment: Deployment, to: &str) -> Deployment {
    deployment.function = FunctionId::new(deployment.function.name(), to).expect("a good name");
    deployment
}

fn missing(error: &ProviderError) -> bool {
    matches!(error, ProviderError::NotFound { what: "namespace", .. })
}

fn invalid(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Invalid(_))
}

/// There at first, and not to be removed.
pub async fn the_default_namespace_is_always_there(stage: &mut Stage) {
    let all = stage.provider.namespaces().await.expect("a list");
    assert_eq!(all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), [DEFAULT_NAMESPACE]);
    if stage.provider.capabilities().namespaces {
        refused(stage.provider.delete_namespace(DEFAULT_NAMESPACE).await, invalid);
    }
}

/// From nothing to nothing, with its secrets.
pub async fn a_namespace_is_made_changed_and_removed(stage: &mut Stage) {
    let provider = stage.provider.clone();
    if !provider.capabilities().namespaces {
        return;
    }
    refused(provider.update_namespace(namespace("staging", "1")).await, missing);
    refused(provider.delete_namespace("staging").await, missing);
    provider.create_namespace(namespace("staging", "1")).await.expect("a new namespace");
    let exists =
        |error: &ProviderError| matches!(error, ProviderError::Exists { what: "namespace", .. });
    refused(provider.create_namespace(namespace("staging", "1")).await, exists);
    refused(provider.create_namespace(namespace(DEFAULT_NAMESPACE, "1")).await, exists);
    refused(provider.create_namespace(namespace("../up", "1")).await, invalid);

    provider.update_namespace(namespace("staging", "2")).await.expect("a known namespace");
    let all = provider.namespaces().await.expect("a list");
    assert!(all.contains(&namespace("staging", "2")), "{all:?}");

    let name = SecretName::new("inside", "staging").expect("a good name");
    let secret = Secret { name, value: b"x".to_vec() };
    provider.create_secret(secret).await.expect("a new secret");
    provider.delete_namespace("staging").await.expect("an empty namespace is removed");
    refused(provider.secrets("staging").await, missing);
    provider.create_namespace(namespace("staging", "1")).await.expect("a new namespace");
    assert!(provider.secrets("staging").await.expect("a list").is_empty());
}

/// Functions are not removed by the way.
pub async fn a_namespace_with_functions_stays(stage: &mut Stage) {
    if !stage.provider.capabilities().namespaces {
        return;
    }
    stage.provider.create_namespace(namespace("busy", "1")).await.expect("a new namespace");
    let function = stage.deployed(moved(stage.harness.echo("tenant"), "busy"), 0).await;
    refused(stage.provider.delete_namespace("busy").await, invalid);
    stage.provider.delete(&function).await.expect("a deployed function is removed");
    stage.provider.delete_namespace("busy").await.expect("an empty namespace is removed");
}

/// Same name, two functions: replicas, counts and secrets apart.
pub async fn the_same_name_in_two_namespaces_is_two_functions(stage: &mut Stage) {
    if !stage.provider.capabilities().namespaces {
        return;
    }
    stage.provider.create_namespace(namespace("other", "1")).await.expect("a new namespace");
    let here = stage.deployed(stage.harness.echo("twin"), 1).await;
    let there = stage.deployed(moved(stage.harness.echo("twin"), "other"), 2).await;
    let listed = stage.provider.list(Some("other")).await.expect("a list");
    assert_eq!(listed.iter().map(|it| it.function()).collect::<Vec<_>>(), [&there]);
    stage.provider.delete(&here).await.expect("a deployed function is removed");
    let status = stage.ready(&there, 2).await;
    stage.echoes(&status).await;
}

/// Nothing is deployed into nowhere.
pub async fn an_unknown_namespace_is_refused(stage: &mut Stage) {
    let deployment = moved(stage.harness.echo("lost"), "nowhere");
    refused(stage.provider.deploy(deployment, Replicas::ONE).await, invalid);
    assert!(stage.provider.list(None).await.expect("a list").is_empty());
}
