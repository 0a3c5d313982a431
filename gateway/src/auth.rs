//! Basic authentication of the management API.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use subtle::ConstantTimeEq;

use crate::Gateway;
use crate::error::ManageError;

/// Who may use the management API.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password; prints as nothing.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Whether the request carries them. Both parts are compared whatever the first one says.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some((user, password)) = presented(headers) else { return false };
        let user = user.as_bytes().ct_eq(self.user.as_bytes());
        let password = password.as_bytes().ct_eq(self.password.as_bytes());
        (user & password).into()
    }
}

/// User and password of the `Authorization` header, if it is a basic one.
fn presented(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a browser says that a page of another site made the request. Browsers add the password that
/// they remember to such requests too; other clients send no such header.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    site.is_some_and(|site| site != b"same-origin" && site != b"none")
}

/// Lets a request through, or answers 401.
pub(crate) async fn check(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Response {
    if changes(request.method()) && is_from_elsewhere(request.headers()) {
        return ManageError::CrossSite.into_response();
    }
    let admitted = gateway.config.auth.as_ref().is_none_or(|auth| auth.admits(request.headers()));
    if admitted {
        return next.run(request).await;
    }
    let headers = [
        (WWW_AUTHENTICATE, "Basic realm=\"Restricted\""),
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    (StatusCode::UNAUTHORIZED, headers, "invalid credentials").into_response()
}
