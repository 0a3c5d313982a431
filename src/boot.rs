//! The time since the machine was started, which outlives this process and which nobody can set.
//!
//! Linux tells it in `/proc`; it goes on while the machine sleeps.

use std::fs;
use std::time::Duration;

/// A moment of one run of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootTime {
    /// Which run of the machine; empty when that is not known.
    pub boot: String,
    /// How long it had run.
    pub uptime: Duration,
}

impl BootTime {
    /// Now; of an unknown run where there is no such `/proc`.
    pub fn now() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let boot = read("/proc/sys/kernel/random/boot_id").trim().to_owned();
        let uptime = read("/proc/uptime");
        let seconds = uptime.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
        match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            Some(uptime) => Self { boot, uptime },
            None => Self::default(),
        }
    }

    /// How long after `earlier` this is; nothing when that cannot be known.
    pub fn since(&self, earlier: &Self) -> Duration {
        if self.boot.is_empty() || self.boot != earlier.boot {
            return Duration::ZERO;
        }
        self.uptime.saturating_sub(earlier.uptime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_within_one_run_of_the_machine_only() {
        let at = |boot: &str, secs| BootTime {
            boot: boot.to_owned(),
            uptime: Duration::from_secs(secs),
        };
        assert_eq!(at("a", 9).since(&at("a", 2)), Duration::from_secs(7));
        for (now, earlier) in
            [(at("a", 2), at("a", 9)), (at("b", 9), at("a", 2)), (at("", 9), at("", 2))]
        {
            assert_eq!(now.since(&earlier), Duration::ZERO);
        }
        assert!(BootTime::now().uptime > Duration::ZERO && !BootTime::now().boot.is_empty());
    }
}
