//! The management API: everything that is not `/function/…`.
//!
//! `system/` has a file for each resource; this one has the routes, `system/request.rs` what handlers
//! read of requests, `system/measure.rs` what is counted of them.

mod alert;
mod functions;
mod info;
mod logs;
mod measure;
mod namespaces;
mod request;
mod scale;
mod secrets;
mod status;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;

use crate::error::ManageError;
use crate::{Gateway, auth, ui};

pub(crate) use measure::ManageMetrics;

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
        .route_layer(from_fn_with_state(Arc::clone(&gateway), auth::check))
        .route_layer(from_fn_with_state(Arc::clone(&gateway), measure::record));
    guarded
        .route("/healthz", get(info::health))
        .route("/", get(ui::home))
        .fallback(not_found)
        .with_state(gateway)
}

/// Any other path.
pub(crate) async fn not_found() -> ManageError {
    ManageError::NoRoute
}

/// Does what changes something to its end, even when the client leaves meanwhile: a deployment is whole or
/// not there.
async fn finish<T: Send + 'static>(
    gateway: &Gateway,
    work: impl Future<Output = Result<T, ManageError>> + Send + 'static,
) -> Result<T, ManageError> {
    gateway.tasks.spawn(work).await.unwrap_or(Err(ManageError::Panicked))
}

/// Done; OpenFaaS's clients take 202 everywhere.
fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

fn json(value: impl serde::Serialize) -> Response {
    Json(value).into_response()
}
