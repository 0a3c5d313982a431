//! `/system/functions` and `/system/function/{name}`.
//!
//! Everything is checked before the provider is asked, so that a refused deployment changes nothing.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use tidegate_api::{DeleteFunctionRequest, FunctionDeployment, FunctionStatus};
use tidegate_core::{FunctionId, Policy};
use tidegate_provider::{Deployment, ProviderError, SecretName};
use tracing::info;

use super::request::{Name, Place, read_body};
use super::{accepted, finish, status};
use crate::error::ManageError;
use crate::{Gateway, Limits};

const WARNING: HeaderName = HeaderName::from_static("x-tidegate-warning");

/// GET: all functions of a namespace.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    place: Place,
) -> Result<Response, ManageError> {
    let namespace = place.namespace("")?;
    let found = gateway.provider.list(Some(&namespace)).await.map_err(ManageError::of_part)?;
    let functions: Vec<FunctionStatus> =
        found.iter().map(|function| status::of(&gateway.table, function)).collect();
    Ok(super::json(functions))
}

/// GET: one function.
pub(super) async fn read(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    place: Place,
) -> Result<Response, ManageError> {
    let Ok(function) = FunctionId::new(&name, &place.namespace("")?) else {
        return Err(ManageError::Nothing);
    };
    let found = match gateway.provider.get(&function).await {
        Ok(found) => found,
        Err(ProviderError::NotDeployed(_)) => return Err(ManageError::Nothing),
        Err(error) => return Err(error.into()),
    };
    let mut described = status::of(&gateway.table, &found);
    described.replica_status = found.replicas.iter().map(status::replica).collect();
    described.events = found.crashes.last().map(status::event).collect();
    if place.usage {
        // What replicas use is an extra: a function is described without it rather than not at all.
        let used = gateway.provider.usage(&function).await.unwrap_or_default();
        described.usage = Some(status::usage(&used));
    }
    Ok(super::json(described))
}

/// POST: a new function.
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    place: Place,
    body: Body,
) -> Result<Response, ManageError> {
    let (function, wire) = named(&gateway, &place, body).await?;
    let checked = check_deployment(&gateway, function, wire)?;
    finish(&Arc::clone(&gateway), deploy(gateway, checked)).await
}

async fn deploy(gateway: Arc<Gateway>, checked: Checked) -> Result<Response, ManageError> {
    let function = checked.deployment.function.clone();
    let replicas = checked.policy.bounds.min();
    gateway.provider.deploy(checked.deployment, replicas).await.map_err(ManageError::of_part)?;
    known_from_now_on(&gateway, &function).await;
    info!(
        function.name = function.name(),
        function.namespace = function.namespace(),
        "{function} deployed"
    );
    Ok(warned(&checked.warnings))
}

/// PUT: another revision of a function.
pub(super) async fn update(
    State(gateway): State<Arc<Gateway>>,
    place: Place,
    body: Body,
) -> Result<Response, ManageError> {
    let (function, wire) = named(&gateway, &place, body).await?;
    // Asked first: OpenFaaS's command line creates what is not there, whatever else is wrong.
    gateway.provider.get(&function).await?;
    let checked = check_deployment(&gateway, function, wire)?;
    finish(&Arc::clone(&gateway), replace(gateway, checked)).await
}

async fn replace(gateway: Arc<Gateway>, checked: Checked) -> Result<Response, ManageError> {
    let function = checked.deployment.function.clone();
    gateway.provider.update(checked.deployment).await.map_err(ManageError::of_part)?;
    known_from_now_on(&gateway, &function).await;
    info!(
        function.name = function.name(),
        function.namespace = function.namespace(),
        "{function} updated"
    );
    Ok(warned(&checked.warnings))
}

/// DELETE: a function and its replicas.
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    place: Place,
    body: Body,
) -> Result<Response, ManageError> {
    let body = read_body(&gateway, body).await?;
    let request = DeleteFunctionRequest::from_json(&body).map_err(ManageError::bad)?;
    let function = place.function(&request.function_name, &request.namespace)?;
    finish(&Arc::clone(&gateway), delete(gateway, function)).await?;
    Ok(accepted())
}

async fn delete(gateway: Arc<Gateway>, function: FunctionId) -> Result<(), ManageError> {
    let entry = gateway.table.get(&function);
    gateway.provider.delete(&function).await?;
    // A watch tells nothing of what came and went between two of its looks.
    if let Some(entry) = entry {
        gateway.table.remove_entry(&entry);
    }
    Ok(())
}

/// A deployment that nothing is wrong with.
struct Checked {
    deployment: Deployment,
    policy: Policy,
    warnings: Vec<String>,
}

async fn named(
    gateway: &Gateway,
    place: &Place,
    body: Body,
) -> Result<(FunctionId, FunctionDeployment), ManageError> {
    let body = read_body(gateway, body).await?;
    let mut wire = FunctionDeployment::from_json(&body).map_err(ManageError::bad)?;
    let function = place.function(&wire.service, &wire.namespace)?;
    wire.namespace = function.namespace().to_owned();
    Ok((function, wire))
}

fn check_deployment(
    gateway: &Gateway,
    function: FunctionId,
    wire: FunctionDeployment,
) -> Result<Checked, ManageError> {
    let checked = match (wire.check(), gateway.config.label_check.check(&wire.labels)) {
        (Ok(checked), Ok(())) => checked,
        (Err(wrong), Ok(())) => return Err(ManageError::Bad(lines(&wrong))),
        (Ok(_), Err(wrong)) => return Err(ManageError::Bad(wrong)),
        (Err(one), Err(other)) => {
            return Err(ManageError::Bad(format!("{}\n{other}", lines(&one))));
        }
    };
    Limits::from_annotations(&wire.annotations).map_err(ManageError::bad)?;
    for secret in &wire.secrets {
        SecretName::new(secret, function.namespace()).map_err(ManageError::bad)?;
    }
    let warnings = checked.warnings.iter().map(|remark| remark.text.clone()).collect();
    let deployment = status::deployment(function, wire);
    Ok(Checked { deployment, policy: checked.policy, warnings })
}

fn lines(remarks: &[tidegate_api::Remark]) -> String {
    remarks.iter().map(|remark| remark.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// Accepted, with what is odd about it in the body and in headers.
fn warned(warnings: &[String]) -> Response {
    let text: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    let mut response = (StatusCode::ACCEPTED, text).into_response();
    for warning in warnings {
        if let Ok(value) = HeaderValue::from_str(warning) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

/// A call or a count right after the answer must find the function as it is now, even before the watch has
/// told of it.
async fn known_from_now_on(gateway: &Gateway, function: &FunctionId) {
    if let Ok(found) = gateway.provider.get(function).await {
        gateway.table.learn(&found);
    }
}
