//! Turns a document into services. A key that is not honoured is refused; one whose absence changes nothing
//! for a service is named in a warning.

use std::fmt::Display;

use serde_saphyr::Location;
use tidegate_core::Service;

use super::document::Document;
use super::{Compose, World, order};
use crate::yaml::closest::closest;
use crate::yaml::diagnostic::{Diagnostics, Severity};
use crate::yaml::section::{Keyed, Section, given};
use crate::yaml::source::Source;

/// Keys that change nothing here, and why.
const HARMLESS: [(&str, &str); 21] = [
    ("version", "the format has no versions any more"),
    ("name", "services have no project"),
    ("networks", "all services and functions share one bridge"),
    ("container_name", "a service is called by its own name"),
    ("labels", "nobody reads them"),
    ("annotations", "nobody reads them"),
    ("logging", "logs are kept and bounded; read them with `tidegate services logs`"),
    ("expose", "all ports can be reached from functions and services"),
    ("tty", "nobody looks on"),
    ("stdin_open", "nobody types"),
    ("init", "a service is the first process itself"),
    ("platform", "images are those for this machine"),
    ("security_opt", "no service gets new privileges, and system calls are filtered"),
    ("reservations", "only limits are kept"),
    ("restart_policy", "say it with restart"),
    ("mode", "a port leads to one container"),
    ("app_protocol", "ports are TCP"),
    ("bind", "a missing folder is made"),
    ("volume", "volumes are folders of this machine"),
    ("required", "what is waited for must be in the file"),
    ("format", "files of variables have one format"),
];

/// A service, and where it stands.
pub(super) struct Placed {
    pub(super) service: Service,
    pub(super) at: Location,
    /// Whether it is to run at all.
    pub(super) enabled: bool,
}

/// Collects what is found on the way.
pub(super) struct Reader<'a> {
    source: &'a Source,
    pub(super) world: World<'a>,
    /// The names of volumes that the file declares.
    pub(super) volumes: Vec<String>,
    found: Diagnostics,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source, world: World<'a>, found: Diagnostics) -> Self {
        Self { source, world, volumes: Vec::new(), found }
    }

    pub(super) fn read(mut self, document: Document) -> Result<Compose, Diagnostics> {
        let top = self.keyed(document.0);
        for (name, home) in top.volumes.unwrap_or_default().0 {
            let home = home.map(|home| self.keyed(home)).unwrap_or_default();
            if let Some((driver, at)) = given(home.driver)
                && driver != "local"
            {
                let message =
                    format!("volumes are folders of this machine; {driver} is not supported");
                self.error(message, at);
            }
            self.volumes.push(name.value);
        }
        let sections = top.services.unwrap_or_default().0;
        if sections.is_empty() {
            let message = "the file has no services; name them under services:";
            self.error(message, Location::UNKNOWN);
        }
        let mut placed = Vec::new();
        for (name, section) in sections {
            let section = section.map(|section| self.keyed(section)).unwrap_or_default();
            placed.push(self.service(name, section));
        }
        let services = order::in_order(&mut self, placed);
        let found = self.found.sorted();
        if found.has_errors() {
            return Err(found);
        }
        Ok(Compose { services, warnings: found })
    }

    pub(super) fn error(&mut self, message: impl Display, at: Location) {
        self.found.add(self.source.diagnostic(Severity::Error, message, at));
    }

    pub(super) fn warn(&mut self, message: impl Display, at: Location) {
        self.found.add(self.source.diagnostic(Severity::Warning, message, at));
    }

    /// What was read, or nothing and a diagnostic.
    pub(super) fn checked<T>(&mut self, read: Result<T, String>, at: Location) -> Option<T> {
        read.map_err(|message| self.error(message, at)).ok()
    }

    /// Refuses keys that are not honoured.
    pub(super) fn keyed<T: Section>(&mut self, section: Keyed<T>) -> T {
        for key in section.unknown {
            // By convention `x-` marks what is for somebody else, or an anchor's home.
            if key.value.starts_with("x-") {
                continue;
            }
            let harmless = HARMLESS.iter().find(|(name, _)| *name == key.value);
            if let Some((name, why)) = harmless {
                self.warn(format_args!("{name} has no effect: {why}"), key.referenced);
                continue;
            }
            let hint = match closest(&key.value, T::KEYS) {
                Some(meant) => format!("did you mean {meant}?"),
                None if T::KEYS.is_empty() => "nothing can be said here".to_owned(),
                None => format!("known here are {}", T::KEYS.join(", ")),
            };
            let shown: String = key.value.chars().take(60).collect();
            self.error(format_args!("{shown} is not supported; {hint}"), key.referenced);
        }
        section.known
    }
}
