//! Why a management request was not done.
//!
//! Bodies are one plain line each: OpenFaaS's SDK reads any JSON as an answer, whatever its status.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use thiserror::Error;
use tidegate_provider::ProviderError;

use crate::ScaleError;

/// Why a management request was not done.
#[derive(Debug, Error)]
pub(crate) enum ManageError {
    /// The provider could not.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The scale loop did not.
    #[error(transparent)]
    Scale(#[from] ScaleError),
    /// The request can never work as it is.
    #[error("{0}")]
    Bad(String),
    /// The body is too large.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The log query cannot be read.
    #[error("could not parse the log request: {0}")]
    BadLogQuery(String),
    /// It is not there; clients want no body then.
    #[error("")]
    Nothing,
    /// It is there already; clients want no body then.
    #[error("")]
    There,
    /// The body did not arrive in time.
    #[error("the body did not arrive within {limit:?}")]
    TooSlow {
        /// The limit.
        limit: Duration,
    },
    /// A page of another site sent the request, with a password that the browser remembered.
    #[error("a page of another site may not change anything here")]
    CrossSite,
    /// No route is like that.
    #[error("404 page not found")]
    NoRoute,
    /// What is deployed is not known yet.
    #[error("the list of functions is not read yet")]
    NotRead,
    /// Our own code panicked.
    #[error("the gateway failed to do this; its log says why")]
    Panicked,
    /// Some alerts could not be acted on.
    #[error("{0}")]
    Alerts(String),
}

impl ManageError {
    /// The request can never work, for this reason.
    pub(crate) fn bad(why: impl std::fmt::Display) -> Self {
        Self::Bad(why.to_string())
    }

    /// What is not there was named by the client as a part of something else, so the request can never
    /// work. A 404 would tell OpenFaaS's command line to create the function.
    pub(crate) fn of_part(error: ProviderError) -> Self {
        match error {
            ProviderError::NotFound { .. } => Self::bad(error),
            error => Self::Provider(error),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Provider(error) | Self::Scale(ScaleError::Provider(error)) => status_of(error),
            Self::Scale(ScaleError::Refused(_)) | Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Scale(ScaleError::Stopping) | Self::NotRead => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadLogQuery(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::Nothing | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::There => StatusCode::CONFLICT,
            Self::Alerts(_) | Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// What a provider's error is to a client.
fn status_of(error: &ProviderError) -> StatusCode {
    match error {
        ProviderError::NotDeployed(_) | ProviderError::NotFound { .. } => StatusCode::NOT_FOUND,
        ProviderError::AlreadyDeployed(_) | ProviderError::Exists { .. } => StatusCode::CONFLICT,
        ProviderError::Invalid(_) => StatusCode::BAD_REQUEST,
        ProviderError::Unsupported { .. } => StatusCode::NOT_IMPLEMENTED,
        ProviderError::Unreachable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        ProviderError::TooSlow { .. } => StatusCode::GATEWAY_TIMEOUT,
        ProviderError::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for ManageError {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::warn!(error = %chain(&self), %status, "a management request failed");
        }
        let text = chain(&self);
        let mut response = if text.is_empty() {
            status.into_response()
        } else {
            let plain =
                [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
            (status, plain, text + "\n").into_response()
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
