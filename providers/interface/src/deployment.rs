//! What a user deploys, in the provider's words.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidegate_core::{BadName, FunctionId};

use crate::Pairs;

/// The whole of what a user said about a function. Kept by the provider, durably, as it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Which function.
    pub function: FunctionId,
    /// The image; backends without images keep and echo it.
    pub image: String,
    /// The process that the watchdog starts (`envProcess`, `fprocess`); empty means the image's own.
    pub process: String,
    /// Environment variables.
    pub env: Pairs,
    /// Labels, already checked.
    pub labels: Pairs,
    /// Annotations.
    pub annotations: Pairs,
    /// Names of secrets, in the order given.
    pub secrets: Vec<String>,
    /// Placement constraints, in the order given.
    pub constraints: Vec<String>,
    /// Upper limits, if any.
    pub limits: Option<Resources>,
    /// Reserved amounts, if any.
    pub requests: Option<Resources>,
    /// Whether only `/tmp` may be written.
    pub read_only_root: bool,
}

/// Amounts as they were written, such as `128Mi` and `100m`; checked at deploy time, echoed verbatim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Memory, as a Kubernetes quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// CPU, as a Kubernetes quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
}

/// The name of a secret within a namespace: safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// A secret with its value, which prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub name: SecretName,
    /// Its value.
    pub value: Vec<u8>,
}

impl SecretName {
    /// Longest secret name: that of a DNS subdomain, as in Kubernetes.
    pub const LONGEST: usize = 253;

    /// Checks a secret's name and namespace: lower-case letters, digits, `-`, `_` and `.`, a letter or digit first.
    ///
    /// # Errors
    /// When either could leave its folder or is too long.
    pub fn new(name: &str, namespace: &str) -> Result<Self, BadSecretName> {
        let id = FunctionId::new("x", namespace)?;
        let inner =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let good = (1..=Self::LONGEST).contains(&name.len())
            && name.bytes().all(inner)
            && name.as_bytes()[0].is_ascii_alphanumeric()
            && !name.contains("..");
        if !good {
            return Err(BadSecretName::Name(name.chars().take(80).collect()));
        }
        Ok(Self { namespace: id.namespace().to_owned(), name: name.to_owned() })
    }
}

/// A secret name that is not safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecretName {
    /// The name itself.
    #[error(
        "secret name {0:?} is not valid: use up to 253 lower-case letters, digits, '-', '_' and single dots, with a letter or digit first"
    )]
    Name(String),
    /// Its namespace.
    #[error(transparent)]
    Namespace(#[from] BadName),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}
