//! How long to wait before a crashed replica is started again.

use std::time::Duration;

use crate::Settings;

/// Crashes in a row of one replica; no settings, which each would carry.
#[derive(Debug, Default)]
pub struct Backoff {
    crashes: u32,
}

impl Backoff {
    /// The pause after a crash of a replica that had been ready for this long, if ever.
    pub fn after_crash(&mut self, settings: &Settings, ready_for: Option<Duration>) -> Duration {
        if ready_for.is_some_and(|span| span >= settings.backoff_forgets) {
            self.crashes = 0;
        }
        self.crashes = self.crashes.saturating_add(1);
        // One that was killed while it served is replaced at once; calls may be waiting for it.
        if self.crashes == 1 && ready_for.is_some() {
            return Duration::ZERO;
        }
        let doublings = (self.crashes - 1).min(16);
        settings.backoff_first.saturating_mul(1 << doublings).min(settings.backoff_longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_forgotten_after_a_good_run() {
        let mut settings = Settings::new("/nowhere");
        settings.backoff_first = Duration::from_secs(1);
        settings.backoff_longest = Duration::from_secs(5);
        settings.backoff_forgets = Duration::from_secs(10);
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> =
            (0..4).map(|_| backoff.after_crash(&settings, None).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 5]);
        assert_eq!(backoff.after_crash(&settings, Some(Duration::from_secs(60))), Duration::ZERO);
        assert_eq!(
            backoff.after_crash(&settings, Some(Duration::from_millis(1))),
            Duration::from_secs(2)
        );
    }
}
