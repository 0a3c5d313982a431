//! What the autoscaler keeps of one function; small, and smaller while it rests.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_core::{Load, Moment, Observation, Policy, Replicas};

use crate::Memory;
use crate::decision::{Hold, Reason};
use crate::window::Window;

/// Decisions kept of one function.
pub const HISTORY: usize = 50;
/// Wishes kept at most; a wish between two kept ones is counted as the higher of them.
const MOST_WISHES: usize = 16;

/// Longest that going to and fro makes a wish hold.
const LONGEST_HOLD: Duration = Duration::from_secs(300);
/// Doublings of the hold at most.
const MOST_FLAPS: u8 = 4;
/// After this long going to and fro is forgotten.
const FLAPS_FORGOTTEN: Duration = Duration::from_secs(900);

/// One function.
#[derive(Clone, Debug)]
pub struct Function {
    pub policy: Policy,
    pub window: Window,
    /// Wishes of the past that may still hold the count up: ever lower, ever newer.
    wishes: VecDeque<(Moment, Replicas)>,
    /// When something last gave the function a fresh grace.
    pub touched: Moment,
    /// Quiet time that an earlier run has seen.
    pub quiet_before: Duration,
    /// Since when it is at zero; and what an earlier run has seen of that.
    pub zero_since: Option<Moment>,
    pub zero_before: Duration,
    /// Since when replicas are on their way and none became ready.
    pub pending_since: Option<(Moment, Replicas)>,
    /// The rule for functions without a target has raised the count.
    pub raised: bool,
    /// When the rate of such a function was last above five; when its count last took a step.
    pub busy_at: Option<Moment>,
    pub stepped_at: Option<Moment>,
    /// When the load last took the count down, and how often it came back up soon after.
    down_at: Option<Moment>,
    flaps: u8,
    pub last: Option<Last>,
    pub history: VecDeque<Record>,
}

/// What was seen at the last look, for the explanation.
#[derive(Copy, Clone, Debug)]
pub struct Last {
    pub at: Moment,
    pub load: Option<Load>,
    pub desired: Replicas,
    pub ready: Replicas,
    pub pending: Replicas,
    pub draining: Replicas,
    pub frozen: Replicas,
    pub hold: Option<Hold>,
}

/// A decision of the past.
#[derive(Copy, Clone, Debug)]
pub struct Record {
    pub at: Moment,
    pub from: Replicas,
    pub to: Replicas,
    pub reason: Reason,
}

impl Function {
    pub fn new(now: Moment, policy: Policy, memory: Option<&Memory>) -> Self {
        let millis = |millis| Duration::from_millis(millis);
        let zero = memory.and_then(|memory| memory.zero_millis);
        Self {
            policy,
            window: Window::default(),
            wishes: VecDeque::new(),
            touched: now,
            quiet_before: memory.map_or(Duration::ZERO, |memory| millis(memory.quiet_millis)),
            zero_since: zero.map(|_| now),
            zero_before: zero.map_or(Duration::ZERO, millis),
            pending_since: None,
            raised: memory.is_some_and(|memory| memory.raised),
            busy_at: None,
            stepped_at: None,
            down_at: None,
            flaps: 0,
            last: None,
            history: VecDeque::new(),
        }
    }

    /// A new revision: its load is not the old one's, its grace is fresh.
    pub fn renew(&mut self, now: Moment, policy: Policy) {
        self.policy = policy;
        self.window.clear();
        self.pending_since = None;
        self.touch(now);
    }

    /// A look that comes late counts as one made at the last: time never goes back.
    pub fn not_before_last(&self, now: Moment) -> Moment {
        self.last.map_or(now, |last| now.max(last.at))
    }

    /// Gives a fresh grace.
    pub fn touch(&mut self, now: Moment) {
        self.touched = now;
        self.quiet_before = Duration::ZERO;
    }

    /// Notes a wish, which holds the count up for a while.
    pub fn wish(&mut self, now: Moment, wanted: Replicas) {
        while self.wishes.back().is_some_and(|(_, last)| *last <= wanted) {
            self.wishes.pop_back();
        }
        if self.wishes.len() >= MOST_WISHES {
            // The lowest two become one: as high as the one, as new as the other.
            self.wishes.back_mut().expect("there are many").0 = now;
            return;
        }
        self.wishes.push_back((now, wanted));
    }

    /// The highest wish of the last `span`.
    pub fn highest_wish(&mut self, now: Moment, span: Duration) -> Replicas {
        while self.wishes.front().is_some_and(|(at, _)| now.since(*at) > span) {
            self.wishes.pop_front();
        }
        self.wishes.front().map_or(Replicas::ZERO, |(_, wanted)| *wanted)
    }

    /// How long a wish holds the count up: the stable window or `down.window`, and twice as long each time
    /// the count went down too early.
    pub fn hold_span(&self, stable_window: Duration) -> Duration {
        let span = stable_window.max(self.policy.down_window.unwrap_or_default());
        (span * (1 << self.flaps)).min(LONGEST_HOLD.max(span))
    }

    /// The load took the count down.
    pub fn went_down(&mut self, now: Moment) {
        let long_ago = self.down_at.is_none_or(|at| now.since(at) > FLAPS_FORGOTTEN);
        if long_ago {
            self.flaps = 0;
        }
        self.down_at = Some(now);
    }

    /// The load took the count up; soon after going down, that was a step to and fro.
    pub fn went_up(&mut self, now: Moment, stable_window: Duration) {
        let soon = self.hold_span(stable_window) * 4;
        if self.down_at.is_some_and(|at| now.since(at) < soon) {
            self.flaps = (self.flaps + 1).min(MOST_FLAPS);
        }
    }

    /// Keeps track of replicas that do not become ready.
    pub fn watch_starts(&mut self, now: Moment, seen: &Observation) {
        if seen.pending.is_zero() {
            self.pending_since = None;
            return;
        }
        match self.pending_since {
            Some((_, ready)) if seen.ready <= ready => {}
            _ => self.pending_since = Some((now, seen.ready)),
        }
    }

    /// Forgets the memory of load, which a resting function does not need.
    pub fn rest(&mut self) {
        self.window.clear();
        self.wishes = VecDeque::new();
    }

    pub fn note(&mut self, record: Record) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(record);
    }

    /// Bytes this function takes, on the heap too.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.window.heap_bytes()
            + self.wishes.capacity() * size_of::<(Moment, Replicas)>()
            + self.history.capacity() * size_of::<Record>()
    }
}
