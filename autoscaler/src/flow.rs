//! How calls flow through one function now, and what that makes of the load soon.
//!
//! ```text
//! arrivals ──► waiting ──► in service ──► ends        load soon = in service + time of a call × growth
//!              (backlog: passes)  (lasts)             growth    = arrivals − ends, a second
//! ```
//!
//! By Little's law: as many calls are in service, in the end, as arrive in the time that one takes. Calls that
//! wait because replicas are still on their way are no part of that; they pass.

use std::time::Duration;

use tidegate_core::{Load, Moment};

use crate::stamp::Stamp;
use crate::window::Fraction;

/// Growth is measured over no more than about this.
const SPAN: Duration = Duration::from_secs(1);
/// Ends that make the time of a call known.
const ENOUGH: f64 = 10.0;
/// Calls that end so many times slower than before have another pace.
const SLOWER: f64 = 4.0;
/// The shortest span that growth is measured over.
const SHORTEST: Duration = Duration::from_millis(250);
/// Growth is not drawn out for longer than this.
const AHEAD: Duration = Duration::from_secs(5);
/// Standard deviations of a count of calls that chance explains.
const CHANCE: f64 = 2.0;

/// What is kept of the flow: a mark a moment ago, and what waited.
#[derive(Copy, Clone, Debug, Default)]
pub struct Flow {
    at: Stamp,
    started: u32,
    completed: u32,
    /// How long a call took before the mark, in seconds; zero when that is not known.
    pace: f32,
    /// Whether the count went up at the mark: how high it must go shows a moment later.
    surges: bool,
    /// The integral of calls that wait, as the looks saw it, in call-nanoseconds.
    waited_nanos: u64,
}

/// The load to expect, from what is in service and how that grows.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Expected {
    /// At least this many calls in service, unless chance has it.
    pub least: f64,
    /// At most this many, where calls end at a known pace.
    pub most: Option<f64>,
    /// How long a call takes, in seconds.
    pub takes: f64,
}

/// What came and went since the mark.
#[derive(Copy, Clone, Debug)]
struct Since {
    seconds: f64,
    arrived: f64,
    ended: f64,
}

impl Flow {
    /// Takes in what waited since the last look.
    pub fn wait(&mut self, since: Duration, before: &Load, load: &Load) {
        let sum = before.waiting.saturating_add(load.waiting);
        let span = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        self.waited_nanos = self.waited_nanos.saturating_add(sum.saturating_mul(span) / 2);
    }

    /// The load with the calls in service alone in its integral.
    pub fn in_service(&self, load: &Load) -> Load {
        let concurrency_nanos = load.concurrency_nanos.saturating_sub(self.waited_nanos);
        Load { concurrency_nanos, ..*load }
    }

    /// Sets the mark when it is old, or when the count went up and growth begins anew.
    pub fn mark(&mut self, now: Moment, load: &Load, raised: bool) {
        let age = self.at.get().map(|at| now.since(at));
        let shows = self.surges && age.is_some_and(|age| age < SHORTEST);
        if (raised && !shows) || age.is_none_or(|age| age >= SPAN) {
            let pace = self.since(now, load).and_then(|since| self.pace(load, &since));
            self.pace = pace.map_or(0.0, |pace| pace as f32);
            self.at = Stamp::at(now);
            (self.started, self.completed) = (load.started as u32, load.completed as u32);
        }
        self.surges = raised || shows;
    }

    /// When the growth since the count went up is known; nothing when it did not.
    pub fn shows_at(&self) -> Option<Moment> {
        Some(self.at.get().filter(|_| self.surges)? + SHORTEST)
    }

    /// Whether the count went up a moment ago.
    pub fn surges(&self) -> bool {
        self.surges
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What to expect; nothing while too little is known. `takes` is the time of a call as the windows
    /// know it.
    pub fn expected(&self, now: Moment, load: &Load, takes: Option<f64>) -> Option<Expected> {
        let since = self.since(now, load)?;
        let pace = self.pace(load, &since);
        let takes = match (takes, pace) {
            (Some(takes), Some(pace)) => takes.min(pace),
            (takes, pace) => takes.or(pace)?,
        };
        // Over less than this a few calls that come together look like a flood.
        let seconds = since.seconds.max(SHORTEST.as_secs_f64());
        let Since { arrived, ended, .. } = since;
        let (in_service, ahead) = (load.in_flight as f64, takes.min(AHEAD.as_secs_f64()));
        let soon = |chances: f64| {
            let growth = arrived - ended + chances * (arrived + ended).sqrt();
            let by_arrivals = takes * (arrived + chances * arrived.sqrt()) / seconds;
            (in_service + ahead * growth / seconds).min(by_arrivals).max(0.0)
        };
        Some(Expected { least: soon(-CHANCE), most: pace.map(|_| soon(CHANCE)), takes })
    }

    fn since(&self, now: Moment, load: &Load) -> Option<Since> {
        let calls = |now: u64, then: u32| f64::from((now as u32).wrapping_sub(then));
        Some(Since {
            seconds: now.since(self.at.get()?).as_secs_f64(),
            arrived: calls(load.started, self.started),
            ended: calls(load.completed, self.completed),
        })
    }

    /// How long a call takes by how many end: full replicas end calls at that pace, however many wait.
    ///
    /// The pace before the mark holds until too few have ended for it to be the same still.
    fn pace(&self, load: &Load, since: &Since) -> Option<f64> {
        let served = load.in_flight as f64 * since.seconds;
        if since.ended >= ENOUGH {
            return Some(served / since.ended);
        }
        let before = Some(f64::from(self.pace)).filter(|pace| *pace > 0.0)?;
        (since.ended * SLOWER >= served / before - 1.0).then_some(before)
    }
}

/// The time of a call in seconds from a window's integral and ends; nothing while few have ended.
pub fn takes(call_nanos: u64, calls: u32) -> Option<f64> {
    let calls = f64::from(calls);
    (calls >= ENOUGH).then(|| call_nanos as f64 / 1e9 / calls)
}

/// So many calls as a load.
pub fn load_of(calls: f64) -> Fraction {
    Fraction { of: (calls * 1e6) as u128, over: 1_000_000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn load(in_flight: u64, waiting: u64, completed: u64) -> Load {
        let started = completed + in_flight + waiting;
        Load { in_flight, waiting, started, completed, ..Load::default() }
    }

    fn seen(load: &Load) -> Flow {
        let mut flow = Flow::default();
        flow.mark(Moment::ZERO, load, true);
        flow
    }

    #[test]
    fn growth_tells_the_load_to_come() {
        // Calls of two seconds: from 100 a second to 500, of which half a second has passed.
        let flow = seen(&load(200, 0, 1000));
        let now = Moment::ZERO + SECOND / 2;
        let expected = flow.expected(now, &load(388, 0, 1062), Some(2.0)).expect("enough ended");
        assert!((840.0..1000.0).contains(&expected.least), "{expected:?}");
        assert!(expected.most.is_some_and(|most| (1000.0..1160.0).contains(&most)), "{expected:?}");
        // What arrives as fast as it ends asks for no more than there is.
        let expected = flow.expected(now, &load(200, 0, 1050), Some(2.0)).expect("enough ended");
        assert!(expected.least <= 200.0);
    }

    #[test]
    fn a_backlog_is_no_load_that_lasts() {
        // Full with 300 calls of two seconds, 500 a second arrive, 5,000 wait.
        let flow = seen(&load(300, 5000, 1000));
        let now = Moment::ZERO + SECOND;
        let expected = flow.expected(now, &load(300, 5350, 1150), None).expect("enough ended");
        assert_eq!(expected.takes, 2.0);
        assert!(expected.most.is_some_and(|most| (1000.0..1120.0).contains(&most)), "{expected:?}");
    }

    #[test]
    fn calls_that_become_slow_have_no_pace() {
        let mut flow = seen(&load(10, 0, 0));
        let second = Moment::ZERO + SECOND;
        flow.mark(second, &load(10, 0, 100), false);
        let most = |millis: u64, ended: u64| {
            let now = second + Duration::from_millis(millis);
            let load = load(10, 30, 100 + ended);
            flow.expected(now, &load, Some(0.1)).expect("known").most
        };
        // A tenth of a second each until now: a moment later that holds still.
        assert!(most(5, 0).is_some());
        assert!(most(100, 5).is_some());
        // None has ended where thirty should have.
        assert_eq!(most(300, 0), None);
    }

    #[test]
    fn what_waits_is_not_in_service() {
        let mut flow = Flow::default();
        flow.wait(SECOND, &load(5, 0, 0), &load(5, 10, 0));
        let nanos = 10_000_000_000;
        let load = Load { concurrency_nanos: nanos, ..load(5, 10, 0) };
        assert_eq!(flow.in_service(&load).concurrency_nanos, nanos / 2);
    }
}
