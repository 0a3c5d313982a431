//! When memory is short, and how much of it replicas at rest may keep: a judgement of readings, without a clock.
//!
//! Three limits, each of which may be missing. What all of them may have together holds at once. The other two
//! are about the whole machine, where a reading may be a spike, and where what was given up takes a while to
//! show: they must be broken twice in a row, and then again some seconds after each step.

use std::fmt;
use std::time::Duration;

use tidegate_core::Moment;

/// What memory is not to fall short of.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that replicas at rest may have together.
    pub rest: Option<u64>,
    /// Bytes that the machine should have available.
    pub available: Option<u64>,
    /// Share of time in which something waits for memory, in hundredths of a percent.
    pub stalled: Option<u32>,
}

/// What was read.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Bytes that replicas at rest have together.
    pub rest: u64,
    /// Bytes that the machine has available, where that is known.
    pub available: Option<u64>,
    /// Share of the last ten seconds in which something waited for memory, in hundredths of a percent.
    pub stalled: Option<u32>,
}

/// In which way memory is short.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Replicas at rest have more than they may.
    Budget,
    /// The machine has too little available.
    Available,
    /// What runs waits for memory.
    Stalled,
}

/// What follows from a reading.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In which way memory is short; it stays so until there is some room again.
    pub short: Option<Shortage>,
    /// Bytes that replicas at rest may keep now; none when they may keep what they have.
    pub keep: Option<u64>,
}

/// Follows readings.
#[derive(Clone, Debug, Default)]
pub struct Pressure {
    limits: Limits,
    short: Option<Shortage>,
    /// The machine was short at the last reading.
    twice: bool,
    /// When something was last to be given up for the machine.
    stepped: Option<Moment>,
}

/// From one step to the next: replicas take a while to end, and averages to fall.
const STEP: Duration = Duration::from_secs(10);
/// Of what there is, one part in so many is given up at a step when only waiting is known, not how much is missing.
const PART: u64 = 4;

impl Limits {
    /// Whether what replicas at rest take is of interest: always with a limit for it, and otherwise when the
    /// machine is short, or was and may be still.
    pub fn is_near(&self, reading: &Reading) -> bool {
        let after_shortage =
            |short| Pressure { limits: *self, ..Pressure::default() }.machine(reading, Some(short));
        self.rest.is_some()
            || after_shortage(Shortage::Available).is_some()
            || after_shortage(Shortage::Stalled).is_some()
    }
}

impl Pressure {
    /// Watches these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Whether there is anything to watch.
    pub fn has_limits(&self) -> bool {
        self.limits != Limits::default()
    }

    /// In which way memory was short at the last reading.
    pub fn short(&self) -> Option<Shortage> {
        self.short
    }

    /// Judges one reading; they come in the order of their times.
    pub fn judge(&mut self, now: Moment, reading: &Reading) -> Verdict {
        let machine = self.machine(reading, self.short);
        let budget = self.budget(reading);
        // The machine's want goes before that of a budget, which may be smaller than what is missing.
        let short = machine.filter(|_| self.twice).map(|(short, _)| short);
        let asked = self.step(now, machine.is_some());
        let for_machine = machine.filter(|_| asked).map(|(_, missing)| {
            let missing = missing.unwrap_or((reading.rest / PART).max(1));
            reading.rest.saturating_sub(missing)
        });
        self.short = short.or(budget.map(|_| Shortage::Budget));
        self.twice = machine.is_some();
        Verdict {
            short: self.short,
            keep: [budget.flatten(), for_machine].into_iter().flatten().min(),
        }
    }

    /// Whether the machine's want is more than a spike, and enough time has gone by since the last step.
    fn step(&mut self, now: Moment, short: bool) -> bool {
        let waited = self.stepped.is_none_or(|at| now.since(at) >= STEP);
        let step = short && self.twice && waited;
        if step {
            self.stepped = Some(now);
        }
        step
    }

    /// What the machine falls short of, and by how many bytes where that is known. Once short it is so until
    /// there is an eighth more than must be, or half as much waiting.
    fn machine(
        &self,
        reading: &Reading,
        before: Option<Shortage>,
    ) -> Option<(Shortage, Option<u64>)> {
        let low = self.limits.available.zip(reading.available).and_then(|(floor, available)| {
            let enough = floor.saturating_add(floor / 8);
            let line = if before == Some(Shortage::Available) { enough } else { floor };
            (available < line).then(|| (Shortage::Available, Some(enough - available)))
        });
        let stalled = || {
            let (most, share) = self.limits.stalled.zip(reading.stalled)?;
            let line = if before == Some(Shortage::Stalled) { most / 2 } else { most };
            (share > line).then_some((Shortage::Stalled, None))
        };
        low.or_else(stalled)
    }

    /// Whether there is more than may be, and then how much is kept; it stays short until a tenth is free.
    fn budget(&self, reading: &Reading) -> Option<Option<u64>> {
        let budget = self.limits.rest?;
        if reading.rest > budget {
            return Some(Some(budget));
        }
        let before = self.short == Some(Shortage::Budget);
        (before && reading.rest > budget / 10 * 9).then_some(None)
    }
}

impl Shortage {
    /// A word for metrics and records: few, fixed.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Available => "available",
            Self::Stalled => "stalled",
        }
    }

    /// The shortage of a word.
    pub fn from_label(word: &str) -> Option<Self> {
        [Self::Budget, Self::Available, Self::Stalled].into_iter().find(|it| it.label() == word)
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Budget => "replicas at rest have more memory than TIDEGATE_FROZEN_MEMORY",
            Self::Available => "the machine has less memory available than TIDEGATE_MEMORY_FLOOR",
            Self::Stalled => "the machine waits for memory more than TIDEGATE_MEMORY_PRESSURE",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_start(Duration::from_secs(secs))
    }

    fn read(
        pressure: &mut Pressure,
        secs: u64,
        reading: Reading,
    ) -> (Option<Shortage>, Option<u64>) {
        let Verdict { short, keep } = pressure.judge(at(secs), &reading);
        (short, keep)
    }

    #[test]
    fn a_budget_holds_at_once_and_memory_is_short_until_a_tenth_is_free() {
        let mut pressure = Pressure::new(Limits { rest: Some(100), ..Limits::default() });
        let mut rest = |rest| read(&mut pressure, 0, Reading { rest, ..Reading::default() });
        assert_eq!(rest(100), (None, None));
        assert_eq!(rest(101), (Some(Shortage::Budget), Some(100)));
        assert_eq!(rest(99), (Some(Shortage::Budget), None));
        assert_eq!(rest(90), (None, None));
        assert_eq!(rest(95), (None, None));
    }

    #[test]
    fn what_is_missing_is_given_up_and_a_little_more_but_not_for_one_reading() {
        let mut pressure = Pressure::new(Limits { available: Some(800), ..Limits::default() });
        let mut see = |secs, available| {
            let reading = Reading { rest: 500, available: Some(available), stalled: None };
            read(&mut pressure, secs, reading)
        };
        assert_eq!(see(0, 700), (None, None), "a spike");
        assert_eq!(see(3, 900), (None, None));
        assert_eq!(see(6, 700), (None, None));
        assert_eq!(see(9, 700), (Some(Shortage::Available), Some(300)));
        assert_eq!(see(12, 700), (Some(Shortage::Available), None), "it takes a while to show");
        assert_eq!(see(15, 850), (Some(Shortage::Available), None), "not quite enough yet");
        assert_eq!(see(19, 850), (Some(Shortage::Available), Some(450)));
        assert_eq!(see(22, 900), (None, None));
    }

    #[test]
    fn while_it_waits_a_part_goes_at_a_time() {
        let mut pressure = Pressure::new(Limits { stalled: Some(1000), ..Limits::default() });
        let mut see = |secs, rest, stalled| {
            read(&mut pressure, secs, Reading { rest, available: None, stalled: Some(stalled) })
        };
        assert_eq!(see(0, 400, 1001), (None, None));
        assert_eq!(see(3, 400, 1001), (Some(Shortage::Stalled), Some(300)));
        assert_eq!(see(6, 300, 2000), (Some(Shortage::Stalled), None));
        assert_eq!(see(13, 300, 600), (Some(Shortage::Stalled), Some(225)), "more than half");
        assert_eq!(see(16, 225, 500), (None, None));
    }

    #[test]
    fn what_is_not_known_is_not_short() {
        let mut pressure =
            Pressure::new(Limits { rest: None, available: Some(1), stalled: Some(1) });
        for secs in 0..9 {
            assert_eq!(read(&mut pressure, secs, Reading::default()), (None, None));
        }
        assert!(pressure.has_limits() && !Pressure::default().has_limits());
    }

    fn readings() -> impl Strategy<Value = Vec<(u64, u64, u64, u32)>> {
        prop::collection::vec((0_u64..20, 0_u64..1000, 0_u64..1000, 0_u32..3000), 1..40)
    }

    proptest! {
        /// Never more is given up than there is, only while memory is short, and for the machine not faster
        /// than one step in ten seconds.
        #[test]
        fn little_is_given_up_and_only_for_a_reason(readings in readings(), budget in prop::option::of(0_u64..1000)) {
            let limits = Limits { rest: budget, available: Some(300), stalled: Some(1000) };
            let mut pressure = Pressure::new(limits);
            let (mut now, mut last) = (0, None);
            for (pause, rest, available, stalled) in readings {
                now += pause;
                let reading = Reading { rest, available: Some(available), stalled: Some(stalled) };
                let verdict = pressure.judge(at(now), &reading);
                let Some(keep) = verdict.keep else { continue };
                prop_assert!(keep <= rest && verdict.short.is_some());
                if verdict.short != Some(Shortage::Budget) && budget.is_none_or(|budget| keep < budget) {
                    prop_assert!(last.is_none_or(|last| now - last >= 10), "{last:?} {now}");
                    last = Some(now);
                }
                let enough = available >= 338 && stalled <= 500;
                prop_assert!(!enough || budget.is_some_and(|budget| rest > budget));
            }
        }
    }
}
