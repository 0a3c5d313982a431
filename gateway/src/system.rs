//! The management API: everything that is not `/function/…`.

use std::sync::Arc;

use axum::Router;

use crate::Gateway;

/// All routes but `/function/…`, behind basic auth where OpenFaaS has it.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new().with_state(gateway)
}
