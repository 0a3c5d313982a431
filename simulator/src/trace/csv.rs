//! Rows of comma-separated values, and errors that name file, line and column.

use std::io::BufRead;
use std::time::Duration;

use thiserror::Error;
use tidegate_core::parse_duration;

use crate::span::nanos;

/// A trace that cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct BadTrace {
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

/// The rows of one file, read line by line.
pub(crate) struct Rows<R> {
    file: String,
    input: R,
    line: u64,
    text: String,
    /// The line that was read is to be given once more.
    held: bool,
}

/// One row.
#[derive(Copy, Clone)]
pub(crate) struct Row<'a> {
    file: &'a str,
    line: u64,
    text: &'a str,
}

/// One field of a row.
#[derive(Copy, Clone)]
pub(crate) struct Field<'a> {
    row: Row<'a>,
    at: usize,
    pub text: &'a str,
}

impl<R: BufRead> Rows<R> {
    pub(crate) fn new(file: &str, input: R) -> Self {
        Self { file: file.to_owned(), input, line: 0, text: String::new(), held: false }
    }

    /// The next row that is not empty.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, BadTrace> {
        while !std::mem::take(&mut self.held) {
            self.text.clear();
            self.line += 1;
            let read = self.input.read_line(&mut self.text).map_err(|error| BadTrace {
                file: self.file.clone(),
                line: self.line,
                column: 1,
                what: format!("cannot be read: {error}"),
            })?;
            if read == 0 {
                return Ok(None);
            }
            if !self.text.trim().is_empty() {
                break;
            }
        }
        let text = self.text.trim_end_matches(['\n', '\r']);
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Ok(Some(Row { file: &self.file, line: self.line, text }))
    }

    /// The last row is given once more.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// An error of the file as a whole.
    pub(crate) fn bad(&self, what: impl Into<String>) -> BadTrace {
        BadTrace { file: self.file.clone(), line: self.line.max(1), column: 1, what: what.into() }
    }
}

impl<'a> Row<'a> {
    pub(crate) const fn text(&self) -> &'a str {
        self.text
    }

    pub(crate) const fn line(&self) -> u64 {
        self.line
    }

    pub(crate) fn fields(self) -> impl Iterator<Item = Field<'a>> {
        let mut at = 0;
        self.text.split(',').map(move |text| {
            let field = Field { row: self, at, text: text.trim() };
            at += text.len() + 1;
            field
        })
    }

    /// Exactly so many fields; what the row should have says the error.
    pub(crate) fn exactly<const N: usize>(self, form: &str) -> Result<[Field<'a>; N], BadTrace> {
        let fields: Vec<Field<'a>> = self.fields().collect();
        let count = fields.len();
        let what = || format!("{count} fields where {N} belong: {form}");
        fields.try_into().map_err(|_| self.bad(what()))
    }

    pub(crate) fn bad(self, what: impl Into<String>) -> BadTrace {
        Field { row: self, at: 0, text: self.text }.bad(what)
    }
}

impl<'a> Field<'a> {
    /// A part of this field.
    pub(crate) fn part(&self, text: &'a str) -> Self {
        Self { text, ..*self }
    }

    pub(crate) fn bad(&self, what: impl Into<String>) -> BadTrace {
        BadTrace {
            file: self.row.file.to_owned(),
            line: self.row.line,
            column: self.row.text[..self.at].chars().count() + 1,
            what: what.into(),
        }
    }

    pub(crate) fn parse<T: std::str::FromStr>(&self, allowed: &str) -> Result<T, BadTrace> {
        self.text.parse().map_err(|_| self.bad(format!("{:?} is not {allowed}", self.shown())))
    }

    /// Nanoseconds, from plain seconds or a duration such as `250ms`.
    pub(crate) fn time(&self) -> Result<u64, BadTrace> {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok().map(nanos);
        let span = match self.text.parse() {
            Ok(number) => plain_seconds(self.text).or_else(|| seconds(number)),
            Err(_) => parse_duration(self.text).ok().map(nanos),
        };
        let refuse = || format!("{:?} is not a time in seconds such as 12.5", self.shown());
        span.ok_or_else(|| self.bad(refuse()))
    }

    pub(crate) fn shown(&self) -> String {
        self.text.chars().take(40).collect()
    }
}

/// Digits with up to nine places, exactly.
fn plain_seconds(text: &str) -> Option<u64> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(places) || places.len() > 9 {
        return None;
    }
    let places: u64 = format!("{places:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(places)
}
