//! Rate limits of a function, as its annotations ask for them.

use std::collections::BTreeMap;

use thiserror::Error;

/// The rate limits that annotations ask for; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {}

/// An annotation with a value that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("annotation {annotation}: {value:?} is not allowed; use {allowed}")]
pub struct BadAnnotation {
    /// The annotation's name.
    pub annotation: &'static str,
    /// Its value, cut at 80 characters.
    pub value: String,
    /// What would be allowed.
    pub allowed: &'static str,
}

impl Limits {
    /// Reads the limits.
    ///
    /// # Errors
    /// With the first value that is not allowed.
    pub fn from_annotations(
        _annotations: &BTreeMap<String, String>,
    ) -> Result<Self, BadAnnotation> {
        Ok(Self {})
    }
}
