//! `/system/namespaces` and `/system/namespace/{name}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tidegate_api::FunctionNamespace;
use tidegate_core::{DEFAULT_NAMESPACE, FunctionId};
use tidegate_provider::{Namespace, ProviderError};

use super::request::{Name, read_body};
use super::{accepted, finish, json};
use crate::Gateway;
use crate::error::ManageError;

/// Names that hold more than functions elsewhere; nobody may change them here.
const RESERVED: [&str; 3] = ["kube-system", "openfaas", DEFAULT_NAMESPACE];

/// GET: all names.
pub(super) async fn list(State(gateway): State<Arc<Gateway>>) -> Result<Response, ManageError> {
    let found = gateway.provider.namespaces().await?;
    Ok(json(found.into_iter().map(|namespace| namespace.name).collect::<Vec<_>>()))
}

/// GET: one of them.
pub(super) async fn read(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
) -> Result<Response, ManageError> {
    let found = gateway.provider.namespaces().await?;
    let found = found.into_iter().find(|namespace| namespace.name == name);
    let namespace = found.ok_or(ProviderError::NotFound { what: "namespace", name })?;
    Ok(json(FunctionNamespace {
        name: namespace.name,
        annotations: namespace.annotations,
        labels: namespace.labels,
    }))
}

/// POST: a new one; its name is in the body.
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    path: Result<Name, ManageError>,
    body: Body,
) -> Result<Response, ManageError> {
    let path = path.map(|Name(name)| name).ok();
    let namespace = wanted(&gateway, path, body).await?;
    let provider = Arc::clone(&gateway.provider);
    finish(&gateway, async move { Ok(provider.create_namespace(namespace).await?) }).await?;
    Ok(StatusCode::CREATED.into_response())
}

/// PUT: other labels.
pub(super) async fn update(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    body: Body,
) -> Result<Response, ManageError> {
    let namespace = wanted(&gateway, Some(name), body).await?;
    let provider = Arc::clone(&gateway.provider);
    finish(&gateway, async move { Ok(provider.update_namespace(namespace).await?) }).await?;
    Ok(accepted())
}

/// DELETE: it and its secrets.
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
) -> Result<Response, ManageError> {
    check(&name)?;
    let provider = Arc::clone(&gateway.provider);
    finish(&gateway, async move { Ok(provider.delete_namespace(&name).await?) }).await?;
    Ok(accepted())
}

async fn wanted(
    gateway: &Gateway,
    path: Option<String>,
    body: Body,
) -> Result<Namespace, ManageError> {
    let body = read_body(gateway, body).await?;
    let wire = FunctionNamespace::from_json(&body).map_err(ManageError::bad)?;
    if let Some(path) = path.filter(|path| *path != wire.name) {
        let said = &wire.name;
        return Err(ManageError::bad(format!("the path names {path:?}, the body {said:?}")));
    }
    check(&wire.name)?;
    let marked = [&wire.labels, &wire.annotations]
        .into_iter()
        .any(|map| map.get("openfaas").is_some_and(|value| value == "1" || value == "true"));
    if !marked {
        return Err(ManageError::bad(
            "a namespace for functions has the label or annotation openfaas: \"1\"",
        ));
    }
    Ok(Namespace { name: wire.name, labels: wire.labels, annotations: wire.annotations })
}

fn check(name: &str) -> Result<(), ManageError> {
    FunctionId::check_label("namespace", name).map_err(ManageError::bad)?;
    if RESERVED.contains(&name) {
        return Err(ManageError::bad(format!("namespace {name:?} is reserved")));
    }
    Ok(())
}
