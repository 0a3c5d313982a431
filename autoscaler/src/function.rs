//! What the autoscaler keeps of one function; small, and smaller while it rests.

use std::num::NonZeroU64;
use std::time::Duration;

use tidegate_core::{Bounds, Load, LoadType, Moment, Observation, Policy, Replicas, Target};
use tidegate_idler::Habits;

use crate::Memory;
use crate::config::Settings;
use crate::decision::Hold;
use crate::flow::{Expected, Flow};
use crate::history::{History, Names, Record};
use crate::kept::{Community, Idle, Last, Pending};
use crate::measured::{CustomRule, Measure, Measures, Source};
use crate::memory::LastDecision;
use crate::rule::BUSY_SPAN;
use crate::rules::Rule;
use crate::stamp::Stamp;
use crate::window::{Counted, Ends, Fraction, Reading, Span, Window};
use crate::wishes::Wishes;

/// A silence longer than this is a gap: nothing is known of it.
const GAP: Duration = Duration::from_secs(5);

/// One function.
#[derive(Clone, Debug)]
pub struct Function {
    pub policy: Policy,
    /// One more than the revision; nothing before the first look.
    revision: Option<NonZeroU64>,
    stable: Window,
    fast: Window,
    /// Since when load was seen without a gap.
    watched: Stamp,
    /// When a look last saw that calls had begun or ended since the one before.
    stirred: Stamp,
    pub wishes: Wishes,
    pub flow: Flow,
    pub idle: Idle,
    /// The minimum of the labels while a schedule asks for more than that.
    pub own_min: Option<Replicas>,
    /// What was learnt of its silences, when its policy learns.
    pub habits: Option<Habits>,
    /// Since when replicas are on their way and none became ready; how many were ready then.
    pub pending_since: Pending,
    pub community: Community,
    pub last: Option<Last>,
    /// What was decided at the last look; nothing when the count was changed.
    pub hold: Option<Hold>,
    /// What is measured elsewhere, for those whose labels or rules want it.
    pub measures: Option<Box<Measures>>,
    /// The labels' first count was not there yet.
    pub initial_due: bool,
    /// No look is needed until its fast window is empty, unless a call comes: that silence is no gap.
    pub dozes: bool,
    /// It was sent to zero by hand.
    pub by_hand: bool,
    /// The rule for functions without a target has raised the count.
    pub raised: bool,
    pub history: History,
    /// What an earlier run last decided, and when that was restored.
    pub earlier: Option<Box<(Moment, LastDecision)>>,
}

/// The load, over three spans.
#[derive(Copy, Clone, Debug)]
pub struct Averages {
    pub stable: Fraction,
    pub fast: Fraction,
    /// Over about a second.
    pub lately: Fraction,
}

impl Function {
    pub fn new(now: Moment, policy: Policy, memory: Option<Memory>) -> Self {
        let measures = Measures::of(&policy);
        let initial_due = policy.pace.initial.is_some() && memory.is_none();
        let memory = memory.unwrap_or_default();
        Self {
            policy,
            revision: None,
            stable: Window::default(),
            fast: Window::default(),
            watched: Stamp::NONE,
            stirred: Stamp::NONE,
            wishes: Wishes::default(),
            flow: Flow::default(),
            idle: Idle::new(now, &memory),
            own_min: None,
            habits: memory.habits.as_deref().and_then(Habits::from_record),
            pending_since: Pending::default(),
            community: Community::default(),
            last: None,
            hold: None,
            measures,
            initial_due,
            dozes: false,
            by_hand: memory.by_hand,
            raised: memory.raised,
            history: History::default(),
            earlier: memory.last.map(|last| Box::new((now, *last))),
        }
    }

    /// A new revision: its load is not the old one's and its grace is fresh; the count stays held.
    fn renew(&mut self, now: Moment) {
        self.forget_load();
        if let Some(measures) = &mut self.measures {
            measures.forget();
        }
        self.pending_since = Pending::default();
        self.idle.touch(now);
    }

    /// Takes in what was seen. `load` is left out when it is missing, or older than what is known.
    pub fn see(&mut self, config: &Settings, now: Moment, seen: &Observation, load: Option<&Load>) {
        let revision = NonZeroU64::new(seen.revision.wrapping_add(1)).unwrap_or(NonZeroU64::MAX);
        if self.revision.replace(revision).is_some_and(|known| known != revision) {
            self.renew(now);
        }
        self.pending_since.see(now, seen);
        if let Some(measures) = &mut self.measures {
            measures.experience.see(now, seen.ready);
        }
        if let Some(load) = load {
            self.record(config, now, load);
        }
    }

    /// What is measured of this function.
    pub fn averages(&self, config: &Settings, load: LoadType) -> Option<Averages> {
        match load {
            LoadType::Rps => self.averages_of(config, Ends::rate),
            LoadType::Capacity => self.averages_of(config, Ends::concurrency),
            _ => None,
        }
    }

    fn averages_of(&self, config: &Settings, of: impl Fn(Ends) -> Fraction) -> Option<Averages> {
        Some(Averages {
            stable: of(self.stable.ends(config.stable)?),
            fast: of(self.fast.ends(config.fast)?),
            lately: of(self.fast.newest(config.fast)?),
        })
    }

    /// The load to expect from how calls flow now; nothing while too little is known.
    pub fn expected(&self, now: Moment, load: &Load) -> Option<Expected> {
        self.flow.expected(now, load, self.stable.takes())
    }

    /// Calls a second, of any function; nothing is known to be none.
    pub fn call_rate(&self, config: &Settings) -> f64 {
        self.stable.rate(self.span(config)).unwrap_or(Fraction::ZERO).as_f64()
    }

    /// What the longer of its windows looks back over.
    fn span(&self, config: &Settings) -> Span {
        if self.is_community() {
            config.busy
        } else if self.has_averages() {
            config.stable
        } else {
            config.rate
        }
    }

    /// Whether a rule asks for the averages of its load.
    fn has_averages(&self) -> bool {
        let load = Rule::of(&self.policy.target).map(|rule| rule.load);
        matches!(load, Some(LoadType::Rps | LoadType::Capacity))
    }

    /// Calls a second, for the rule without a target; nothing is known to be none.
    pub fn busy_rate(&self, config: &Settings) -> Fraction {
        self.stable.rate(config.busy).unwrap_or(Fraction::ZERO)
    }

    /// When the fast window no longer has any call, if none comes: from then on nothing in it is worth
    /// keeping. Nothing when no call was seen since it last rested.
    pub fn empties(&self, config: &Settings) -> Option<Moment> {
        let span = if self.is_community() { BUSY_SPAN } else { config.fast_window };
        Some(self.stirred.get()? + span)
    }

    /// Whether more than one call came or went since the last look. To rest between such calls would cost
    /// more looks than it saves, since the next arrival asks for one.
    pub fn is_called_often(&self, load: &Load) -> bool {
        let before = self.last.and_then(|last| last.load).unwrap_or_default();
        load.started.saturating_sub(before.started) > 1
            || load.completed.saturating_sub(before.completed) > 1
    }

    /// For how long load was seen without a gap.
    pub fn watched(&self, now: Moment) -> Duration {
        self.watched.get().map_or(Duration::ZERO, |since| now.since(since))
    }

    /// How long a wish holds the count up: the stable window or `down.window`, the longer of them.
    pub fn hold(&self, config: &Settings) -> Duration {
        self.policy.down_window.map_or(config.hold, |window| window.max(config.hold))
    }

    /// New labels: what was wanted until now holds on, for as long as they say.
    pub fn adopt(&mut self, config: &Settings, now: Moment, policy: Policy) {
        let held = self.wishes.held(now, self.hold(config));
        self.measures = Measures::adopt(self.measures.take(), &policy);
        self.policy = policy;
        self.own_min = None;
        self.wishes.clear();
        if let Some((count, _)) = held {
            self.wishes.note(now, count, self.hold(config));
        }
        self.renew(now);
    }

    /// With load a function has the least count that its labels want for it.
    pub fn activated(&self, wanted: Replicas) -> Replicas {
        let least = self.policy.pace.activation.filter(|_| !wanted.is_zero());
        least.map_or(wanted, |least| wanted.max(Replicas::new(u32::from(least.get()))))
    }

    /// The first count of a new function, until it was there.
    pub fn initial(&mut self, ready: Replicas) -> Option<Replicas> {
        let first = self.policy.pace.initial.filter(|_| self.initial_due)?;
        let first = self.policy.bounds.clamp(Replicas::new(u32::from(first.get())));
        self.initial_due = ready < first;
        Some(first).filter(|_| self.initial_due)
    }

    /// A schedule asks for so many at least, as far as the maximum allows; zero asks for nothing.
    pub fn floor(&mut self, least: Replicas) {
        let (min, max) = (self.policy.bounds.min(), self.policy.bounds.max());
        let own = self.own_min.take().unwrap_or(min);
        let raised = own.max(least).min(max);
        self.policy.bounds = Bounds::new(raised, max).unwrap_or(self.policy.bounds);
        self.own_min = (!least.is_zero()).then_some(own);
        // The rule without a target brings down what a schedule no longer asks for.
        self.raised |= raised < min;
    }

    /// Forgets the memory of load, which a resting function does not need.
    pub fn rest(&mut self) {
        self.forget_load();
        self.wishes.clear();
        self.stirred = Stamp::NONE;
        self.dozes = false;
    }

    /// Bytes this function takes, on the heap too.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.stable.heap_bytes()
            + self.fast.heap_bytes()
            + self.history.heap_bytes()
            + self.habits.as_ref().map_or(0, Habits::heap_bytes)
            + self.measures.as_ref().map_or(0, |measures| measures.bytes())
    }

    /// Keeps a decision.
    pub fn note(&mut self, record: &Record) {
        match &mut self.measures {
            Some(measures) => self.history.note(record, &mut measures.names),
            None => self.history.note(record, &mut Names::default()),
        }
    }

    /// The last decisions, oldest first.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.history.iter(self.names())
    }

    /// The last decision.
    pub fn last_record(&self) -> Option<Record> {
        self.history.last(self.names())
    }

    fn names(&self) -> &Names {
        self.measures.as_ref().map_or(Names::NONE, |measures| &measures.names)
    }

    /// Whether named rules scale it.
    pub fn has_rules(&self) -> bool {
        let named = |measure: &Measure| matches!(measure.source, Source::Rule(_));
        self.measures.as_ref().is_some_and(|measures| measures.iter().any(named))
    }

    /// Whether it has neither a target nor a rule: then the rule of the community edition scales it.
    pub fn is_community(&self) -> bool {
        matches!(self.policy.target, Target::Community { .. }) && !self.has_rules()
    }

    /// Replaces the named rules.
    pub fn set_rules(&mut self, rules: Vec<CustomRule>) {
        if self.measures.is_none() && rules.is_empty() {
            return;
        }
        let community = self.is_community();
        let measures = self.measures.get_or_insert_default();
        if !measures.has_rules(&rules) {
            measures.set_rules(rules);
            if self.is_community() != community {
                // Calls are counted otherwise from now on.
                self.forget_load();
            }
        }
    }

    fn forget_load(&mut self) {
        self.stable.clear();
        self.fast.clear();
        self.flow.clear();
        self.watched = Stamp::NONE;
    }

    fn record(&mut self, config: &Settings, now: Moment, load: &Load) {
        let known = self.last.and_then(|last| Some((last.known_at.get()?, last.load?)));
        let dozes_until = self.empties(config).filter(|_| self.dozes).unwrap_or_default();
        let gap = known.is_some_and(|(at, _)| now.since(at.max(dozes_until)) > GAP);
        let anew = gap || known.is_some_and(|(_, before)| began_anew(load, &before));
        if anew {
            self.forget_load();
        }
        let calls = |load: &Load| (load.started, load.completed);
        if calls(load) != known.map_or((0, 0), |(_, before)| calls(&before)) {
            self.stirred = Stamp::at(now);
        }
        let counted = match self.policy.target {
            // Load changes nothing: nothing is kept of it.
            _ if self.policy.bounds.is_static() => return,
            _ if self.is_community() => Counted::Begun,
            _ => Counted::Ended,
        };
        self.watched.get_or_insert(now);
        if let Some((at, before)) = known.filter(|_| !anew) {
            self.flow.wait(now.since(at), &before, load);
        }
        let reading = Reading::new(now, &self.flow.in_service(load), counted);
        self.stable.record(reading, self.span(config));
        if self.has_averages() {
            self.fast.record(reading, config.fast);
        }
    }
}

/// Whether a counter is lower than it was: the meter began anew.
pub fn began_anew(load: &Load, before: &Load) -> bool {
    load.concurrency_nanos < before.concurrency_nanos
        || load.completed < before.completed
        || load.started < before.started
}
