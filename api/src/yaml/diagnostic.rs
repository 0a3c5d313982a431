//! What is wrong or odd in a file, shown with its line and a caret.

use std::fmt;

use thiserror::Error;

/// Most characters of a line that are shown.
const WIDEST: usize = 120;

/// How bad it is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// Something will not do what its author may expect.
    Warning,
}

/// One thing that is wrong or odd, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, and what would be right.
    pub message: String,
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line's text, or the part of it around the column.
    excerpt: String,
    /// Where in the excerpt the caret stands, and how many there are.
    carets: (usize, usize),
}

/// Everything that was found, errors and warnings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Error)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostic {
    /// Something at `start..end` (bytes) of `text`.
    pub(crate) fn at(
        severity: Severity,
        message: impl fmt::Display,
        file: &str,
        text: &str,
        (start, end): (usize, usize),
    ) -> Self {
        let start = floor(text, start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(line_start..).unwrap_or_default();
        let line = line.split(['\n', '\r']).next().unwrap_or_default();
        let column = text.get(line_start..start).unwrap_or_default().chars().count();
        let width = text.get(start..floor(text, end)).unwrap_or_default();
        let width = width.split(['\n', '\r']).next().unwrap_or_default().chars().count();
        // A long line is shown from a little before the column.
        let skipped = column.saturating_sub(WIDEST / 2).min(column);
        let skipped = if column < WIDEST * 2 / 3 { 0 } else { skipped };
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        let excerpt: String = line.chars().skip(skipped).take(WIDEST).map(visible).collect();
        let room = excerpt.chars().count().saturating_sub(column - skipped).max(1);
        Self {
            severity,
            message: message.to_string(),
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: column + 1,
            excerpt,
            carets: (column - skipped, width.clamp(1, room)),
        }
    }
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

impl Diagnostics {
    /// Whether there is an error among them.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|one| one.severity == Severity::Error)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    pub(crate) fn add(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// In the order of the file, each once.
    pub(crate) fn sorted(mut self) -> Self {
        self.0.sort_by_key(|one| (one.line, one.column));
        self.0.dedup();
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let margin = " ".repeat(self.line.to_string().len());
        let (indent, carets) = self.carets;
        writeln!(f, "{severity}: {}", self.message)?;
        writeln!(f, "{margin}--> {}:{}:{}", self.file, self.line, self.column)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{} | {}", self.line, self.excerpt)?;
        write!(f, "{margin} | {}{}", " ".repeat(indent), "^".repeat(carets))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, one) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            one.fmt(f)?;
        }
        Ok(())
    }
}
