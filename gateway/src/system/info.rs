//! GET `/system/info` and `/healthz`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tidegate_api::{GatewayInfo, ProviderInfo, VersionInfo};

use crate::Gateway;
use crate::error::ManageError;

/// Who answers. The provider part is never null: OpenFaaS's command line crashes on that.
pub(super) async fn read(State(gateway): State<Arc<Gateway>>) -> Response {
    let provider = match gateway.provider.info().await {
        Ok(info) => ProviderInfo {
            provider: info.provider,
            version: Some(version(&info.sha, &info.release)),
            orchestration: info.orchestration,
        },
        Err(_) => ProviderInfo {
            provider: gateway.provider.name().to_owned(),
            version: Some(version("unknown", "unreachable")),
            orchestration: gateway.provider.name().to_owned(),
        },
    };
    let release = env!("CARGO_PKG_VERSION");
    super::json(GatewayInfo {
        provider: Some(provider),
        version: Some(version(&gateway.config.sha, release)),
        arch: std::env::consts::ARCH.to_owned(),
    })
}

fn version(sha: &str, release: &str) -> VersionInfo {
    VersionInfo { commit_message: String::new(), sha: sha.to_owned(), release: release.to_owned() }
}

/// 200 when calls can be served: the functions are known, the provider answers and nobody told us to stop.
pub(super) async fn health(State(gateway): State<Arc<Gateway>>) -> Response {
    if gateway.is_stopping() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if !gateway.table.is_synced() {
        return ManageError::NotRead.into_response();
    }
    match gateway.provider.info().await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
