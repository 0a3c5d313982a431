//! Labels that the gateway cannot judge by itself: one needs a calendar, another the rest of the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Judges the labels of what is deployed, beyond what every part of tidegate knows of them. Made by whoever
/// acts on them; by default everything is good.
#[derive(Clone, Default)]
pub struct LabelCheck(Option<Arc<Check>>);

type Check = dyn Fn(&BTreeMap<String, String>) -> Result<(), String> + Send + Sync;

impl LabelCheck {
    /// `check` says what is wrong and what would be right, a line each.
    pub fn new(
        check: impl Fn(&BTreeMap<String, String>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(check)))
    }

    /// Checks the labels of one function.
    ///
    /// # Errors
    /// With what is wrong, and what would be right.
    pub fn check(&self, labels: &BTreeMap<String, String>) -> Result<(), String> {
        self.0.as_ref().map_or(Ok(()), |check| check(labels))
    }
}

impl fmt::Debug for LabelCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LabelCheck").field(&self.0.is_some()).finish()
    }
}
