//! A YAML text that is read with limits and pointed into with positions of the original file.

use serde::de::DeserializeOwned;
use serde_saphyr::{Location, MessageFormatter, UserMessageFormatter};

use super::LARGEST;
use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::substitute::Substituted;

pub(crate) use super::substitute::Dialect;

/// A file and what became of it when its variables were filled in.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    name: String,
    original: String,
    filled: Substituted,
}

impl Source {
    /// Fills in the variables; what is wrong with them is added to `found`.
    pub(crate) fn new(
        name: &str,
        text: &str,
        dialect: Dialect,
        variable: &dyn Fn(&str) -> Option<String>,
        found: &mut Diagnostics,
    ) -> Self {
        if text.len() > LARGEST {
            found.add(Diagnostic::at(
                Severity::Error,
                format_args!("the file has {} bytes; at most {LARGEST} are read", text.len()),
                name,
                "",
                (0, 0),
            ));
            return Self::verbatim(name, "");
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (filled, troubles) = Substituted::new(text, dialect, variable);
        for trouble in troubles {
            let severity = if trouble.fatal { Severity::Error } else { Severity::Warning };
            found.add(Diagnostic::at(severity, trouble.message, name, text, trouble.place));
        }
        Self { name: name.to_owned(), original: text.to_owned(), filled }
    }

    /// A file without variables.
    pub(crate) fn verbatim(name: &str, text: &str) -> Self {
        let filled = Substituted::verbatim(text);
        Self { name: name.to_owned(), original: text.to_owned(), filled }
    }

    /// Reads it as YAML, with limits that no honest file meets and no bomb passes.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            budget: serde_saphyr::budget! {
                max_events: 400_000,
                max_nodes: 200_000,
                max_depth: 32,
                max_aliases: 1_000,
                max_anchors: 1_000,
                max_documents: 4,
                max_total_scalar_bytes: 2 * LARGEST,
            },
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: 100_000,
                max_replay_stack_depth: 16,
            },
        };
        serde_saphyr::from_str_with_options(&self.filled.text, options).map_err(|error| {
            let message = UserMessageFormatter.format_message(&error).into_owned();
            let at = error.location().unwrap_or(Location::UNKNOWN);
            self.diagnostic(Severity::Error, message, at)
        })
    }

    /// Something at `location`.
    pub(crate) fn diagnostic(
        &self,
        severity: Severity,
        message: impl std::fmt::Display,
        location: Location,
    ) -> Diagnostic {
        let start = self.offset(location);
        let length = location.span().byte_len().unwrap_or_default();
        let length = usize::try_from(length).unwrap_or_default();
        let end = start.saturating_add(length);
        let place = (self.filled.origin(start), self.filled.origin(end.saturating_sub(1)) + 1);
        Diagnostic::at(severity, message, &self.name, &self.original, place)
    }

    /// The byte of the filled-in text at `location`.
    fn offset(&self, location: Location) -> usize {
        let text = &self.filled.text;
        if let Some(offset) = location.span().byte_offset() {
            return usize::try_from(offset).unwrap_or(text.len()).min(text.len());
        }
        let line = usize::try_from(location.line()).unwrap_or(usize::MAX).saturating_sub(1);
        let column = usize::try_from(location.column()).unwrap_or(usize::MAX).saturating_sub(1);
        let mut start = 0;
        for _ in 0..line {
            let Some(end) = text[start..].find('\n') else { break };
            start += end + 1;
        }
        let line = text[start..].split('\n').next().unwrap_or_default();
        start + line.chars().take(column).map(char::len_utf8).sum::<usize>()
    }
}
