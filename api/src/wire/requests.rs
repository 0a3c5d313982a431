//! What clients ask, apart from deployments.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::json::{Field, Many, tolerant};

/// Asks for a number of replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleServiceRequest {
    /// Which function.
    pub service_name: String,
    /// How many; a request that does not say is refused.
    pub replicas: Option<u64>,
    /// Where it lives.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

tolerant!(ScaleServiceRequest {
    service_name: "serviceName",
    replicas: "replicas",
    namespace: "namespace",
});

/// Asks that a function be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteFunctionRequest {
    /// Which function.
    pub function_name: String,
    /// Where it lives.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

tolerant!(DeleteFunctionRequest { function_name: "functionName", namespace: "namespace" });

/// A secret; its value is never printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Where it lives.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its value as text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Its value as bytes, in base64 on the wire; wins over `value`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_base64")]
    pub raw_value: Option<Vec<u8>>,
}

tolerant!(Secret {
    name: "name",
    namespace: "namespace",
    value: "value",
    raw_value: "rawValue" as Base64,
});

impl Secret {
    /// The value: the raw one where it was given and is not empty, else the text's bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.raw_value {
            Some(raw) if !raw.is_empty() => raw,
            _ => self.value.as_bytes(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Secret")
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Carries bytes through base64.
#[derive(Default)]
struct Base64(Option<Vec<u8>>);

impl Field for Base64 {
    fn read(value: serde_json::Value) -> Result<Self, serde_json::Error> {
        let text = String::read(value)?;
        // The decoder's own words would show a byte of the value.
        let bad = |_| serde::de::Error::custom("not base64");
        STANDARD.decode(text).map(|bytes| Self(Some(bytes))).map_err(bad)
    }
}

impl From<Base64> for Option<Vec<u8>> {
    fn from(carried: Base64) -> Self {
        carried.0
    }
}

fn as_base64<S: serde::Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes.as_deref().unwrap_or_default()))
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FunctionNamespace {
    /// Its name.
    pub name: String,
    /// Its annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

tolerant!(FunctionNamespace { name: "name", annotations: "annotations", labels: "labels" });

/// What AlertManager posts to `/system/alert`; only what is used of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AlertWebhook {
    /// The alerts.
    pub alerts: Vec<Alert>,
}

tolerant!(AlertWebhook { alerts: "alerts" as Many<Alert> });

/// One alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// `firing`, or anything else for resolved.
    pub status: String,
    /// Its labels.
    pub labels: AlertLabels,
}

tolerant!(Alert { status: "status", labels: "labels" as Labels });

impl Alert {
    /// Whether the alert's condition holds.
    pub fn is_firing(&self) -> bool {
        self.status == "firing"
    }
}

/// The labels of an alert that are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AlertLabels {
    /// `name` or `name.namespace`.
    pub function_name: String,
}

tolerant!(AlertLabels { function_name: "function_name" });

/// Carries labels that may be absent.
type Labels = OrDefault<AlertLabels>;

#[derive(Default)]
struct OrDefault<T>(T);

impl<T: crate::json::Object> Field for OrDefault<T> {
    fn read(value: serde_json::Value) -> Result<Self, serde_json::Error> {
        T::deserialize(value).map(Self)
    }
}

impl From<Labels> for AlertLabels {
    fn from(carried: Labels) -> Self {
        carried.0
    }
}
