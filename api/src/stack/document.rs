//! The keys of a stack file, and what is checked of the file as a whole.

use std::sync::Arc;

use serde::de::MapAccess;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use super::diagnostic::{Diagnostics, Severity};
use super::function::function_of;
use super::section::{Given, Keyed, Named, Pairs, Section, section};
use super::source::Source;
use super::{Stack, Template};

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

/// The text that was given, or an empty one.
pub(super) fn text(given: Given<String>) -> String {
    given.and_then(|spanned| spanned.value).unwrap_or_default()
}

/// The text that was given, and where.
pub(super) fn given(given: Given<String>) -> Option<(String, Location)> {
    let spanned = given?;
    Some((spanned.value?, spanned.referenced))
}

fn known(keys: &[&str]) -> String {
    let visible = keys.iter().filter(|key| !matches!(**key, "network" | "registry_auth"));
    visible.copied().collect::<Vec<_>>().join(", ")
}

/// The key that was probably meant: one that is two edits away at most.
fn closest(key: &str, keys: &'static [&'static str]) -> Option<&'static str> {
    if key.len() > 40 {
        return None;
    }
    let plain = key.to_ascii_lowercase().replace('-', "_");
    let far = |known: &str| edits(&plain, known);
    let best = keys.iter().copied().min_by_key(|known| far(known))?;
    (far(best) <= 2.min(best.len() / 2)).then_some(best)
}

/// How many characters must change to make one word the other.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
