//! Text to typed values: environment variables and settings, read once.
//!
//! A [`Vars`] is a plain map, so that tests hand in their own. A [`Reader`] collects every bad value
//! before anything fails, so that a user mends all of them in one go.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::parse_duration;

/// Variables by name, as the environment gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vars(BTreeMap<String, String>);

/// Bad variables, all of them, each with what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct BadVar(Vec<String>);

impl Vars {
    /// The text of `name`, if set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Whether `name` is set at all, even to nothing.
    pub fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Sets `name`.
    pub fn set(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.0.insert(name.into(), text.into());
    }

    /// All variables in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Starts reading; bad values are collected until [`Reader::finish`].
    pub fn reader(&self) -> Reader<'_> {
        Reader { vars: self, bad: Vec::new() }
    }
}

impl FromIterator<(String, String)> for Vars {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// Reads typed values and remembers what was wrong.
#[derive(Debug)]
pub struct Reader<'a> {
    vars: &'a Vars,
    bad: Vec<String>,
}

impl Reader<'_> {
    /// A text, or `default`.
    pub fn text(&mut self, name: &str, default: &str) -> String {
        self.vars.get(name).unwrap_or(default).to_owned()
    }

    /// A text, if set.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        self.vars.get(name).map(str::to_owned)
    }

    /// A duration in Go's syntax or in whole seconds, or `default`.
    pub fn duration(&mut self, name: &str, default: Duration) -> Duration {
        self.value(name, default, "a duration such as 30s, 5m or whole seconds", |text| {
            text.parse().map(Duration::from_secs).ok().or_else(|| parse_duration(text).ok())
        })
    }

    /// `true`, `1`, `false` or `0`, or `default`.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        self.value(name, default, "true, 1, false or 0", |text| match text {
            "1" | "true" | "True" | "TRUE" => Some(true),
            "0" | "false" | "False" | "FALSE" => Some(false),
            _ => None,
        })
    }

    /// Anything with a `FromStr`, or `default`; `allowed` says what fits.
    pub fn parsed<T: FromStr>(&mut self, name: &str, default: T, allowed: &str) -> T {
        self.value(name, default, allowed, |text| text.parse().ok())
    }

    /// Reports `name` as bad in the caller's words.
    pub fn refuse(&mut self, name: &str, allowed: impl fmt::Display) {
        let text = self.vars.get(name).unwrap_or_default();
        self.bad.push(format!("{name}={text:?}: must be {allowed}"));
    }

    /// Ends reading.
    ///
    /// # Errors
    /// With every bad variable, when there was one.
    pub fn finish<T>(self, config: T) -> Result<T, BadVar> {
        if self.bad.is_empty() { Ok(config) } else { Err(BadVar(self.bad)) }
    }

    fn value<T>(
        &mut self,
        name: &str,
        default: T,
        allowed: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.vars.get(name) else { return default };
        if let Some(value) = read(text.trim()) {
            return value;
        }
        self.refuse(name, allowed);
        default
    }
}

impl BadVar {
    /// Joins what two readers found.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// One line for each bad variable.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for BadVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}
