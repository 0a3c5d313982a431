//! What the gateway says of itself, and log lines.

use serde::Serialize;

use crate::json::tolerant;

/// A version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VersionInfo {
    /// What the last commit says.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub commit_message: String,
    /// The commit.
    pub sha: String,
    /// The release.
    pub release: String,
}

tolerant!(VersionInfo { commit_message: "commit_message", sha: "sha", release: "release" });

/// What runs the functions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProviderInfo {
    /// Its name.
    pub provider: String,
    /// Its version.
    pub version: Option<VersionInfo>,
    /// What it steers.
    pub orchestration: String,
}

tolerant!(ProviderInfo {
    provider: "provider",
    version: "version",
    orchestration: "orchestration",
});

/// The answer of `/system/info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GatewayInfo {
    /// What runs the functions.
    pub provider: Option<ProviderInfo>,
    /// The gateway's version.
    pub version: Option<VersionInfo>,
    /// The machine's architecture.
    pub arch: String,
}

tolerant!(GatewayInfo { provider: "provider", version: "version", arch: "arch" });

/// One line of a function's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogMessage {
    /// The function's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The replica.
    pub instance: String,
    /// When, in RFC 3339.
    pub timestamp: String,
    /// The line.
    pub text: String,
}

tolerant!(LogMessage {
    name: "name",
    namespace: "namespace",
    instance: "instance",
    timestamp: "timestamp",
    text: "text",
});
