//! What handlers read of a request: its query, the names in its path, its body.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Path, Query};
use bytes::Bytes;
use http::request::Parts;
use tidegate_core::{DEFAULT_NAMESPACE, FunctionId};
use tokio::time::timeout;

use crate::Gateway;
use crate::error::ManageError;

/// The query; of equal keys the last one counts, as in OpenFaaS.
pub(super) struct Asked(Vec<(String, String)>);

/// Where a request says the thing is; the body may say it too.
pub(super) struct Place {
    /// The namespace; empty means the default one.
    namespace: String,
    /// Whether what replicas use is to be added.
    pub(super) usage: bool,
}

/// A name in the path: one with any other character matches no route.
pub(super) struct Name(pub(super) String);

impl Asked {
    /// The value of `key`; empty without it.
    pub(super) fn get(&self, key: &str) -> &str {
        let found = self.0.iter().rfind(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// Whether `key` is set to what Go reads as true.
    pub(super) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), "1" | "t" | "T" | "true" | "TRUE" | "True")
    }
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = ManageError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ManageError> {
        let Query(pairs) = Query::try_from_uri(&parts.uri).map_err(ManageError::bad)?;
        Ok(Self(pairs))
    }
}

impl<S: Sync> FromRequestParts<S> for Place {
    type Rejection = ManageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ManageError> {
        let asked = Asked::from_request_parts(parts, state).await?;
        Ok(Self { namespace: asked.get("namespace").to_owned(), usage: asked.flag("usage") })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ManageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ManageError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Ok(Path(name)) = path else { return Err(ManageError::NoRoute) };
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.bytes().all(known) { Ok(Self(name)) } else { Err(ManageError::NoRoute) }
    }
}

impl Place {
    /// The namespace that query and body agree on.
    pub(super) fn namespace(&self, body: &str) -> Result<String, ManageError> {
        let namespace = match (self.namespace.as_str(), body) {
            ("", "") => DEFAULT_NAMESPACE,
            (one, "") | ("", one) => one,
            (one, other) if one == other => one,
            (query, body) => {
                return Err(ManageError::bad(format!(
                    "the query names namespace {query:?}, the body {body:?}; give one of them"
                )));
            }
        };
        FunctionId::check_label("namespace", namespace).map_err(ManageError::bad)?;
        Ok(namespace.to_owned())
    }

    /// The function `name` in that namespace.
    pub(super) fn function(&self, name: &str, body: &str) -> Result<FunctionId, ManageError> {
        FunctionId::new(name, &self.namespace(body)?).map_err(ManageError::bad)
    }
}

/// The whole body, within the limits of size and time.
pub(super) async fn read_body(gateway: &Gateway, body: Body) -> Result<Bytes, ManageError> {
    let limit = gateway.config.management_body_limit;
    let patience = gateway.config.header_timeout;
    let read = timeout(patience, to_bytes(body, limit)).await;
    let read = read.map_err(|_| ManageError::TooSlow { limit: patience })?;
    read.map_err(|error| {
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
