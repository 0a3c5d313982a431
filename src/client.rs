//! The gateway's REST API as the commands see it: calls with JSON, a stream of log lines, invocations
//! whose bodies stream both ways.
//!
//! Every failure comes back as a [`Failure`] with its exit code: what cannot be reached, what timed
//! out, what the gateway refused and in which words. Credentials go to `/system` only, never to a
//! function.

mod credentials;
mod url;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_core::format_duration;

use crate::cli::failure::{Exit, Failure, chain};

pub use credentials::{Credential, Sources};
pub use url::{GatewayUrl, encode};

/// A request's body.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Longest wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest answer of the management API that is taken in.
const LARGEST_ANSWER: usize = 256 << 20;

/// How the client names itself.
const CLIENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

/// A gateway somewhere, and what opens its doors.
#[derive(Debug)]
pub struct Gateway {
    url: GatewayUrl,
    http: Client<HttpConnector, Body>,
    credentials: Sources,
    timeout: Duration,
}

/// What the management API answered.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

impl Gateway {
    /// A client of the gateway at `url`; `timeout` bounds each management call.
    pub fn new(url: GatewayUrl, credentials: Sources, timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Self { url, http, credentials, timeout }
    }

    /// Where the gateway is.
    pub fn url(&self) -> &GatewayUrl {
        &self.url
    }

    /// GET, with the answer read as JSON. `action` completes "cannot …".
    pub async fn get<T: DeserializeOwned>(&self, path: &str, action: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, None::<&()>).await?.success(action)?.json(action)
    }

    /// One call of the management API; any status is an answer.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Answer, Failure> {
        let body = body
            .map(serde_json::to_vec)
            .transpose()
            .map_err(|error| Failure::failed("cannot write the request").because(error))?
            .map(Bytes::from);
        let limit = self.timeout;
        tokio::time::timeout(limit, async {
            let response = self.authorised(&method, path, body).await?;
            Answer::read(response).await
        })
        .await
        .unwrap_or_else(|_| Err(self.too_slow(limit)))
    }

    /// Opens a management stream, such as logs; only the head is bounded in time.
    pub async fn stream(&self, path: &str, action: &str) -> Result<Incoming, Failure> {
        let opening = self.authorised(&Method::GET, path, None);
        let response = tokio::time::timeout(self.timeout, opening)
            .await
            .unwrap_or_else(|_| Err(self.too_slow(self.timeout)))?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(Answer::read(response).await?.refusal(action))
    }

    /// Calls a function: no credentials, no time limit of ours, the body streamed.
    pub async fn invoke(&self, mut request: Request<Body>) -> Result<Response<Incoming>, Failure> {
        request.headers_mut().entry(USER_AGENT).or_insert(http::HeaderValue::from_static(CLIENT));
        self.http.request(request).await.map_err(|error| self.broken(&error))
    }

    /// Tries one credential after the other while the gateway says 401.
    async fn authorised(
        &self,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut candidates = self.credentials.all().iter();
        loop {
            let credential = candidates.next();
            let request = self.request(method, path, body.clone(), credential)?;
            let response = self.http.request(request).await.map_err(|error| self.broken(&error))?;
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            if candidates.len() == 0 {
                return Err(self.credentials.refused(&self.url));
            }
        }
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
        credential: Option<&Credential>,
    ) -> Result<Request<Body>, Failure> {
        let mut request =
            Request::builder().method(method).uri(self.url.join(path)?).header(USER_AGENT, CLIENT);
        if let Some(credential) = credential {
            request = request.header(AUTHORIZATION, credential.header());
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request
            .body(full(body.unwrap_or_default()))
            .map_err(|error| Failure::usage("cannot form the request").because(error))
    }

    fn broken(&self, error: &hyper_util::client::legacy::Error) -> Failure {
        let url = &self.url;
        if error.is_connect() {
            return Failure::new(Exit::Unreachable, format!("cannot reach the gateway at {url}"))
                // The outermost says only "client error (Connect)".
                .because(std::error::Error::source(error).map_or_else(|| chain(error), chain))
                .help("start one with: tidegate up; or name another with --gateway or TIDEGATE_GATEWAY");
        }
        Failure::new(Exit::Unreachable, format!("the gateway at {url} broke off the call"))
            .because(chain(error))
            .help("see whether it is well: tidegate doctor")
    }

    fn too_slow(&self, limit: Duration) -> Failure {
        let limit = format_duration(limit);
        Failure::new(
            Exit::TimedOut,
            format!("the gateway at {} did not answer within {limit}", self.url),
        )
        .help("wait longer with --timeout, or look into it with: tidegate doctor")
    }
}

impl Answer {
    async fn read(response: Response<Incoming>) -> Result<Self, Failure> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| {
            Failure::new(Exit::Unreachable, "the gateway's answer broke off")
                .because(chain(error.as_ref()))
        })?;
        Ok(Self { status: head.status, headers: head.headers, body: body.to_bytes() })
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What a successful answer warns of: `Warning` headers (`299 - "text"`), then lines of plain text.
    pub fn warnings(&self) -> Vec<String> {
        let texts = self.headers.get_all(http::header::WARNING).iter();
        let texts = texts.filter_map(|value| Some(warn_text(value.to_str().ok()?)));
        let body = String::from_utf8_lossy(&self.body);
        let lines = body.lines().map(|line| line.trim().trim_start_matches("warning: ").to_owned());
        texts.chain(lines.filter(|line| !line.is_empty())).collect()
    }

    /// Itself, if the gateway did what was asked. `action` completes "cannot …".
    pub fn success(self, action: &str) -> Result<Self, Failure> {
        if self.status.is_success() { Ok(self) } else { Err(self.refusal(action)) }
    }

    /// Its body as JSON.
    pub fn json<T: DeserializeOwned>(&self, action: &str) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::failed(format!("cannot {action}: the answer is not what was expected"))
                .because(error)
                .help("is it really a tidegate or OpenFaaS gateway? see: tidegate doctor")
        })
    }

    /// The failure that an unsuccessful status means.
    pub fn refusal(&self, action: &str) -> Failure {
        let exit = match self.status {
            StatusCode::NOT_FOUND => Exit::NotFound,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotAllowed,
            StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => Exit::TimedOut,
            _ => Exit::Failed,
        };
        let status = self.status;
        Failure::new(exit, format!("cannot {action}: the gateway answered {status}"))
            .because(self.text())
    }

    /// What the body says, be it plain text or a JSON problem.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let problem: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        let said = problem.as_ref().and_then(|problem| {
            let field = |name| problem.get(name).and_then(serde_json::Value::as_str);
            field("detail").or_else(|| field("error")).or_else(|| field("title"))
        });
        said.unwrap_or(text.trim()).chars().take(2_000).collect()
    }
}

/// The quoted text of a `Warning` header, or all of it when it has another shape.
fn warn_text(value: &str) -> String {
    let quoted = value.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"'));
    quoted.map_or(value, |(text, _)| text).replace("\\\"", "\"").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn a_status_becomes_its_documented_exit_code() {
        let exit = |status| answer(status, "").success("x").expect_err("not a success").exit;
        assert_eq!(exit(400), Exit::Failed);
        assert_eq!(exit(401), Exit::NotAllowed);
        assert_eq!(exit(404), Exit::NotFound);
        assert_eq!(exit(504), Exit::TimedOut);
        assert!(answer(202, "").success("x").is_ok());
    }

    #[test]
    fn a_problem_is_told_in_its_own_words() {
        let problem = answer(400, r#"{"title":"Bad Request","detail":"label x is bad"}"#);
        assert_eq!(problem.text(), "label x is bad");
        assert_eq!(answer(400, "plain words\n").text(), "plain words");
    }

    #[test]
    fn a_warning_header_is_unquoted() {
        assert_eq!(
            warn_text(r#"299 - "label a \"b\" has no effect""#),
            "label a \"b\" has no effect"
        );
        assert_eq!(warn_text("bare"), "bare");
    }
}
