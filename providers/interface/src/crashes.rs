//! Replicas that ended without being told to: how often for which reason, and the last ones one by one.

use std::collections::VecDeque;
use std::time::SystemTime;

use crate::ReplicaId;

/// How many crashes of a function are told one by one.
const KEPT: usize = 10;

/// Why a replica ended that nobody had told to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum CrashReason {
    /// Its program ended by itself.
    ExitCode,
    /// A signal ended it.
    Signal,
    /// It wanted more memory than it may have.
    OutOfMemory,
    /// It did not become ready in time.
    NotReady,
    /// It could not be started at all.
    CannotStart,
    /// It is gone, and nobody saw how.
    Unknown,
}

/// One crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// When it was noticed.
    pub at: SystemTime,
    /// Which replica.
    pub replica: ReplicaId,
    /// Why.
    pub reason: CrashReason,
    /// The same in words, with code, signal or last error.
    pub detail: String,
}

/// All crashes of one function since the provider was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crashes {
    counts: [u64; CrashReason::ALL.len()],
    last: VecDeque<Crash>,
}

impl CrashReason {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::ExitCode,
        Self::Signal,
        Self::OutOfMemory,
        Self::NotReady,
        Self::CannotStart,
        Self::Unknown,
    ];

    /// The word in metrics and descriptions.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ExitCode => "exit_code",
            Self::Signal => "signal",
            Self::OutOfMemory => "oom",
            Self::NotReady => "not_ready",
            Self::CannotStart => "cannot_start",
            Self::Unknown => "unknown",
        }
    }
}

impl Crashes {
    /// One more.
    pub fn add(&mut self, crash: Crash) {
        self.counts[crash.reason as usize] += 1;
        if self.last.len() == KEPT {
            self.last.pop_back();
        }
        self.last.push_front(crash);
    }

    /// How many there were for this reason.
    pub fn count(&self, reason: CrashReason) -> u64 {
        self.counts[reason as usize]
    }

    /// The last ones, newest first.
    pub fn last(&self) -> impl ExactSizeIterator<Item = &Crash> {
        self.last.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_last_ones_told() {
        let mut crashes = Crashes::default();
        for number in 0..25 {
            crashes.add(Crash {
                at: SystemTime::UNIX_EPOCH,
                replica: ReplicaId::new(format!("r-{number}")),
                reason: if number == 3 { CrashReason::OutOfMemory } else { CrashReason::Signal },
                detail: String::new(),
            });
        }
        let counts = CrashReason::ALL.map(|reason| crashes.count(reason));
        assert_eq!(counts, [0, 24, 1, 0, 0, 0]);
        let told: Vec<&str> = crashes.last().map(|crash| crash.replica.as_str()).collect();
        assert_eq!((told.len(), told[0], told[9]), (10, "r-24", "r-15"));
    }
}
