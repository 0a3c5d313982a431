//! POST `/system/alert`: Alertmanager's webhook, as the community edition takes it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tidegate_api::AlertWebhook;
use tidegate_core::FunctionId;
use tidegate_provider::ProviderError;

use super::request::read_body;
use crate::error::ManageError;
use crate::{Gateway, ScaleError};

/// Each alert asks for its function; one about a function that is not there is skipped.
pub(super) async fn take(
    State(gateway): State<Arc<Gateway>>,
    body: Body,
) -> Result<Response, ManageError> {
    let body = read_body(&gateway, body).await?;
    let webhook = AlertWebhook::from_json(&body)
        .map_err(|_| ManageError::bad("Unable to parse alert, bad format."))?;
    let mut failures = Vec::new();
    for (number, alert) in webhook.alerts.iter().enumerate() {
        let Ok(function) = FunctionId::parse(&alert.labels.function_name) else { continue };
        if gateway.table.get(&function).is_none() {
            continue;
        }
        let firing = alert.is_firing();
        match gateway.scaling.alert(&function, firing).await {
            Ok(()) | Err(ScaleError::Provider(ProviderError::NotDeployed(_))) => {}
            Err(error) => failures.push(format!("[{number}] {error}")),
        }
    }
    if failures.is_empty() {
        return Ok(StatusCode::OK.into_response());
    }
    Err(ManageError::Alerts(failures.join("\n")))
}
