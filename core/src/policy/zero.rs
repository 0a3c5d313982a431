//! When and how deep a function goes to zero, as its labels say.

use std::time::Duration;

/// When a function goes to zero, and how deep.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ZeroPolicy {
    /// Idle time before zero; `None` means the control plane's default. Under every rule the least.
    pub after: Option<Duration>,
    /// Time a replica stays frozen before it is removed; `None` means the control plane's default.
    pub warm: Option<Duration>,
    /// What decides when idle time is over.
    pub rule: ZeroRule,
    /// Whether it may be started before a call that is expected.
    pub prewarm: bool,
}

/// What decides when idle time is over.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ZeroRule {
    /// The idle time of the labels, or the default.
    #[default]
    Fixed,
    /// What was learnt of the function's silences, weighed against the price of idle time.
    Adaptive,
    /// A histogram of the function's silences alone.
    Hybrid,
}

impl ZeroRule {
    /// The word of the label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Adaptive => "adaptive",
            Self::Hybrid => "hybrid",
        }
    }

    /// The rule of a label's word.
    pub fn from_label(word: &str) -> Option<Self> {
        [Self::Fixed, Self::Adaptive, Self::Hybrid].into_iter().find(|rule| rule.label() == word)
    }
}
