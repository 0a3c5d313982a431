//! One function of a stack file: what it says, and the deployment it means.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::MapAccess;
use serde_saphyr::{Location, Spanned};

use super::document::{Function, Reader, Resources};
use crate::yaml::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::yaml::section::{Given, Keyed, Pairs, Section, section, text};
use crate::yaml::source::Source;
use crate::{FunctionDeployment, FunctionResources, Place};

/// A function of a stack file.
#[derive(Clone, Debug)]
pub struct StackFunction {
    /// Its name.
    pub name: String,
    /// Its namespace; empty when the file names none.
    pub namespace: String,
    /// The language template it is built with.
    pub lang: String,
    /// The folder or file of its handler.
    pub handler: String,
    /// Environment files, from the stack file's folder; later ones win.
    pub environment_file: Vec<String>,
    /// Whether it is not built.
    pub skip_build: bool,
    /// Sets of packages to build with.
    pub build_options: Vec<String>,
    /// Arguments of the build.
    pub build_args: BTreeMap<String, String>,
    /// Secrets of the build.
    pub build_secrets: BTreeMap<String, String>,
    /// Platforms to build for.
    pub platforms: String,
    /// What is deployed, but for the environment files.
    stated: FunctionDeployment,
    source: Arc<Source>,
    environment_file_places: Vec<Location>,
}

section! {
    /// An environment file.
    struct EnvironmentFile {
        "environment" => environment: Option<Pairs>,
    }
}

impl StackFunction {
    /// The deployment it means. `file` gives the text of an environment file, or why it cannot be read.
    ///
    /// # Errors
    /// With what is wrong with the environment files.
    pub fn deployment(
        &self,
        file: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<FunctionDeployment, Diagnostics> {
        let mut deployment = self.stated.clone();
        let mut found = Diagnostics::default();
        for (name, at) in self.environment_file.iter().zip(&self.environment_file_places) {
            match self.environment(name, *at, file) {
                Ok(variables) => deployment.env_vars.extend(variables),
                Err(diagnostic) => found.add(diagnostic),
            }
        }
        if found.is_empty() {
            // Names of variables can also come from those files.
            for wrong in deployment.check().err().unwrap_or_default() {
                let at = self.environment_file_places.first().copied();
                let at = at.unwrap_or(Location::UNKNOWN);
                found.add(self.source.diagnostic(Severity::Error, wrong, at));
            }
        }
        if found.is_empty() { Ok(deployment) } else { Err(found) }
    }

    fn environment(
        &self,
        name: &str,
        at: Location,
        file: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<BTreeMap<String, String>, Diagnostic> {
        let text = file(name).map_err(|why| {
            let message = format_args!("environment file {name:?} cannot be read: {why}");
            self.source.diagnostic(Severity::Error, message, at)
        })?;
        let read: Option<Keyed<EnvironmentFile>> = Source::verbatim(name, &text).parse()?;
        Ok(map(&read.unwrap_or_default().known.environment))
    }
}

/// Turns a section into a function; everything wrong or odd goes to `reader`.
pub(super) fn function_of(
    reader: &mut Reader<'_>,
    name: Spanned<String>,
    mut section: Function,
) -> StackFunction {
    let limits = section.limits.take().map(|limits| reader.keyed(limits));
    let requests = section.requests.take().map(|requests| reader.keyed(requests));
    let stated = FunctionDeployment {
        service: name.value.clone(),
        image: with_tag(text(section.image.clone())),
        namespace: text(section.namespace.clone()),
        env_process: text(section.fprocess.clone()),
        env_vars: map(&section.environment),
        constraints: list(&section.constraints),
        secrets: list(&section.secrets),
        labels: map(&section.labels),
        annotations: map(&section.annotations),
        limits: limits.as_ref().and_then(amounts),
        requests: requests.as_ref().and_then(amounts),
        read_only_root_filesystem: section.readonly_root_filesystem.unwrap_or_default(),
    };
    let places = Places {
        name: name.referenced,
        section: &section,
        limits: limits.as_ref(),
        requests: requests.as_ref(),
    };
    let (severity, remarks) = match stated.check() {
        Ok(checked) => (Severity::Warning, checked.warnings),
        Err(wrong) => (Severity::Error, wrong),
    };
    for remark in remarks {
        reader.add(severity, &remark, places.of(&remark.place, severity));
    }
    let files = section.environment_file.unwrap_or_default();
    StackFunction {
        name: name.value,
        namespace: stated.namespace.clone(),
        lang: text(section.lang),
        handler: text(section.handler),
        environment_file_places: files.iter().map(|file| file.referenced).collect(),
        environment_file: files.into_iter().map(|file| file.value).collect(),
        skip_build: section.skip_build.unwrap_or_default(),
        build_options: section.build_options.unwrap_or_default(),
        build_args: map(&section.build_args),
        build_secrets: map(&section.build_secrets),
        platforms: text(section.platforms),
        stated,
        source: Arc::clone(reader.source),
    }
}

/// Where the parts of a function stand.
struct Places<'a> {
    name: Location,
    section: &'a Function,
    limits: Option<&'a Resources>,
    requests: Option<&'a Resources>,
}

impl Places<'_> {
    /// What is wrong is mostly a value; what is odd is that the key is there.
    fn of(&self, place: &Place, severity: Severity) -> Location {
        let pair = |pairs: &Option<Pairs>, key: &str| match severity {
            Severity::Error => pairs.as_ref()?.place(key),
            Severity::Warning => pairs.as_ref()?.key_place(key),
        };
        let found = match place {
            Place::Name => None,
            Place::Namespace => spot(&self.section.namespace),
            Place::Image => spot(&self.section.image),
            Place::Env(name) => {
                self.section.environment.as_ref().and_then(|pairs| pairs.key_place(name))
            }
            Place::Label(name) => pair(&self.section.labels, name),
            Place::Annotation(name) => pair(&self.section.annotations, name),
            Place::Limit(key) => self.limits.and_then(|amounts| amount_spot(amounts, key)),
            Place::Request(key) => self.requests.and_then(|amounts| amount_spot(amounts, key)),
        };
        found.unwrap_or(self.name)
    }
}

fn spot(given: &Given<String>) -> Option<Location> {
    given.as_ref().filter(|spanned| spanned.value.is_some()).map(|spanned| spanned.referenced)
}

fn amount_spot(amounts: &Resources, key: &str) -> Option<Location> {
    match key {
        "memory" => spot(&amounts.memory),
        "cpu" => spot(&amounts.cpu),
        "nvidia.com/gpu" => spot(&amounts.nvidia_gpu),
        "amd.com/gpu" => spot(&amounts.amd_gpu),
        _ => spot(&amounts.intel_gpu),
    }
}

fn amounts(given: &Resources) -> Option<FunctionResources> {
    let amount = |given: &Given<String>| given.as_ref().and_then(|spanned| spanned.value.clone());
    let gpus = [&given.nvidia_gpu, &given.amd_gpu, &given.intel_gpu];
    let gpus = FunctionResources::GPUS.into_iter().zip(gpus);
    let gpus = gpus.map(|(key, amount)| (key.to_owned(), text(amount.clone())));
    let amounts = FunctionResources {
        memory: amount(&given.memory),
        cpu: amount(&given.cpu),
        gpus: gpus.filter(|(_, amount)| !amount.is_empty()).collect(),
    };
    (amounts != FunctionResources::default()).then_some(amounts)
}

fn map(pairs: &Option<Pairs>) -> BTreeMap<String, String> {
    let pairs = pairs.as_ref().map(|pairs| pairs.0.as_slice()).unwrap_or_default();
    pairs
        .iter()
        .map(|(key, value)| (key.value.clone(), value.value.clone().unwrap_or_default()))
        .collect()
}

fn list(given: &Option<Vec<Spanned<String>>>) -> Vec<String> {
    given.iter().flatten().map(|spanned| spanned.value.clone()).collect()
}

/// An image without tag or digest is its latest one.
fn with_tag(image: String) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.is_empty() || last.contains([':', '@']) { image } else { image + ":latest" }
}
