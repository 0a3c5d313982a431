//! One connection to the gateway's API, opened again when it breaks; tries credentials until one is taken.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::OverlayError;
use crate::connection::dial::Dialer;
use crate::connection::request::Origin;
use crate::plan::Transport;
use crate::tls;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is taken in.
const LARGEST: usize = 4 << 20;

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// The gateway's API.
pub(super) struct Door {
    base: Uri,
    origin: Origin,
    dialer: Dialer,
    credentials: Vec<HeaderValue>,
    /// Which of them is in use; none is tried when there are none.
    using: usize,
    open: Option<(SendRequest<Empty<Bytes>>, Driver)>,
}

impl Door {
    pub(super) fn new(
        base: Uri,
        credentials: Vec<HeaderValue>,
        transport: &Transport,
    ) -> Result<Self, OverlayError> {
        let name = base.to_string();
        let origin = Origin::of(&base).ok_or_else(|| OverlayError::Gateway {
            gateway: name,
            why: "it is not an http:// or https:// address".to_owned(),
        })?;
        let plain = Transport { http2: false, ..transport.clone() };
        let tls = Arc::new(tls::Lazy::new(&plain));
        if origin.tls {
            tls.config()?;
        }
        let dialer = Dialer { connect_to: None, proxy: None, tls };
        Ok(Self { base, origin, dialer, credentials, using: 0, open: None })
    }

    /// The gateway as errors name it.
    pub(super) fn name(&self) -> String {
        let host = self.base.host().unwrap_or_default();
        let port = self.base.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!(
            "{}://{host}{port}{}",
            self.base.scheme_str().unwrap_or("http"),
            self.base.path().trim_end_matches('/')
        )
    }

    /// GET of a path below the gateway's address.
    pub(super) async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), OverlayError> {
        loop {
            let asked = tokio::time::timeout(PATIENCE, self.ask(path)).await;
            let failed = |why: String| OverlayError::Gateway { gateway: self.name(), why };
            let (status, body) = match asked {
                Ok(answer) => answer.map_err(failed)?,
                Err(_) => {
                    let error =
                        failed(format!("it did not answer within {} s", PATIENCE.as_secs()));
                    self.open = None;
                    return Err(error);
                }
            };
            if status != StatusCode::UNAUTHORIZED {
                return Ok((status, body));
            }
            if self.using + 1 >= self.credentials.len() {
                return Err(OverlayError::Password(self.name()));
            }
            self.using += 1;
        }
    }

    /// One question; a kept connection that has gone meanwhile is replaced once.
    async fn ask(&mut self, path: &str) -> Result<(StatusCode, Bytes), String> {
        let kept = self.open.is_some();
        match self.ask_once(path).await {
            Err(_) if kept => self.ask_once(path).await,
            answer => answer,
        }
    }

    async fn ask_once(&mut self, path: &str) -> Result<(StatusCode, Bytes), String> {
        let request = self.request(path)?;
        let (mut sender, mut driver) = match self.open.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        let exchange = async move {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST)
                .collect()
                .await
                .map_err(|error| error.to_string())?;
            Ok::<_, String>((status, body.to_bytes(), sender))
        };
        tokio::pin!(exchange);
        let (open, answer) = tokio::select! {
            answer = &mut exchange => (true, answer),
            // The connection ends by itself after an answer with `Connection: close`, which may be read already.
            _ = &mut driver => (false, exchange.await),
        };
        let (status, body, sender) = answer?;
        self.open = open.then_some((sender, driver));
        Ok((status, body))
    }

    fn request(&self, path: &str) -> Result<Request<Empty<Bytes>>, String> {
        let host = self
            .base
            .authority()
            .map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default().to_owned());
        let mut request = Request::get(format!("{}{path}", self.base.path().trim_end_matches('/')))
            .header(HOST, host.unwrap_or_default())
            .header(USER_AGENT, concat!("tidegate-load/", env!("CARGO_PKG_VERSION")));
        if let Some(credential) = self.credentials.get(self.using) {
            request = request.header(AUTHORIZATION, credential.clone());
        }
        request.body(Empty::new()).map_err(|error| error.to_string())
    }

    async fn connect(&self) -> Result<(SendRequest<Empty<Bytes>>, Driver), String> {
        let (stream, _) =
            self.dialer.dial(&self.origin).await.map_err(|error| error.to_string())?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        Ok((sender, Box::pin(connection)))
    }
}
