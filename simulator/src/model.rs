//! The model of what runs replicas: how long they take to come and how often they fail.
//!
//! `cold=800ms,warm=10ms,ready=5ms,call=1ms,fail=0.01,memory=128Mi`: every part may be left out.

use std::str::FromStr;

use thiserror::Error;
use tidegate_core::Quantity;

use crate::span::{BadSpan, Span};

/// What a replica costs to start and to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderModel {
    /// From the order to a new replica that runs.
    pub cold: Span,
    /// From the order to a thawed replica; none when replicas cannot be frozen.
    pub warm: Option<Span>,
    /// From a replica that runs to the gateway knowing that it answers.
    pub ready: Span,
    /// One call of the provider.
    pub call: Span,
    /// Share of starts that fail; each is tried again after a growing pause.
    pub fail: f64,
    /// Memory of one replica, frozen or not, in bytes.
    pub memory: u64,
}

/// A provider model that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadModel {
    /// A part without a value, or one that is not known.
    #[error(
        "provider model: {0:?} is not known; use cold, warm, ready, call, fail or memory, as in cold=800ms,warm=10ms"
    )]
    Unknown(String),
    /// Not a span.
    #[error("provider model: {part}: {error}")]
    Span {
        /// Which part.
        part: String,
        /// Why not.
        error: BadSpan,
    },
    /// Not a share or not a size.
    #[error("provider model: {part}: {value:?} is not {allowed}")]
    Value {
        /// Which part.
        part: String,
        /// Its value.
        value: String,
        /// What would be allowed.
        allowed: &'static str,
    },
}

impl Default for ProviderModel {
    /// A small container on the same machine.
    fn default() -> Self {
        Self {
            cold: Span::millis(800),
            warm: None,
            ready: Span::ZERO,
            call: Span::millis(1),
            fail: 0.0,
            memory: 128 << 20,
        }
    }
}

impl FromStr for ProviderModel {
    type Err = BadModel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut model = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| BadModel::Unknown(part.to_owned()))?;
            model.set(name.trim(), value.trim())?;
        }
        Ok(model)
    }
}

impl ProviderModel {
    fn set(&mut self, name: &str, value: &str) -> Result<(), BadModel> {
        let span =
            || value.parse().map_err(|error| BadModel::Span { part: name.to_owned(), error });
        let refuse =
            |allowed| BadModel::Value { part: name.to_owned(), value: value.to_owned(), allowed };
        match name {
            "cold" => self.cold = span()?,
            "warm" => self.warm = Some(span()?),
            "ready" => self.ready = span()?,
            "call" => self.call = span()?,
            "fail" => {
                let share = value.parse().ok().filter(|share| (0.0..=1.0).contains(share));
                self.fail = share.ok_or_else(|| refuse("a share from 0 to 1"))?;
            }
            "memory" => {
                let bytes = value.parse::<Quantity>().ok().map(Quantity::units);
                self.memory = bytes.ok_or_else(|| refuse("a size such as 128Mi"))?;
            }
            _ => return Err(BadModel::Unknown(name.to_owned())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_read_and_what_is_wrong_is_named() {
        let model: ProviderModel =
            "cold=lognormal:800ms:3s, warm=10ms,fail=0.5".parse().expect("a good model");
        assert_eq!(model.warm, Some(Span::millis(10)));
        assert!((model.fail - 0.5).abs() < f64::EPSILON);
        for (text, says) in [
            ("cold", "\"cold\" is not known"),
            ("hot=1s", "\"hot\" is not known"),
            ("cold=1", "is not a span"),
            ("fail=2", "a share from 0 to 1"),
            ("memory=much", "a size"),
        ] {
            let error = text.parse::<ProviderModel>().expect_err("a bad model").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
