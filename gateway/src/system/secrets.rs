//! `/system/secrets`: values go in, never out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::Response;
use tidegate_api as api;
use tidegate_core::FunctionId;
use tidegate_provider::{ProviderError, Secret, SecretName};

use super::{PlaceQuery, accepted, json, read_body};
use crate::Gateway;
use crate::error::ManageError;

/// GET: names of a namespace.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Query(place): Query<PlaceQuery>,
) -> Result<Response, ManageError> {
    let namespace = place.namespace("")?;
    FunctionId::check_label("namespace", &namespace).map_err(ManageError::bad)?;
    let found = gateway.provider.secrets(&namespace).await?;
    let line = |secret: SecretName| api::Secret {
        name: secret.name,
        namespace: secret.namespace,
        ..api::Secret::default()
    };
    Ok(json(found.into_iter().map(line).collect::<Vec<_>>()))
}

/// POST: a new one. OpenFaaS's command line goes on to PUT when told 409.
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Query(place): Query<PlaceQuery>,
    body: Body,
) -> Result<Response, ManageError> {
    let secret = read(&gateway, &place, body).await?;
    match gateway.provider.create_secret(secret).await {
        Err(ProviderError::Exists { .. }) => Err(ManageError::There),
        done => done.map(|()| accepted()).map_err(ManageError::from),
    }
}

/// PUT: another value.
pub(super) async fn update(
    State(gateway): State<Arc<Gateway>>,
    Query(place): Query<PlaceQuery>,
    body: Body,
) -> Result<Response, ManageError> {
    let secret = read(&gateway, &place, body).await?;
    gateway.provider.update_secret(secret).await?;
    Ok(accepted())
}

/// DELETE: forget it.
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Query(place): Query<PlaceQuery>,
    body: Body,
) -> Result<Response, ManageError> {
    let secret = read(&gateway, &place, body).await?;
    gateway.provider.delete_secret(&secret.name).await?;
    Ok(accepted())
}

async fn read(gateway: &Gateway, place: &PlaceQuery, body: Body) -> Result<Secret, ManageError> {
    let body = read_body(gateway, body).await?;
    // What serde says of a bad body may quote it, and with it most of a secret.
    let wire = api::Secret::from_json(&body).map_err(|_| {
        ManageError::bad("the body is not a secret in JSON: {\"name\": …, \"value\": …}")
    })?;
    let namespace = place.namespace(&wire.namespace)?;
    let name = SecretName::new(&wire.name, &namespace).map_err(ManageError::bad)?;
    Ok(Secret { name, value: wire.bytes().to_vec() })
}
