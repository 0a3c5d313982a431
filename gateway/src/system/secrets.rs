//! `/system/secrets`: values go in, never out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use tidegate_api as api;
use tidegate_provider::{ProviderError, Secret, SecretName};

use super::request::{Place, read_body};
use super::{accepted, finish, json};
use crate::Gateway;
use crate::error::ManageError;

/// GET: names of a namespace.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    place: Place,
) -> Result<Response, ManageError> {
    let namespace = place.namespace("")?;
    let found = gateway.provider.secrets(&namespace).await.map_err(ManageError::of_part)?;
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
    place: Place,
    body: Body,
) -> Result<Response, ManageError> {
    let secret = read(&gateway, &place, body).await?;
    let provider = Arc::clone(&gateway.provider);
    let work = async move {
        provider.create_secret(secret).await.map_err(|error| match error {
            ProviderError::Exists { .. } => ManageError::There,
            // Only the namespace can be missing.
            error => ManageError::of_part(error),
        })
    };
    finish(&gateway, work).await?;
    Ok(accepted())
}

/// PUT: another value.
pub(super) async fn update(
    State(gateway): State<Arc<Gateway>>,
    place: Place,
    body: Body,
) -> Result<Response, ManageError> {
    let secret = read(&gateway, &place, body).await?;
    let provider = Arc::clone(&gateway.provider);
    finish(&gateway, async move { Ok(provider.update_secret(secret).await?) }).await?;
    Ok(accepted())
}

/// DELETE: forget it.
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    place: Place,
    body: Body,
) -> Result<Response, ManageError> {
    let secret = read(&gateway, &place, body).await?;
    let provider = Arc::clone(&gateway.provider);
    finish(&gateway, async move { Ok(provider.delete_secret(&secret.name).await?) }).await?;
    Ok(accepted())
}

async fn read(gateway: &Gateway, place: &Place, body: Body) -> Result<Secret, ManageError> {
    let body = read_body(gateway, body).await?;
    // What serde says of a bad body may quote it, and with it most of a secret.
    let wire = api::Secret::from_json(&body).map_err(|_| {
        ManageError::bad("the body is not a secret in JSON: {\"name\": …, \"value\": …}")
    })?;
    let namespace = place.namespace(&wire.namespace)?;
    let name = SecretName::new(&wire.name, &namespace).map_err(ManageError::bad)?;
    Ok(Secret { name, value: wire.bytes().to_vec() })
}
