//! `KIND?KEY=VALUE&KEY=VALUE`: what a generator is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;
use tidegate_core::parse_duration;

use super::KINDS;
use crate::span::Span;

/// A generator that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("generator: {what}")]
pub struct BadSpec {
    what: String,
}

/// What was asked for, less what was taken already.
pub(super) struct Spec {
    pub kind: String,
    keys: BTreeMap<String, String>,
}

impl BadSpec {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

impl Spec {
    pub(super) fn parse(text: &str) -> Result<Self, BadSpec> {
        let (kind, rest) = text.split_once('?').unwrap_or((text, ""));
        if !KINDS.iter().any(|(known, ..)| *known == kind) {
            let known: Vec<&str> = KINDS.iter().map(|(kind, ..)| *kind).collect();
            let known = known.join(", ");
            return Err(BadSpec::new(format!("{kind:?} is not known; use one of {known}")));
        }
        let mut keys = BTreeMap::new();
        for pair in rest.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| BadSpec::new(format!("{pair:?} is not KEY=VALUE")))?;
            keys.insert(key.to_owned(), value.to_owned());
        }
        Ok(Self { kind: kind.to_owned(), keys })
    }

    /// Nothing may be left.
    pub(super) fn done(self) -> Result<(), BadSpec> {
        let Some(key) = self.keys.into_keys().next() else { return Ok(()) };
        let own = KINDS.iter().find(|(kind, ..)| *kind == self.kind).map_or("", |(_, own, _)| own);
        let kind = self.kind;
        Err(BadSpec::new(format!(
            "{kind} does not know {key:?}; it knows seed, duration, functions, takes, name and {own}"
        )))
    }

    pub(super) fn refuse(&self, key: &str, allowed: &str) -> BadSpec {
        BadSpec::new(format!("{key} must be {allowed}"))
    }

    pub(super) fn text(&mut self, key: &str, default: &str) -> String {
        self.keys.remove(key).unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn whole(&mut self, key: &str, default: u64) -> Result<u64, BadSpec> {
        self.value(key, default, "a whole number", |text| text.parse().ok())
    }

    pub(super) fn rate(&mut self, key: &str, default: f64) -> Result<f64, BadSpec> {
        let fits = |rate: &f64| (0.0..=1e6).contains(rate);
        self.value(key, default, "a rate from 0 to 1000000 a second", |text| {
            text.parse().ok().filter(fits)
        })
    }

    pub(super) fn share(&mut self, key: &str, default: f64) -> Result<f64, BadSpec> {
        let fits = |share: &f64| (0.0..=1.0).contains(share);
        self.value(key, default, "a share from 0 to 1", |text| text.parse().ok().filter(fits))
    }

    pub(super) fn factor(&mut self, key: &str, default: f64) -> Result<f64, BadSpec> {
        let fits = |factor: &f64| (0.0..=1000.0).contains(factor);
        self.value(key, default, "a number from 0 to 1000", |text| text.parse().ok().filter(fits))
    }

    pub(super) fn duration(&mut self, key: &str, default: Duration) -> Result<Duration, BadSpec> {
        self.value(key, default, "a duration above zero such as 90s, 5m or 14d", |text| {
            duration(text).filter(|span| !span.is_zero())
        })
    }

    /// A duration that may be zero.
    pub(super) fn pause(&mut self, key: &str, default: Duration) -> Result<Duration, BadSpec> {
        self.value(key, default, "a duration such as 2s", duration)
    }

    pub(super) fn span(&mut self, key: &str, default: Span) -> Result<Span, BadSpec> {
        let Some(text) = self.keys.remove(key) else { return Ok(default) };
        text.parse().map_err(|error| BadSpec::new(format!("{key}: {error}")))
    }

    fn value<T>(
        &mut self,
        key: &str,
        default: T,
        allowed: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, BadSpec> {
        let Some(text) = self.keys.remove(key) else { return Ok(default) };
        let what = || format!("{key}: {text:?} is not {allowed}");
        read(&text).ok_or_else(|| BadSpec::new(what()))
    }
}

/// A Go duration, or whole days.
fn duration(text: &str) -> Option<Duration> {
    match text.strip_suffix('d') {
        Some(days) => {
            let days: u32 = days.parse().ok().filter(|days| *days <= 3650)?;
            Some(Duration::from_secs(86_400) * days)
        }
        None => parse_duration(text).ok(),
    }
}
