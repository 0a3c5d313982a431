//! Deploying and removing.

use tidegate_core::Replicas;

use super::http::call;
use super::stage::{Stage, ids, refused};
use crate::{Deployment, ProviderError, Resources, Secret, SecretName};

/// Adds one of everything that a user may say.
fn said_in_full(mut deployment: Deployment) -> Deployment {
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    deployment.env.extend([pair("GREETING", "hé \"quoted\"\nsecond line"), pair("EMPTY", "")]);
    deployment.labels.extend([pair("team", "blue"), pair("com.openfaas.scale.max", "7")]);
    deployment.annotations.extend([pair("topic", "a,b"), pair("note", "any text")]);
    deployment.constraints.extend(["disk=ssd".to_owned(), "arch=any".to_owned()]);
    let memory = Some("512Mi".to_owned());
    deployment.limits = Some(Resources { memory: memory.clone(), cpu: Some("0.5".to_owned()) });
    deployment.requests = Some(Resources { memory, cpu: None });
    deployment
}

/// Deployments come back as they were said, at once.
pub async fn a_new_function_is_told_word_for_word(stage: &mut Stage) {
    let mut said = said_in_full(stage.harness.echo("told"));
    for name in ["second", "first"] {
        let name = SecretName::new(name, said.function.namespace()).expect("a good name");
        let secret = Secret { name: name.clone(), value: b"x".to_vec() };
        stage.provider.create_secret(secret).await.expect("a new secret");
        said.secrets.push(name.name);
    }
    stage.provider.deploy(said.clone(), Replicas::ONE).await.expect("a good function");

    let status = stage.status(&said.function).await;
    assert_eq!(*status.deployment, said);
    assert_eq!((status.revision, status.desired), (1, Replicas::ONE));
    let listed = stage.provider.list(None).await.expect("a list");
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].deployment, listed[0].created), (&status.deployment, status.created));
    let status = stage.ready(&said.function, 1).await;
    stage.echoes(&status).await;
}

/// A ready replica answers.
pub async fn a_deployed_function_answers(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("answers"), 1).await;
    let status = stage.status(&function).await;
    stage.echoes(&status).await;
    assert_eq!((status.replicas[0].restarts, status.replicas[0].detail.as_str()), (0, ""));
}

/// A second deployment of the same function is refused, and the first stays as it is.
pub async fn deploying_twice_is_refused(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("twice"), 1).await;
    let before = stage.status(&function).await;
    let mut again = stage.harness.echo("twice");
    again.labels.insert("changed".to_owned(), "yes".to_owned());
    refused(
        stage.provider.deploy(again, Replicas::new(3)).await,
        |error| matches!(error, ProviderError::AlreadyDeployed(named) if *named == function),
    );
    assert_eq!(stage.status(&function).await, before);
}

/// Of deploys at the same time one wins, the others are refused, and the winner stands whole.
pub async fn of_two_deploys_at_the_same_time_one_wins(stage: &mut Stage) {
    let rivals = (1..=4).map(|rival: u32| {
        let mut deployment = stage.harness.echo("contested");
        deployment.labels.insert("rival".to_owned(), rival.to_string());
        let provider = stage.provider.clone();
        async move { (rival, provider.deploy(deployment, Replicas::new(rival)).await) }
    });
    let results = futures_util::future::join_all(rivals).await;
    let winners: Vec<u32> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(rival, _)| *rival).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    let function = stage.harness.echo("contested").function;
    let status = stage.ready(&function, winners[0]).await;
    assert_eq!(status.deployment.labels["rival"], winners[0].to_string());
}

/// Nothing is started when nothing is asked for.
pub async fn deploying_at_zero_starts_nothing(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("asleep"), 0).await;
    let status = stage.status(&function).await;
    assert_eq!((status.desired, status.replicas.len()), (Replicas::ZERO, 0));
}

/// A removed function is unknown at once, and its replicas stop answering.
pub async fn a_removed_function_is_gone_with_its_replicas(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("removed"), 2).await;
    let addresses = stage.status(&function).await.replicas;
    stage.provider.delete(&function).await.expect("a deployed function is removed");

    let not_deployed = |error: &ProviderError| matches!(error, ProviderError::NotDeployed(_));
    refused(stage.provider.get(&function).await, not_deployed);
    refused(stage.provider.delete(&function).await, not_deployed);
    assert!(stage.provider.list(None).await.expect("a list").is_empty());
    for replica in addresses {
        let silent = async {
            while call(&replica, b"still there?").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        stage.soon("a removed replica falls silent", silent).await;
    }
}

/// The name is free again at once; what comes is a new function.
pub async fn a_removed_function_may_be_deployed_anew(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("anew"), 1).await;
    let before = stage.status(&function).await;
    stage.provider.delete(&function).await.expect("a deployed function is removed");
    stage.deployed(stage.harness.echo("anew"), 1).await;
    let after = stage.status(&function).await;
    assert_eq!(after.revision, 1);
    assert!(after.created > before.created);
    assert_ne!(ids(&after), ids(&before), "ids are never used twice");
    stage.echoes(&after).await;
}

/// Lists are in order of names; a list of a namespace that is not there is refused.
pub async fn lists_are_in_order_and_by_namespace(stage: &mut Stage) {
    for name in ["cherry", "apple", "banana"] {
        stage.deployed(stage.harness.echo(name), 0).await;
    }
    let names = |list: Vec<crate::FunctionStatus>| -> Vec<String> {
        list.iter().map(|status| status.function().name().to_owned()).collect()
    };
    let all = stage.provider.list(None).await.expect("a list");
    let namespace = all[0].function().namespace().to_owned();
    assert_eq!(names(all), ["apple", "banana", "cherry"]);
    let some = stage.provider.list(Some(&namespace)).await.expect("a list");
    assert_eq!(names(some), ["apple", "banana", "cherry"]);
    let missing = stage.provider.list(Some("no-such-namespace")).await;
    refused(missing, |error| matches!(error, ProviderError::NotFound { what: "namespace", .. }));
}

/// A replica that crashes is started again; users see how often, and why.
pub async fn a_crashing_function_says_why_and_is_tried_again(stage: &mut Stage) {
    let deployment = stage.harness.crashing("crashes");
    let function = deployment.function.clone();
    stage.provider.deploy(deployment, Replicas::ONE).await.expect("a good function");
    let tried_again = |status: &crate::FunctionStatus| {
        status.replicas.iter().any(|replica| replica.restarts > 0 && !replica.detail.is_empty())
    };
    let status = stage.until(&function, "restart with a reason", tried_again).await;
    assert_eq!(status.ready(), Replicas::ZERO);
}

/// What never becomes ready counts as nothing, and does not stand in the way.
pub async fn a_function_that_is_never_ready_can_be_removed(stage: &mut Stage) {
    let deployment = stage.harness.never_ready("never");
    let function = deployment.function.clone();
    stage.provider.deploy(deployment, Replicas::new(2)).await.expect("a good function");
    let begun = |status: &crate::FunctionStatus| !status.replicas.is_empty();
    stage.until(&function, "first replica", begun).await;
    let other = stage.deployed(stage.harness.echo("beside"), 1).await;
    stage.echoes(&stage.status(&other).await).await;
    assert_eq!(stage.status(&function).await.ready(), Replicas::ZERO);
    stage.provider.delete(&function).await.expect("a deployed function is removed");
}

/// What can never run is refused with a reason, and nothing of it is left.
pub async fn what_can_never_run_is_refused_and_leaves_nothing(stage: &mut Stage) {
    let Some(impossible) = stage.harness.impossible("impossible") else { return };
    let function = impossible.function.clone();
    let result = stage.provider.deploy(impossible, Replicas::ONE).await;
    refused(result, |error| matches!(error, ProviderError::Invalid(why) if !why.is_empty()));
    refused(stage.provider.get(&function).await, |error| {
        matches!(error, ProviderError::NotDeployed(_))
    });
    // The name is not taken by the failure.
    stage.deployed(stage.harness.echo("impossible"), 0).await;
}

/// Limits that are no amounts are refused.
pub async fn amounts_that_are_none_are_refused(stage: &mut Stage) {
    for (memory, cpu) in [(Some("lots"), None), (None, Some("-1")), (Some("128MiB"), None)] {
        let mut deployment = stage.harness.echo("amounts");
        let owned = |text: Option<&str>| text.map(str::to_owned);
        deployment.limits = Some(Resources { memory: owned(memory), cpu: owned(cpu) });
        let result = stage.provider.deploy(deployment, Replicas::ONE).await;
        refused(result, |error| matches!(error, ProviderError::Invalid(_)));
    }
    assert!(stage.provider.list(None).await.expect("a list").is_empty());
}
