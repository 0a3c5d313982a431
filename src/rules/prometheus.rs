//! One Prometheus server, or whatever speaks its HTTP API: instant queries, and whether a query can be read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy as Redirects;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use thiserror::Error;
use tidegate_core::FunctionId;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::causes::chain;

/// Most bytes of an answer that are read.
const LARGEST_ANSWER: usize = 16 << 20;
/// Letters of the server's own words that are passed on.
const LONGEST_WORDS: usize = 160;
/// The label by which rows name functions, as in OpenFaaS.
const FUNCTION: &str = "function_name";

/// A server that can be asked.
#[derive(Debug)]
pub struct Server {
    url: Url,
    login: Login,
    client: Client,
}

/// How to make one.
pub(super) struct Setup {
    pub url: String,
    pub login: Login,
    pub ca_file: Option<PathBuf>,
    pub timeout: Duration,
}

/// How to be let in. Files are read anew for each request, since tokens are renewed.
#[derive(Clone, Debug)]
pub(super) enum Login {
    None,
    Bearer { token_file: PathBuf },
    Basic { username: String, password_file: PathBuf },
}

/// Why a server cannot be asked at all.
#[derive(Debug, Error)]
pub(super) enum BadServer {
    #[error("{url:?} is not the address of a server: {why}; use such as http://127.0.0.1:9090")]
    Url { url: String, why: String },
    #[error("cannot read certificates from {path}: {why}; name a file in PEM format")]
    Certificates { path: PathBuf, why: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Why a server gave no values.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoAnswer {
    /// It could not be reached, or was too slow.
    #[error("{0}")]
    Unreachable(String),
    /// It does not understand the query.
    #[error("the query cannot be read: {0}")]
    Query(String),
    /// It answered something else.
    #[error("{0}")]
    Refused(String),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    metric: HashMap<String, String>,
    value: (f64, String),
}

impl BadServer {
    pub fn is_about_certificates(&self) -> bool {
        matches!(self, Self::Certificates { .. })
    }
}

impl Server {
    pub(super) fn new(setup: Setup) -> Result<Self, BadServer> {
        let bad =
            |why: &str| BadServer::Url { url: without_login(&setup.url), why: why.to_owned() };
        let mut url: Url = setup.url.parse().map_err(|error| bad(&format!("{error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("its scheme is not http or https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("a login does not belong there, use basic_auth"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let client = Client::builder()
            .tls_backend_preconfigured(tls(setup.ca_file.as_deref())?)
            .timeout(setup.timeout)
            .redirect(Redirects::none())
            .no_proxy()
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| BadServer::Tls(chain(&error)))?;
        Ok(Self { url, login: setup.login, client })
    }

    /// The value of each function that the query has rows for; of one with several rows, why that is no value.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn query(
        &self,
        query: &str,
    ) -> Result<HashMap<FunctionId, Result<f64, String>>, NoAnswer> {
        let (status, body) = self.ask("api/v1/query", query).await?;
        let answer = read(status, &body)?;
        if answer.data.result_type != "vector" {
            let kind = answer.data.result_type;
            return Err(NoAnswer::Refused(format!(
                "the query gives a {kind} where a vector with the label {FUNCTION} belongs"
            )));
        }
        let rows: Vec<Row> = serde_json::from_value(answer.data.result)
            .map_err(|error| NoAnswer::Refused(format!("the answer cannot be read: {error}")))?;
        by_function(rows)
    }

    /// Whether the query can be read.
    ///
    /// # Errors
    /// [`NoAnswer::Query`] when it cannot; all else tells nothing of the query.
    pub async fn check(&self, query: &str) -> Result<(), NoAnswer> {
        let (status, body) = self.ask("api/v1/format_query", query).await?;
        if status == StatusCode::NOT_FOUND {
            // Not every server has it.
            let (status, body) = self.ask("api/v1/query", query).await?;
            return read(status, &body).map(drop);
        }
        read_any(status, &body).map(drop)
    }

    async fn ask(&self, path: &str, query: &str) -> Result<(StatusCode, Vec<u8>), NoAnswer> {
        let url = self.url.join(path).map_err(|error| NoAnswer::Refused(error.to_string()))?;
        let request = self.client.post(url).form(&[("query", query)]);
        let request = match &self.login {
            Login::None => request,
            Login::Bearer { token_file } => request.bearer_auth(secret(token_file).await?),
            Login::Basic { username, password_file } => {
                request.basic_auth(username, Some(secret(password_file).await?))
            }
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = self.body(response).await?;
        Ok((status, body))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, NoAnswer> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(NoAnswer::Refused("the answer is larger than 16 MiB".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unreachable(&self, error: &reqwest::Error) -> NoAnswer {
        let why = if error.is_timeout() {
            "it took too long".to_owned()
        } else {
            // The innermost cause: the others repeat the address.
            let mut cause: &dyn std::error::Error = error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            cause.to_string()
        };
        NoAnswer::Unreachable(format!("{} does not answer: {why}", self.url))
    }
}

async fn secret(path: &Path) -> Result<String, NoAnswer> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => {
            Err(NoAnswer::Unreachable(format!("cannot read {}: {error}", path.display())))
        }
    }
}

/// An answer that has data of a query.
fn read(status: StatusCode, body: &[u8]) -> Result<Answer, NoAnswer> {
    let value = read_any(status, body)?;
    serde_json::from_value(value)
        .map_err(|error| NoAnswer::Refused(format!("the answer cannot be read: {error}")))
}

/// A good answer of any kind.
fn read_any(status: StatusCode, body: &[u8]) -> Result<serde_json::Value, NoAnswer> {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    if status.is_success() {
        return parsed.ok_or_else(|| NoAnswer::Refused("the answer is no JSON".to_owned()));
    }
    let field = |name: &str| parsed.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let words = field("error").unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    let words: String = words.chars().take(LONGEST_WORDS).collect();
    if field("errorType").as_deref() == Some("bad_data") {
        return Err(NoAnswer::Query(words));
    }
    Err(NoAnswer::Refused(format!("the server answered {status}: {words}")))
}

fn by_function(rows: Vec<Row>) -> Result<HashMap<FunctionId, Result<f64, String>>, NoAnswer> {
    let unnamed = rows.iter().all(|row| !row.metric.contains_key(FUNCTION));
    if unnamed && !rows.is_empty() {
        return Err(NoAnswer::Refused(format!(
            "no row has the label {FUNCTION}; use such as sum by ({FUNCTION}) (…), or label_replace"
        )));
    }
    let mut values: HashMap<FunctionId, Result<f64, String>> = HashMap::new();
    for row in rows {
        let name = row.metric.get(FUNCTION).and_then(|name| FunctionId::parse(name).ok());
        let Some(function) = name else { continue };
        let value = value(&row.value.1);
        let twice = || Err(format!("several rows for {function}; use sum by ({FUNCTION}) (…)"));
        let value = if values.contains_key(&function) { twice() } else { value };
        values.insert(function, value);
    }
    Ok(values)
}

fn value(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err(format!("the value is {text}, not a number from 0")),
    }
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, BadServer> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        // Single bad certificates of the system do not matter while others work.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => add_file(&mut roots, path)
            .map_err(|why| BadServer::Certificates { path: path.to_owned(), why })?,
    }
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BadServer::Tls(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let mut any = false;
    for certificate in found {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        any = true;
    }
    if any { Ok(()) } else { Err("there is no certificate in it".to_owned()) }
}

/// An address as it may be shown.
fn without_login(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}…{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}
