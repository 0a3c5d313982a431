//! Deploys what `tidegate up` was given, through its own REST API, so that one path checks everything.
//!
//! A function that is deployed already just so is left alone: a restart rolls nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value, json};
use tidegate_api::FunctionDeployment;
use tidegate_core::{DEFAULT_NAMESPACE, labels};
use tidegate_provider::{Deployment, Provider};
use tracing::error;

/// Name of the function that an empty tidegate starts with.
pub const DEMO: &str = "hello";

/// How many functions that were there already the table shows.
const MOST_SHOWN: usize = 20;

/// What is to be deployed, and where.
pub struct Seeding {
    pub api: SocketAddr,
    pub password: Option<String>,
    pub functions: Vec<FunctionDeployment>,
    /// The command of the built-in demo function; none where programs of this machine are not run.
    pub demo: Option<String>,
}

/// What became of one function, as the table shows it.
pub struct Seeded {
    pub name: String,
    pub replicas: String,
    pub scaling: String,
    pub note: String,
    pub deployed: bool,
}

type Http = Client<HttpConnector, Full<Bytes>>;

impl Seeding {
    /// Deploys all of it; then tells of those, of some that were there, and of how many more there are.
    pub async fn deploy(self, provider: &dyn Provider) -> (Vec<Seeded>, usize) {
        let http = Client::builder(TokioExecutor::new()).build_http();
        let mut functions: Vec<Value> = Vec::new();
        for function in &self.functions {
            match serde_json::to_value(function) {
                Ok(value) => functions.push(value),
                Err(error) => error!(%error, "a function of the stack file has no JSON form"),
            }
        }
        let deployed = provider.list(None).await.unwrap_or_default();
        if functions.is_empty() && deployed.is_empty() {
            functions.extend(self.demo.as_deref().map(demo));
        }
        let mut seeded = Vec::new();
        for function in &functions {
            let outcome = self.deploy_one(&http, function).await;
            seeded.push(row(function, outcome));
        }
        let there = provider.list(None).await.unwrap_or_default();
        let others = there.iter().map(|status| &status.deployment);
        let mut others = others.filter(|other| {
            let name = shown(other);
            !seeded.iter().any(|row| row.name == name)
        });
        let earlier: Vec<_> = others.by_ref().take(MOST_SHOWN).map(earlier).collect();
        let more = others.count();
        seeded.extend(earlier);
        (seeded, more)
    }

    /// What to note about the function, or why it is not deployed.
    async fn deploy_one(&self, http: &Http, function: &Value) -> Result<String, String> {
        let path = format!(
            "/system/function/{}?namespace={}",
            text(function, "service"),
            text(function, "namespace")
        );
        let (status, body) = self.call(http, Method::GET, &path, &Value::Null).await?;
        let existing = (status == StatusCode::OK)
            .then(|| serde_json::from_slice::<Value>(&body).ok())
            .flatten();
        if existing.is_some_and(|existing| same(&existing, function)) {
            return Ok(String::new());
        }
        let method = if status == StatusCode::OK { Method::PUT } else { Method::POST };
        let (status, body) = self.call(http, method, "/system/functions", function).await?;
        let said = String::from_utf8_lossy(&body).trim().replace('\n', "; ");
        if status.is_success() { Ok(said) } else { Err(said) }
    }

    async fn call(
        &self,
        http: &Http,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request =
            Request::builder().method(method).uri(format!("http://{}{path}", self.api));
        if let Some(password) = &self.password {
            let login = STANDARD.encode(format!("admin:{password}"));
            request = request.header("authorization", format!("Basic {login}"));
        }
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let response = http.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }
}

fn demo(command: &str) -> Value {
    json!({
        "service": DEMO,
        "image": "tidegate/demo",
        "envProcess": command,
        "labels": {(labels::ZERO): "true"},
        "annotations": {},
    })
}

/// A function's name, with its namespace when that is not the default one.
fn shown(deployment: &Deployment) -> String {
    let function = &deployment.function;
    let full = function.namespace() != DEFAULT_NAMESPACE;
    if full { function.as_str() } else { function.name() }.to_owned()
}

fn earlier(deployment: &Arc<Deployment>) -> Seeded {
    let function = json!({ "service": shown(deployment), "labels": deployment.labels.to_map() });
    row(&function, Ok("deployed earlier".to_owned()))
}

fn text(function: &Value, key: &str) -> String {
    function[key].as_str().unwrap_or_default().to_owned()
}

/// Whether what is deployed is what is asked for.
fn same(existing: &Value, asked: &Value) -> bool {
    const KEYS: [&str; 9] = [
        "image",
        "envProcess",
        "envVars",
        "secrets",
        "constraints",
        "annotations",
        "limits",
        "requests",
        "readOnlyRootFilesystem",
    ];
    let mut existing = existing.clone();
    // The provider adds this one.
    if let Some(labels) = existing["labels"].as_object_mut() {
        labels.remove("faas_function");
    }
    let part = |value: &Value, key: &str| match &value[key] {
        Value::Object(map) if map.is_empty() => Value::Null,
        Value::Array(list) if list.is_empty() => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Bool(false) => Value::Null,
        other => other.clone(),
    };
    KEYS.iter().chain(&["labels"]).all(|key| part(&existing, key) == part(asked, key))
}

fn row(function: &Value, outcome: Result<String, String>) -> Seeded {
    let none = Map::new();
    let said = function["labels"].as_object().unwrap_or(&none);
    let label = |name: &str, default: &str| {
        said.get(name).and_then(Value::as_str).unwrap_or(default).to_owned()
    };
    let min = label(labels::MIN, "1");
    let zero = matches!(label(labels::ZERO, "false").as_str(), "true" | "1");
    let replicas = format!("{}..{}", if zero { "0" } else { &min }, label(labels::MAX, "20"));
    let scaling = match (said.get(labels::TYPE), said.get(labels::TARGET)) {
        (None, None) => "calls > 5/s".to_owned(),
        _ => format!("{} {}", label(labels::TYPE, "rps"), label(labels::TARGET, "50")),
    };
    let deployed = outcome.is_ok();
    let note = outcome.unwrap_or_else(|why| format!("not deployed: {why}"));
    Seeded { name: text(function, "service"), replicas, scaling, note, deployed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_provider_adds_or_leaves_out_is_no_change() {
        let asked = json!({"service": "a", "image": "i", "labels": {"x": "1"}, "envVars": {}, "readOnlyRootFilesystem": false});
        let existing = json!({"name": "a", "image": "i", "labels": {"x": "1", "faas_function": "a"}, "annotations": {}});
        assert!(same(&existing, &asked));
        let other = json!({"service": "a", "image": "i", "labels": {"x": "2"}});
        assert!(!same(&existing, &other));
    }
}
