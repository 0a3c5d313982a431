//! Why the platform, not the function, answered a call.
//!
//! Every such answer has one line saying which limit or which part failed, the same as one word in
//! `X-Tidegate-Error`, and `X-OpenFaaS-Internal`, by which OpenFaaS's queue workers know what to retry.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use thiserror::Error;
use tidegate_core::FunctionId;
use tidegate_provider::ReplicaId;

use crate::body::Body;
use crate::headers;

/// Why the platform, not the function, answered a call.
#[derive(Debug, Error)]
pub enum InvokeError {
    /// The path has no name.
    #[error("the path has no function name: use /function/NAME")]
    NoName,
    /// No such function.
    #[error("error finding function {0}: it is not deployed")]
    UnknownFunction(String),
    /// No function answers to this host, by which one was called.
    #[error("no function is called {0}: it is not deployed; the gateway itself is `gateway`")]
    UnknownHost(String),
    /// The provider has not told yet what is deployed.
    #[error("the provider has not reported its functions yet")]
    NotSynced,
    /// A rate limit of the function.
    #[error("function {function}: too many calls, limited by {annotation}")]
    TooFast {
        /// Which function.
        function: FunctionId,
        /// Which limit.
        annotation: &'static str,
        /// When the next call is allowed.
        retry_after: Duration,
    },
    /// Too many calls wait already.
    #[error("function {function}: its waiting room is full, {most} calls wait already")]
    RoomFull {
        /// Which function.
        function: FunctionId,
        /// How many may wait.
        most: usize,
    },
    /// The function could not be started. Why may name paths and programs of the machine: that is for operators.
    #[error("function {function} could not be started; `tidegate describe {function}` says why")]
    StartFailed {
        /// Which function.
        function: FunctionId,
    },
    /// The function did not start in time.
    #[error("function {function} had no ready replica within {limit:?} (wake_timeout)")]
    StartTooSlow {
        /// Which function.
        function: FunctionId,
        /// The limit.
        limit: Duration,
    },
    /// No replica had a free slot in time.
    #[error(
        "function {function}: all replicas were full for {limit:?} (wake_timeout, max_inflight)"
    )]
    NoSlot {
        /// Which function.
        function: FunctionId,
        /// The limit.
        limit: Duration,
    },
    /// The replica did not answer in time.
    #[error(
        "function {function}: replica {replica} did not answer within {limit:?} (upstream_timeout)"
    )]
    UpstreamTooSlow {
        /// Which function.
        function: FunctionId,
        /// Which replica.
        replica: ReplicaId,
        /// The limit.
        limit: Duration,
    },
    /// The replica could not be reached, or broke off before it answered.
    #[error("function {function}: replica {replica} failed: {why}")]
    UpstreamBroken {
        /// Which function.
        function: FunctionId,
        /// Which replica.
        replica: ReplicaId,
        /// What happened.
        why: String,
    },
    /// The client broke off its own body.
    #[error("the client broke off its request")]
    ClientLeft,
}

impl InvokeError {
    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoName => StatusCode::BAD_REQUEST,
            Self::UnknownFunction(_) | Self::UnknownHost(_) => StatusCode::NOT_FOUND,
            Self::NotSynced | Self::RoomFull { .. } | Self::StartFailed { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::TooFast { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::StartTooSlow { .. } | Self::NoSlot { .. } | Self::UpstreamTooSlow { .. } => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::UpstreamBroken { .. } => StatusCode::BAD_GATEWAY,
            Self::ClientLeft => StatusCode::BAD_REQUEST,
        }
    }

    /// One word for it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoName => "no_name",
            Self::UnknownFunction(_) | Self::UnknownHost(_) => "unknown_function",
            Self::NotSynced => "provider_down",
            Self::TooFast { .. } => "rate_limit",
            Self::RoomFull { .. } => "room_full",
            Self::StartFailed { .. } => "start_failed",
            Self::StartTooSlow { .. } => "wake_timeout",
            Self::NoSlot { .. } => "slot_timeout",
            Self::UpstreamTooSlow { .. } => "upstream_timeout",
            Self::UpstreamBroken { .. } => "upstream_broken",
            Self::ClientLeft => "client_left",
        }
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooFast { retry_after, .. } => Some(whole_seconds(*retry_after)),
            Self::NotSynced | Self::RoomFull { .. } => Some(1),
            Self::StartFailed { .. } => Some(5),
            _ => None,
        }
    }

    /// The answer.
    pub(crate) fn respond(&self) -> Response<Body> {
        let mut response = Response::new(Body::text(format!("{self}\n")));
        *response.status_mut() = self.status();
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        fields.insert(headers::ERROR, HeaderValue::from_static(self.label()));
        fields.insert(headers::INTERNAL, HeaderValue::from_static("gateway"));
        if let Some(seconds) = self.retry_after() {
            fields.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Rounded up: a client that comes back then is not too early.
fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}
