//! What was deployed, checked, and turned into what its processes need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tidegate_core::annotations::DIRECTORY;
use tidegate_provider::{Deployment, ProviderError};
use tidegate_provider_machine::Limits;

use crate::Config;

/// Variables that say which process the watchdog starts, as both OpenFaaS watchdogs read them.
const PROCESS: [&str; 2] = ["fprocess", "function_process"];
/// Variables that belong to the backend.
const RESERVED: &str = "TIDEGATE_";

/// What the processes of a function need.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Limits of each replica.
    pub(crate) limits: Limits,
    /// Where replicas are started, when the function says so.
    pub(crate) directory: Option<PathBuf>,
}

impl Spec {
    /// Checks a deployment for what this backend can run.
    pub(crate) fn new(deployment: &Deployment) -> Result<Self, ProviderError> {
        check_process(deployment)?;
        check_env(deployment)?;
        Limits::read(deployment.limits.as_ref())?;
        Limits::read(deployment.requests.as_ref())?;
        check_directory(deployment)?;
        Ok(Self::known(deployment))
    }

    /// A deployment that was checked when it was deployed. What is wrong with it today, such as a missing
    /// folder, is for its replicas to report.
    pub(crate) fn known(deployment: &Deployment) -> Self {
        let limits = Limits::read(deployment.limits.as_ref()).unwrap_or_default();
        let directory = deployment.annotations.get(DIRECTORY).map(PathBuf::from);
        Self { limits, directory }
    }
}

/// The environment of a replica: the function's own over our defaults, and what only we may set over
/// both.
pub(crate) fn env(
    deployment: &Deployment,
    config: &Config,
    ours: &[(&str, &Path)],
) -> BTreeMap<String, String> {
    let function = &deployment.function;
    let mut env = BTreeMap::from([("PATH".to_owned(), config.path.clone())]);
    for (name, path) in ours.iter().filter(|(name, _)| !name.starts_with(RESERVED)) {
        env.insert((*name).to_owned(), path.display().to_string());
    }
    env.extend(deployment.env.to_map());
    if !deployment.process.is_empty() {
        env.insert(PROCESS[0].to_owned(), deployment.process.clone());
    }
    for (name, path) in
        ours.iter().filter(|(name, _)| name.starts_with(RESERVED) || *name == "TMPDIR")
    {
        env.insert((*name).to_owned(), path.display().to_string());
    }
    env.insert("OPENFAAS_NAME".to_owned(), function.name().to_owned());
    env.insert("OPENFAAS_NAMESPACE".to_owned(), function.namespace().to_owned());
    env
}

fn check_process(deployment: &Deployment) -> Result<(), ProviderError> {
    let set = |name: &str| deployment.env.get(name).is_some_and(|text| !text.trim().is_empty());
    let has_process = !deployment.process.trim().is_empty() || PROCESS.iter().any(|name| set(name));
    let is_static = deployment.env.get("mode").is_some_and(|mode| mode == "static");
    if has_process || is_static {
        return Ok(());
    }
    Err(ProviderError::Invalid(format!(
        "function {} names no process: the process backend runs local programs and no images, so give it \
         one (fprocess in stack.yml, envProcess in the API), or run the image with the containerd or \
         Kubernetes backend",
        deployment.function
    )))
}

fn check_env(deployment: &Deployment) -> Result<(), ProviderError> {
    let invalid = |text: String| Err(ProviderError::Invalid(text));
    if deployment.process.contains('\0') {
        return invalid("the process must not hold a zero byte".to_owned());
    }
    for (name, text) in deployment.env.iter() {
        if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
            return invalid(format!(
                "environment variable {name:?} must have a name without '=' and no zero byte"
            ));
        }
        if name.starts_with(RESERVED) {
            return invalid(format!(
                "environment variable {name:?} is set by tidegate itself; choose another name"
            ));
        }
    }
    Ok(())
}

fn check_directory(deployment: &Deployment) -> Result<(), ProviderError> {
    let Some(text) = deployment.annotations.get(DIRECTORY) else { return Ok(()) };
    let path = Path::new(text);
    if path.is_absolute() && path.is_dir() {
        return Ok(());
    }
    Err(ProviderError::Invalid(format!(
        "annotation {DIRECTORY}: {text:?} must be the full path of a folder that exists"
    )))
}
