//! When and how deep a function goes to zero, as its labels say.

use std::num::NonZeroU32;
use std::time::Duration;

/// When a function goes to zero, and how deep.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ZeroPolicy {
    /// Idle time before zero; `None` means the control plane's default. Under every rule the least.
    pub after: Option<Duration>,
    /// Time a replica stays frozen at zero; `None` means the control plane's default.
    pub warm: Option<Duration>,
    /// Time one is then kept created, its program not started; `None` means the control plane's default.
    pub created: Option<Seconds>,
    /// What decides when idle time is over.
    pub rule: ZeroRule,
    /// Whether it may be started before a call that is expected.
    pub prewarm: bool,
}

/// A span in whole seconds, up to 136 years, in four bytes: a hundred thousand policies are kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Seconds(NonZeroU32);

impl From<Duration> for Seconds {
    /// A part of a second counts as one; what is longer than fits is cut.
    fn from(span: Duration) -> Self {
        let whole = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0));
        let whole = u32::try_from(whole).unwrap_or(u32::MAX);
        // One more than the seconds is kept, since it is never zero.
        Self(NonZeroU32::MIN.saturating_add(whole))
    }
}

impl From<Seconds> for Duration {
    fn from(Seconds(more): Seconds) -> Self {
        Self::from_secs(u64::from(more.get() - 1))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_in_four_bytes_come_out_as_whole_seconds() {
        let through = |span: Duration| Duration::from(Seconds::from(span));
        assert_eq!(through(Duration::ZERO), Duration::ZERO);
        assert_eq!(through(Duration::from_secs(600)), Duration::from_secs(600));
        assert_eq!(through(Duration::from_millis(1500)), Duration::from_secs(2));
        assert_eq!(through(Duration::MAX), Duration::from_secs(u64::from(u32::MAX) - 1));
        assert_eq!(size_of::<Option<Seconds>>(), 4);
    }
}
