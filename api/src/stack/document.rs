//! The keys of a stack file, and what is checked of the file as a whole.

use std::sync::Arc;

use serde::de::MapAccess;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use super::function::function_of;
use super::{Stack, Template};
use crate::yaml::closest::closest;
use crate::yaml::diagnostic::{Diagnostics, Severity};
use crate::yaml::section::{Given, Keyed, Named, Pairs, Section, given, section, text};
use crate::yaml::source::Source;

section! {
    /// The whole file.
    struct Top {
        "version" => version: Given<String>,
        "provider" => provider: Option<Keyed<Provider>>,
        "functions" => functions: Option<Named<Function>>,
        "configuration" => configuration: Option<Keyed<Configuration>>,
    }
}

section! {
    /// Whom the file is for.
    struct Provider {
        "name" => name: Given<String>,
        "gateway" => gateway: Given<String>,
        "network" => _network: Given<String>,
    }
}

section! {
    /// What builds use.
    struct Configuration {
        "templates" => templates: Option<Vec<Keyed<TemplateSection>>>,
        "copy" => copy: Option<Vec<String>>,
    }
}

section! {
    /// One template.
    struct TemplateSection {
        "name" => name: Given<String>,
        "source" => source: Given<String>,
    }
}

section! {
    /// One function.
    struct Function {
        "lang" => lang: Given<String>,
        "handler" => handler: Given<String>,
        "image" => image: Given<String>,
        "fprocess" => fprocess: Given<String>,
        "environment" => environment: Option<Pairs>,
        "environment_file" => environment_file: Option<Vec<Spanned<String>>>,
        "labels" => labels: Option<Pairs>,
        "annotations" => annotations: Option<Pairs>,
        "secrets" => secrets: Option<Vec<Spanned<String>>>,
        "constraints" => constraints: Option<Vec<Spanned<String>>>,
        "namespace" => namespace: Given<String>,
        "limits" => limits: Option<Keyed<Resources>>,
        "requests" => requests: Option<Keyed<Resources>>,
        "readonly_root_filesystem" => readonly_root_filesystem: Option<bool>,
        "skip_build" => skip_build: Option<bool>,
        "build_options" => build_options: Option<Vec<String>>,
        "build_args" => build_args: Option<Pairs>,
        "build_secrets" => build_secrets: Option<Pairs>,
        "platforms" => platforms: Given<String>,
        "registry_auth" => _registry_auth: Given<String>,
    }
}

section! {
    /// Amounts.
    struct Resources {
        "memory" => memory: Given<String>,
        "cpu" => cpu: Given<String>,
        "nvidia.com/gpu" => nvidia_gpu: Given<String>,
        "amd.com/gpu" => amd_gpu: Given<String>,
        "intel.com/gpu" => intel_gpu: Given<String>,
    }
}

/// A stack file as YAML has it.
#[derive(Debug, Default)]
pub(super) struct Document(Keyed<Top>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // An empty file is an empty stack.
        Ok(Self(Option::deserialize(from)?.unwrap_or_default()))
    }
}

impl Document {
    /// Checks it; what was found before comes along.
    pub(super) fn into_stack(
        self,
        source: &Arc<Source>,
        found: Diagnostics,
    ) -> Result<Stack, Diagnostics> {
        let mut reader = Reader { source, found };
        let top = reader.keyed(self.0);
        reader.check_version(top.version);
        let provider = top.provider.map(|provider| reader.keyed(provider)).unwrap_or_default();
        reader.check_provider(provider.name);
        let functions = top.functions.unwrap_or_default().0;
        let functions = functions
            .into_iter()
            .map(|(name, section)| {
                let section = section.map(|section| reader.keyed(section)).unwrap_or_default();
                function_of(&mut reader, name, section)
            })
            .collect();
        let configuration = top.configuration.map(|one| reader.keyed(one)).unwrap_or_default();
        let templates = reader.templates(configuration.templates.unwrap_or_default());
        let found = reader.found.sorted();
        if found.has_errors() {
            return Err(found);
        }
        Ok(Stack {
            gateway: text(provider.gateway),
            functions,
            templates,
            copy: configuration.copy.unwrap_or_default(),
            warnings: found,
        })
    }
}

/// Collects what is found while a document is turned into a stack.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Arc<Source>,
    found: Diagnostics,
}

impl Reader<'_> {
    pub(super) fn add(
        &mut self,
        severity: Severity,
        message: impl std::fmt::Display,
        at: Location,
    ) {
        self.found.add(self.source.diagnostic(severity, message, at));
    }

    /// Warns of unknown keys.
    pub(super) fn keyed<T: Section>(&mut self, section: Keyed<T>) -> T {
        for key in section.unknown {
            // By convention `x-` marks what is for somebody else, or an anchor's home.
            if key.value.starts_with("x-") {
                continue;
            }
            let hint = match closest(&key.value, T::KEYS) {
                Some(meant) => format!("; did you mean {meant}?"),
                None => format!("; known here are {}", known(T::KEYS)),
            };
            let shown: String = key.value.chars().take(60).collect();
            let message = format_args!("unknown key {shown:?} has no effect{hint}");
            self.add(Severity::Warning, message, key.referenced);
        }
        section.known
    }

    fn check_version(&mut self, version: Given<String>) {
        let Some((version, at)) = given(version) else { return };
        if !matches!(version.as_str(), "1.0" | "1") {
            let message = format_args!("version {version:?} is not known; use 1.0");
            self.add(Severity::Error, message, at);
        }
    }

    fn check_provider(&mut self, name: Given<String>) {
        let Some((name, at)) = given(name) else { return };
        if name != "openfaas" {
            let message = format_args!("provider {name:?} is not known; use openfaas");
            self.add(Severity::Error, message, at);
        }
    }

    fn templates(&mut self, sections: Vec<Keyed<TemplateSection>>) -> Vec<Template> {
        let template = |section: TemplateSection| Template {
            name: text(section.name),
            source: text(section.source),
        };
        sections.into_iter().map(|section| template(self.keyed(section))).collect()
    }
}

fn known(keys: &[&str]) -> String {
    let visible = keys.iter().filter(|key| !matches!(**key, "network" | "registry_auth"));
    visible.copied().collect::<Vec<_>>().join(", ")
}
