//! Manifests and configurations of images, as the OCI image specification and Docker's schema 2 write them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::error::Failure;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What names a blob.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What it is; may be left out by old writers.
    #[serde(default)]
    pub(crate) media_type: String,
    /// Its digest.
    pub(crate) digest: String,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// For which machine, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    /// Free words.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    pub(crate) annotations: HashMap<String, String>,
}

/// For which machine an image is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

/// An index or a manifest: told apart by what is in it, since the media type may be missing.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Document {
    #[serde(default)]
    pub(crate) manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    pub(crate) config: Option<Descriptor>,
    #[serde(default)]
    pub(crate) layers: Option<Vec<Descriptor>>,
}

/// One image for one machine.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// What an image says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct ImageConfig {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) config: Option<ProcessConfig>,
    #[serde(default)]
    pub(crate) rootfs: RootFs,
}

/// How an image wants to be run. Lists may be `null`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ProcessConfig {
    #[serde(default)]
    pub(crate) user: Option<String>,
    #[serde(default)]
    pub(crate) env: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) cmd: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) working_dir: Option<String>,
    #[serde(default)]
    pub(crate) stop_signal: Option<String>,
}

/// The layers of an image, unpacked.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default)]
    pub(crate) diff_ids: Vec<String>,
}

/// Reads a document; `what` names it in the error.
pub(crate) fn parse<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|bad| Failure::Told(format!("{what} is damaged: {bad}")))
}

impl Document {
    /// Its manifest's parts, when it is one.
    pub(crate) fn into_manifest(
        self,
        digest: &str,
    ) -> Result<(Descriptor, Vec<Descriptor>), Failure> {
        match (self.config, self.layers) {
            (Some(config), Some(layers)) => Ok((config, layers)),
            _ => Err(Failure::Told(format!(
                "{digest} is neither an image's manifest nor an index of them"
            ))),
        }
    }
}

impl Platform {
    /// The machine this runs on, in the words of images.
    pub(crate) fn ours() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { architecture: architecture.to_owned(), os: "linux".to_owned(), variant: None }
    }

    fn runs_here(&self) -> bool {
        let ours = Self::ours();
        self.os == ours.os && self.architecture == ours.architecture
    }
}

/// The entry of an index that runs here; the plainest one when there are several.
pub(crate) fn choose<'a>(
    image: &str,
    entries: &'a [Descriptor],
) -> Result<&'a Descriptor, Failure> {
    // Old indexes of one image name no platform.
    let runs_here = |entry: &&Descriptor| entry.platform.as_ref().is_none_or(Platform::runs_here);
    let variant = |entry: &&Descriptor| entry.platform.as_ref().and_then(|it| it.variant.clone());
    entries.iter().filter(runs_here).min_by_key(variant).ok_or_else(|| {
        let there: Vec<String> = entries
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            .filter(|platform| platform.os != "unknown")
            .map(|platform| format!("{}/{}", platform.os, platform.architecture))
            .collect();
        let ours = Platform::ours();
        Failure::Told(format!(
            "image {image} is not for this machine ({}/{}), only for {}",
            ours.os,
            ours.architecture,
            there.join(", ")
        ))
    })
}

impl ImageConfig {
    /// Whether it runs here.
    pub(crate) fn check(&self, image: &str) -> Result<(), Failure> {
        let theirs = Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            variant: None,
        };
        if theirs.runs_here() {
            return Ok(());
        }
        let entry = Descriptor { platform: Some(theirs), ..Descriptor::default() };
        choose(image, &[entry]).map(drop)
    }
}
