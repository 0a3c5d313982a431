//! The management API: everything that is not `/function/…`.
//!
//! `system/` has a file for each resource; this one has what they share: routes, bodies, places.

mod alert;
mod functions;
mod info;
mod logs;
mod namespaces;
mod scale;
mod secrets;
mod status;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use tidegate_core::{DEFAULT_NAMESPACE, FunctionId};

use crate::error::ManageError;
use crate::{Gateway, auth, ui};

/// All routes but `/function/…`, behind basic auth where OpenFaaS has it.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    let functions = get(functions::list)
        .post(functions::create)
        .put(functions::update)
        .delete(functions::remove);
    let secrets =
        get(secrets::list).post(secrets::create).put(secrets::update).delete(secrets::remove);
    let namespace = get(namespaces::read)
        .post(namespaces::create)
        .put(namespaces::update)
        .delete(namespaces::remove);
    let guarded = Router::new()
        .route("/system/info", get(info::read))
        .route("/system/functions", functions)
        .route("/system/function/{name}", get(functions::read))
        .route("/system/scale-function/{name}", post(scale::write))
        .route("/system/scaling/{name}", get(scale::explain))
        .route("/system/alert", post(alert::take))
        .route("/system/secrets", secrets)
        .route("/system/logs", get(logs::read))
        .route("/system/namespaces", get(namespaces::list))
        .route("/system/namespace/", post(namespaces::create))
        .route("/system/namespace/{name}", namespace)
        .route("/ui/", get(ui::page))
        .route("/ui/{file}", get(ui::file))
        .route_layer(from_fn_with_state(Arc::clone(&gateway), auth::check));
    guarded
        .route("/healthz", get(info::health))
        .route("/", get(ui::home))
        .fallback(not_found)
        .with_state(gateway)
}

async fn not_found() -> Response {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, plain)], "404 page not found\n").into_response()
}

/// Where a request says the thing is; the body may say it too.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PlaceQuery {
    /// The namespace; empty means the default one.
    pub namespace: String,
    /// Whether to add what replicas use.
    pub usage: String,
}

impl PlaceQuery {
    /// The namespace that query and body agree on.
    fn namespace(&self, body: &str) -> Result<String, ManageError> {
        match (self.namespace.as_str(), body) {
            ("", "") => Ok(DEFAULT_NAMESPACE.to_owned()),
            (one, "") | ("", one) => Ok(one.to_owned()),
            (one, other) if one == other => Ok(one.to_owned()),
            (query, body) => Err(ManageError::bad(format!(
                "the query names namespace {query:?}, the body {body:?}; give one of them"
            ))),
        }
    }

    /// The function `name` in that namespace.
    fn function(&self, name: &str, body: &str) -> Result<FunctionId, ManageError> {
        FunctionId::new(name, &self.namespace(body)?).map_err(ManageError::bad)
    }
}

/// The whole body, within the limit.
async fn read_body(gateway: &Gateway, body: Body) -> Result<Bytes, ManageError> {
    let limit = gateway.config.management_body_limit;
    to_bytes(body, limit).await.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            if error.is::<http_body_util::LengthLimitError>() {
                return ManageError::TooLarge { limit };
            }
            cause = error.source();
        }
        ManageError::bad(format!("the body broke off: {error}"))
    })
}

/// Done; OpenFaaS's clients take 202 everywhere.
fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

fn json(value: impl serde::Serialize) -> Response {
    Json(value).into_response()
}
