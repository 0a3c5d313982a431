//! The console: one plain page, embedded, behind the same password as the API.

use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use crate::error::ManageError;

/// `/` leads to the console.
pub(crate) async fn home() -> Redirect {
    Redirect::temporary("/ui/")
}

/// `/ui/`.
pub(crate) async fn page() -> Response {
    asset("text/html; charset=utf-8", include_str!("../ui/index.html"))
}

/// `/ui/{file}`.
pub(crate) async fn file(Path(file): Path<String>) -> Response {
    match file.as_str() {
        "app.js" => asset("text/javascript; charset=utf-8", include_str!("../ui/app.js")),
        "style.css" => asset("text/css; charset=utf-8", include_str!("../ui/style.css")),
        _ => ManageError::NoRoute.into_response(),
    }
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
    ];
    (headers, text).into_response()
}
