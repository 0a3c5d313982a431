//! Usage.

use tidegate_core::FunctionId;

use super::stage::{Stage, ids, refused};
use crate::ProviderError;

/// Each ready replica is measured, under its own id.
pub async fn running_replicas_use_something(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("measured"), 2).await;
    let status = stage.status(&function).await;
    stage.echoes(&status).await;
    let usage = stage.provider.usage(&function).await.expect("a deployed function is measured");
    let measured: Vec<_> = usage.iter().map(|one| one.id.clone()).collect();
    assert_eq!(measured, ids(&status));
    assert!(usage.iter().all(|one| one.memory_bytes > 0 && one.cpu_millicores >= 0.0), "{usage:?}");
}

/// Nothing runs, nothing is used; what is not there cannot be measured.
pub async fn a_function_at_zero_uses_nothing(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("unused"), 0).await;
    assert!(stage.provider.usage(&function).await.expect("a deployed function").is_empty());
    let nobody = FunctionId::parse("nobody").expect("a good name");
    let result = stage.provider.usage(&nobody).await;
    refused(result, |error| matches!(error, ProviderError::NotDeployed(_)));
}
