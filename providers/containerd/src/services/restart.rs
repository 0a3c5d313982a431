//! Whether a service that ended is started again, and after which pause.

use std::time::Duration;

use tidegate_core::service::Restart;
use tidegate_provider_machine::{Backoff, Settings};

/// Counts how often a service failed in a row.
#[derive(Debug)]
pub(super) struct Pauses {
    policy: Restart,
    backoff: Backoff,
    failures: u32,
    settings: Settings,
}

impl Pauses {
    pub(super) fn new(policy: Restart, settings: &Settings) -> Self {
        Self { policy, backoff: Backoff::default(), failures: 0, settings: settings.clone() }
    }

    /// The pause before the next start; none when it is not started again. `lasted` is how long it ran, if it did.
    pub(super) fn after(&mut self, good: bool, lasted: Option<Duration>) -> Option<Duration> {
        if lasted.is_some_and(|lasted| lasted >= self.settings.backoff_forgets) {
            self.failures = 0;
        }
        self.failures = if good { 0 } else { self.failures.saturating_add(1) };
        let again = match self.policy {
            Restart::No => false,
            Restart::Always => true,
            Restart::OnFailure(most) => !good && most.is_none_or(|most| self.failures <= most),
        };
        again.then(|| self.backoff.after_crash(&self.settings, lasted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(policy: Restart) -> Pauses {
        Pauses::new(policy, &Settings::new("/nowhere"))
    }

    #[test]
    fn policies_tell_good_ends_from_bad_ones() {
        assert_eq!(pauses(Restart::No).after(false, None), None);
        assert!(pauses(Restart::Always).after(true, None).is_some());
        assert_eq!(pauses(Restart::OnFailure(None)).after(true, None), None);
        let mut twice = pauses(Restart::OnFailure(Some(2)));
        let again: Vec<bool> = (0..3).map(|_| twice.after(false, None).is_some()).collect();
        assert_eq!(again, [true, true, false]);
    }

    #[test]
    fn pauses_grow_and_a_long_good_run_is_a_new_start() {
        let mut pauses = pauses(Restart::OnFailure(Some(2)));
        let first = pauses.after(false, None).expect("one more");
        let second = pauses.after(false, None).expect("one more");
        assert!(second > first);
        let long = Some(Duration::from_secs(3600));
        assert_eq!(pauses.after(false, long), Some(Duration::ZERO));
        assert!(pauses.after(false, None).is_some());
    }
}
