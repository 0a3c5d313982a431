//! Secrets: kept, read by functions, never told.

use tidegate_core::{DEFAULT_NAMESPACE, Replicas};

use super::http::call;
use super::stage::{Stage, ids, refused};
use crate::{FunctionStatus, ProviderError, Secret, SecretName};

fn secret(name: &str, value: &[u8]) -> Secret {
    let name = SecretName::new(name, DEFAULT_NAMESPACE).expect("a good name");
    Secret { name, value: value.to_vec() }
}

async fn names(stage: &Stage) -> Vec<String> {
    let secrets = stage.provider.secrets(DEFAULT_NAMESPACE).await.expect("a list");
    secrets.into_iter().map(|it| it.name).collect()
}

fn missing(error: &ProviderError) -> bool {
    matches!(error, ProviderError::NotFound { what: "secret", .. })
}

/// What the only replica answers.
async fn told(stage: &Stage, status: &FunctionStatus) -> Vec<u8> {
    let answer = stage.soon("an answer", call(&status.replicas[0], b"")).await;
    let answer = answer.expect("a ready replica answers");
    assert_eq!(answer.status, 200);
    answer.body
}

/// Names in order; values are not even part of the answer's type.
pub async fn secrets_are_listed_by_name_alone(stage: &mut Stage) {
    assert!(names(stage).await.is_empty());
    for name in ["zebra", "api-key", "db.password_1"] {
        stage.provider.create_secret(secret(name, b"value")).await.expect("a new secret");
    }
    assert_eq!(names(stage).await, ["api-key", "db.password_1", "zebra"]);
    let gone = secret("zebra", b"").name;
    stage.provider.delete_secret(&gone).await.expect("an unused secret is removed");
    assert_eq!(names(stage).await, ["api-key", "db.password_1"]);
}

/// Any bytes; and a new value without a restart.
pub async fn a_function_reads_its_secret_and_its_next_value(stage: &mut Stage) {
    let first = b"first \xff line\nsecond";
    stage.provider.create_secret(secret("token", first)).await.expect("a new secret");
    let function = stage.deployed(stage.harness.tells_secret("teller", "token"), 1).await;
    let before = stage.status(&function).await;
    assert_eq!(told(stage, &before).await, first);

    stage.provider.update_secret(secret("token", b"next")).await.expect("a known secret");
    let next = async {
        while told(stage, &before).await != b"next" {
            tokio::task::yield_now().await;
        }
    };
    stage.soon("the new value is read", next).await;
    assert_eq!(ids(&stage.status(&function).await), ids(&before));
}

/// Making one twice, and changing or removing one that is not there.
pub async fn secrets_that_are_missing_or_there_already_are_told(stage: &mut Stage) {
    let one = || secret("one", b"1");
    refused(stage.provider.update_secret(one()).await, missing);
    refused(stage.provider.delete_secret(&one().name).await, missing);
    assert!(names(stage).await.is_empty());
    stage.provider.create_secret(one()).await.expect("a new secret");
    let exists =
        |error: &ProviderError| matches!(error, ProviderError::Exists { what: "secret", .. });
    refused(stage.provider.create_secret(one()).await, exists);
    let no_namespace =
        |error: &ProviderError| matches!(error, ProviderError::NotFound { what: "namespace", .. });
    refused(stage.provider.secrets("no-such-namespace").await, no_namespace);
    let name = SecretName::new("one", "no-such-namespace").expect("a good name");
    refused(stage.provider.create_secret(Secret { name, value: Vec::new() }).await, no_namespace);
}

/// A secret that a function uses is not removed under it.
pub async fn a_secret_in_use_stays(stage: &mut Stage) {
    stage.provider.create_secret(secret("kept", b"k")).await.expect("a new secret");
    let function = stage.deployed(stage.harness.tells_secret("keeper", "kept"), 0).await;
    let name = secret("kept", b"").name;
    let invalid = |error: &ProviderError| matches!(error, ProviderError::Invalid(_));
    refused(stage.provider.delete_secret(&name).await, invalid);
    assert_eq!(names(stage).await, ["kept"]);
    stage.provider.delete(&function).await.expect("a deployed function is removed");
    stage.provider.delete_secret(&name).await.expect("an unused secret is removed");
}

/// Nothing is deployed that names what is not there.
pub async fn a_function_with_an_unknown_secret_is_refused(stage: &mut Stage) {
    let mut deployment = stage.harness.echo("hopeful");
    deployment.secrets.push("no-such-secret".to_owned());
    let result = stage.provider.deploy(deployment, Replicas::ONE).await;
    let told = |error: &ProviderError| matches!(error, ProviderError::Invalid(why) if why.contains("no-such-secret"));
    refused(result, told);
    assert!(stage.provider.list(None).await.expect("a list").is_empty());
}
