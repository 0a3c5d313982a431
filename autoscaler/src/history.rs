//! The last decisions of one function, packed small: a hundred thousand functions each keep theirs.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Moment, Replicas};
use tidegate_idler::Shortage;

use crate::decision::Reason;
use crate::measured::Source;

/// Decisions kept of one function.
const MOST: usize = 50;
/// Room is made for so many more at a time.
const GROWTH: usize = 5;

/// Names of rules that records tell of, each once.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<Arc<str>>);

/// The last decisions, oldest first. Empty it takes no memory.
#[derive(Clone, Debug, Default)]
pub struct History {
    records: Vec<Packed>,
}

/// A decision of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub at: Moment,
    pub from: Replicas,
    pub to: Replicas,
    pub reason: Reason,
}

/// A record in 24 bytes. Counts above 65535 and numbers above 2³² are cut; they are only told.
#[derive(Copy, Clone, Debug)]
struct Packed {
    at_millis: u64,
    numbers: [u32; 2],
    from: u16,
    to: u16,
    kind: u8,
}

impl Names {
    /// For who has no rules.
    pub const NONE: &'static Self = &Self(Vec::new());
    /// Before the names come the sources that need none.
    const NAMELESS: [Source; 3] = [Source::Cpu, Source::Memory, Source::Latency];

    fn number(&mut self, source: &Source) -> u32 {
        let Source::Rule(name) = source else {
            return Self::NAMELESS.iter().position(|known| known == source).unwrap_or(0) as u32;
        };
        let known = self.0.iter().position(|known| known == name);
        let place = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push(Arc::clone(name));
        }
        (Self::NAMELESS.len() + place) as u32
    }

    fn source(&self, number: u32) -> Source {
        let number = number as usize;
        if let Some(source) = Self::NAMELESS.get(number) {
            return source.clone();
        }
        let name = self.0.get(number - Self::NAMELESS.len());
        Source::Rule(name.map_or_else(|| Arc::from("that is gone"), Arc::clone))
    }
}

impl History {
    pub fn note(&mut self, record: &Record, names: &mut Names) {
        if self.records.len() == MOST {
            self.records.remove(0);
        }
        if self.records.len() == self.records.capacity() {
            self.records.reserve_exact(GROWTH.min(MOST - self.records.len()));
        }
        self.records.push(Packed::new(record, names));
    }

    pub fn iter(&self, names: &Names) -> impl Iterator<Item = Record> {
        self.records.iter().map(|packed| packed.unpack(names))
    }

    pub fn last(&self, names: &Names) -> Option<Record> {
        self.records.last().map(|packed| packed.unpack(names))
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.records.capacity() * size_of::<Packed>()
    }
}

impl Packed {
    fn new(record: &Record, names: &mut Names) -> Self {
        let (kind, numbers) = pack(&record.reason, names);
        let count = |replicas: Replicas| u16::try_from(replicas.get()).unwrap_or(u16::MAX);
        Self {
            at_millis: record.at.since_start().as_millis() as u64,
            numbers,
            from: count(record.from),
            to: count(record.to),
            kind,
        }
    }

    fn unpack(&self, names: &Names) -> Record {
        Record {
            at: Moment::from_millis(self.at_millis),
            from: Replicas::new(u32::from(self.from)),
            to: Replicas::new(u32::from(self.to)),
            reason: unpack(self.kind, self.numbers, names),
        }
    }
}

fn pack(reason: &Reason, names: &mut Names) -> (u8, [u32; 2]) {
    let cut = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let millis = |since: Duration| u32::try_from(since.as_millis()).unwrap_or(u32::MAX);
    match *reason {
        Reason::LoadAboveTarget { wanted } => (0, [wanted.get(), 0]),
        Reason::Burst { demand, wanted } => (1, [cut(demand), wanted.get()]),
        Reason::LoadBelowTarget { wanted } => (2, [wanted.get(), 0]),
        Reason::Busy { rate_millis } => (3, [cut(rate_millis), 0]),
        Reason::Calm => (4, [0, 0]),
        Reason::Woken { waiting } => (5, [cut(waiting), 0]),
        Reason::Idle { since } => (6, [millis(since), 0]),
        Reason::WarmOver { since } => (7, [millis(since), 0]),
        Reason::BelowMin => (8, [0, 0]),
        Reason::AboveMax => (9, [0, 0]),
        Reason::Operator { asked, given } => (10, [asked.get(), given.get()]),
        Reason::AlertFiring => (11, [0, 0]),
        Reason::AlertResolved => (12, [0, 0]),
        Reason::Initial => (14, [0, 0]),
        Reason::Scheduled { least } => (15, [least.get(), 0]),
        Reason::Above { ref source, wanted } => (16, [wanted.get(), names.number(source)]),
        Reason::Below { ref source, wanted } => (17, [wanted.get(), names.number(source)]),
        Reason::CreatedOver { since } => (18, [millis(since), 0]),
        Reason::Evicted { short } => (19, [short as u32, 0]),
        Reason::Expected { since, until } => (13, [millis(since), millis(until)]),
    }
}

fn unpack(kind: u8, [first, second]: [u32; 2], names: &Names) -> Reason {
    let span = Duration::from_millis(u64::from(first));
    let (number, count) = (u64::from(first), Replicas::new(first));
    match kind {
        0 => Reason::LoadAboveTarget { wanted: count },
        1 => Reason::Burst { demand: number, wanted: Replicas::new(second) },
        2 => Reason::LoadBelowTarget { wanted: count },
        3 => Reason::Busy { rate_millis: number },
        4 => Reason::Calm,
        5 => Reason::Woken { waiting: number },
        6 => Reason::Idle { since: span },
        7 => Reason::WarmOver { since: span },
        8 => Reason::BelowMin,
        9 => Reason::AboveMax,
        10 => Reason::Operator { asked: count, given: Replicas::new(second) },
        11 => Reason::AlertFiring,
        13 => Reason::Expected { since: span, until: Duration::from_millis(u64::from(second)) },
        14 => Reason::Initial,
        15 => Reason::Scheduled { least: count },
        16 => Reason::Above { source: names.source(second), wanted: count },
        17 => Reason::Below { source: names.source(second), wanted: count },
        18 => Reason::CreatedOver { since: span },
        19 => Reason::Evicted { short: shortage(first) },
        _ => Reason::AlertResolved,
    }
}

fn shortage(number: u32) -> Shortage {
    let all = [Shortage::Budget, Shortage::Available, Shortage::Stalled];
    all.into_iter().find(|short| *short as u32 == number).unwrap_or(Shortage::Stalled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons() -> Vec<Reason> {
        let (wanted, since) = (Replicas::new(7), Duration::from_millis(61_250));
        vec![
            Reason::LoadAboveTarget { wanted },
            Reason::Burst { demand: 33, wanted },
            Reason::LoadBelowTarget { wanted },
            Reason::Busy { rate_millis: 5_100 },
            Reason::Calm,
            Reason::Woken { waiting: 10_000 },
            Reason::Idle { since },
            Reason::WarmOver { since },
            Reason::CreatedOver { since },
            Reason::Evicted { short: Shortage::Budget },
            Reason::Evicted { short: Shortage::Available },
            Reason::Evicted { short: Shortage::Stalled },
            Reason::Expected { since, until: since * 2 },
            Reason::Scheduled { least: wanted },
            Reason::Above { source: Source::Memory, wanted },
            Reason::Above { source: Source::Rule("lag".into()), wanted },
            Reason::Below { source: Source::Rule("temperature".into()), wanted },
            Reason::Below { source: Source::Latency, wanted },
            Reason::BelowMin,
            Reason::AboveMax,
            Reason::Initial,
            Reason::Operator { asked: Replicas::new(50), given: wanted },
            Reason::AlertFiring,
            Reason::AlertResolved,
        ]
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let (mut history, mut names) = (History::default(), Names::default());
        for reason in reasons() {
            let record = Record {
                at: Moment::from_millis(86_400_123),
                from: Replicas::ONE,
                to: Replicas::new(10_000),
                reason,
            };
            history.note(&record, &mut names);
            assert_eq!(history.last(&names), Some(record));
        }
    }

    #[test]
    fn the_last_fifty_are_kept() {
        let (mut history, mut names) = (History::default(), Names::default());
        for second in 0..120 {
            let at = Moment::from_secs(second);
            let reason = Reason::Calm;
            let record = Record { at, from: Replicas::ONE, to: Replicas::ONE, reason };
            history.note(&record, &mut names);
        }
        let kept: Vec<u64> = history.iter(&names).map(|record| record.at.whole_seconds()).collect();
        assert_eq!(kept, (70..120).collect::<Vec<_>>());
        assert_eq!(history.heap_bytes(), 50 * 24);
    }
}
