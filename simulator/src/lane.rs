//! One function in virtual time: its calls, its replicas, and what the scale loop does about them.
//!
//! ```text
//! lane.rs           what happens next, and what is seen
//! lane/calls.rs     a call arrives, is served or waits, and ends       (the gateway's part)
//! lane/replicas.rs  replicas start, fail, freeze and end               (the provider's part)
//! lane/apply.rs     a decision becomes at most one provider call       (the scale loop's part)
//! lane/account.rs   what it all costs
//! ```
//!
//! Functions share nothing but the scaler, so each lane turns on its own for a while.

mod account;
mod apply;
mod calls;
mod replicas;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tidegate_core::{FunctionId, Load, LoadType, Moment, Observation, Policy, Replicas, Target};

use crate::model::ProviderModel;
use crate::random::Random;
use crate::scaler::Scaler;
use crate::stage::{Settings, Stage};
use crate::trace::{Call, Stream, Traced};

pub(crate) use account::Account;
use apply::Order;
use replicas::Replica;

/// Never.
const NEVER: u64 = u64::MAX;

/// One function.
pub(crate) struct Lane {
    number: usize,
    seen: Observation,
    // What arrives.
    stream: Stream,
    next: Option<Call>,
    // The gateway's part.
    room: VecDeque<Waiter>,
    /// When the oldest of them has waited for too long.
    deadline: u64,
    ends: BinaryHeap<Reverse<(u64, u32)>>,
    inside: u64,
    started: u64,
    completed: u64,
    concurrency: u64,
    metered: u64,
    last_end: Option<u64>,
    closed: bool,
    quiet: bool,
    nudge_above: u64,
    // The provider's part.
    replicas: Vec<Replica>,
    next_replica: u32,
    counts: Counts,
    change_at: u64,
    model: ProviderModel,
    random: Random,
    // The scale loop's part.
    desired: u32,
    order: Option<Order>,
    order_at: u64,
    again: bool,
    look_at: u64,
    facts: Facts,
    /// What it cost.
    pub(crate) account: Account,
}

/// What the policy says, as the lane needs it.
#[derive(Clone, Debug)]
struct Facts {
    min: u32,
    max: u32,
    limit: Option<u32>,
    /// What one replica should carry, times 10¹², where calls in flight decide it.
    carries: Option<u128>,
    /// Calls in flight that one replica should carry at most; none when that is no matter.
    target_in_flight: Option<f64>,
    /// Calls a second that one replica should carry at most; none when that is no matter.
    target_rate: Option<f64>,
}

/// A call that waits.
#[derive(Copy, Clone, Debug)]
struct Waiter {
    at: u64,
    takes: u64,
    /// It waits for a start, not for a slot.
    cold: bool,
}

/// How many replicas are in which phase.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    open: u32,
    pending: u32,
    draining: u32,
    frozen: u32,
    /// Open or draining, with nothing in flight.
    idle: u32,
}

/// Which kind of thing happens next. The order decides between things at the same time.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    End,
    Replica,
    Ordered,
    Arrival,
    Deadline,
    Look,
}

impl Facts {
    fn new(policy: &Policy, limit: Option<u32>) -> Self {
        let (carries, in_flight, rate) = match policy.target {
            Target::Load { load: LoadType::Capacity, target, proportion } => {
                let carries = u128::from(target.millionths()) * u128::from(proportion.millionths());
                (Some(carries).filter(|carries| *carries > 0), Some(target.as_f64()), None)
            }
            Target::Load { load: LoadType::Rps, target, .. } => (None, None, Some(target.as_f64())),
            _ => (None, None, None),
        };
        Self {
            min: policy.bounds.min().get(),
            max: policy.bounds.max().get(),
            limit,
            carries,
            target_in_flight: in_flight.or(limit.map(f64::from)),
            target_rate: rate,
        }
    }
}

impl Lane {
    pub(crate) fn new(
        number: usize,
        traced: &Traced,
        settings: &Settings,
        policy: &Policy,
    ) -> Self {
        let mut stream = traced.calls.stream();
        let mut model = settings.model.clone();
        if let Some(cold) = traced.cold {
            model.cold = cold;
        }
        if let Some(fail) = traced.fail {
            model.fail = fail;
        }
        let next = stream.next();
        Self {
            number,
            seen: first_sight(&traced.id, settings.max_inflight),
            stream,
            next,
            room: VecDeque::new(),
            deadline: NEVER,
            ends: BinaryHeap::new(),
            inside: 0,
            started: 0,
            completed: 0,
            concurrency: 0,
            metered: 0,
            last_end: None,
            closed: false,
            quiet: true,
            nudge_above: NEVER,
            replicas: Vec::new(),
            next_replica: 0,
            counts: Counts::default(),
            change_at: NEVER,
            model,
            random: Random::of(settings.seed, crate::hash::of(traced.id.as_str().as_bytes())),
            desired: 0,
            order: None,
            order_at: NEVER,
            again: false,
            look_at: NEVER,
            facts: Facts::new(policy, settings.max_inflight),
            account: Account::default(),
        }
    }

    /// The function is deployed: its first replicas answer already.
    pub(crate) fn deploy(&mut self, stage: &mut Stage<'_>) {
        self.desired = self.facts.min;
        for _ in 0..self.desired {
            self.add_ready();
        }
        self.recount();
        self.reset_nudge_above(0);
        self.look(0, stage);
    }

    /// Turns until something would happen at or after `until`.
    pub(crate) fn run_until(&mut self, until: u64, stage: &mut Stage<'_>) {
        loop {
            let (at, event) = self.next_event();
            if at >= until {
                return;
            }
            // Most looks change nothing; one that does counts what was there first.
            if event != Event::Look {
                self.account_until(at, stage);
            }
            match event {
                Event::Arrival => self.arrive(at, stage),
                Event::End => self.end(at, stage),
                Event::Look => {
                    self.look_at = NEVER;
                    self.look(at, stage);
                }
                Event::Deadline => self.give_up(at, stage),
                Event::Replica => self.change_replicas(at, stage),
                Event::Ordered => self.finish_order(at, stage),
            }
        }
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> u64 {
        self.next_event().0
    }

    /// Closes the books.
    pub(crate) fn finish(&mut self, end: u64, stage: &mut Stage<'_>) {
        self.account_until(end, stage);
        self.close_bucket(stage);
        self.account.unfinished = self.inside;
        self.account.still_waiting = self.room.len() as u64;
    }

    fn next_event(&self) -> (u64, Event) {
        let arrival = self.next.map_or(NEVER, |call| call.at);
        let end = self.ends.peek().map_or(NEVER, |Reverse((at, _))| *at);
        let mut next = (end, Event::End);
        for other in [
            (self.change_at, Event::Replica),
            (self.order_at, Event::Ordered),
            (arrival, Event::Arrival),
            (self.deadline, Event::Deadline),
            (self.look_at, Event::Look),
        ] {
            if other.0 < next.0 {
                next = other;
            }
        }
        next
    }
}

// --- what is seen, and what is done about it

impl Lane {
    /// Looks now, or as soon as the order under way is done.
    fn look(&mut self, now: u64, stage: &mut Stage<'_>) {
        if self.order.is_some() {
            self.again = true;
            return;
        }
        self.observe(now);
        let at = Moment::from_nanos(now);
        let verdict = stage.scaler.decide(at, self.number, &self.seen);
        self.account.looks += 1;
        if let Some(recorder) = &mut stage.recorder {
            recorder.look(at, &self.seen, &verdict);
        }
        self.apply(now, verdict, stage);
    }

    fn observe(&mut self, now: u64) {
        self.meter(now);
        let waiting = self.room.len() as u64;
        self.reset_nudge_above(self.inside);
        let seen = &mut self.seen;
        seen.load = Some(Load {
            in_flight: self.inside - waiting,
            waiting,
            started: self.started,
            completed: self.completed,
            concurrency_nanos: self.concurrency,
            last_end: self.last_end.map(Moment::from_nanos),
        });
        let ready = if self.closed { 0 } else { self.counts.open };
        seen.desired = Replicas::new(self.desired);
        seen.ready = Replicas::new(ready);
        // What was asked for a moment ago may not have been reported yet.
        let pending = self.counts.pending.max(self.desired.saturating_sub(ready));
        seen.pending = Replicas::new(pending);
        seen.draining = Replicas::new(self.counts.draining);
        seen.frozen = Replicas::new(self.counts.frozen);
    }

    /// Brings the integral of concurrency up to now.
    fn meter(&mut self, now: u64) {
        self.concurrency += self.inside * (now - self.metered);
        self.metered = now;
    }

    /// The next look, as the scale loop plans it: a function with calls open may not rest.
    fn look_again(&mut self, now: u64, at: Option<Moment>, scaler: &dyn Scaler) {
        let at = at.map_or(NEVER, Moment::as_nanos);
        let Some(tick) = scaler.tick() else {
            // Others plan their own looks; whoever plans none is woken by the next arrival.
            self.look_at = at;
            self.quiet = true;
            return;
        };
        let tick = now + crate::span::nanos(tick);
        if at > tick && self.inside == 0 {
            self.quiet = true;
            self.look_at = at;
        } else {
            self.look_at = at.min(tick);
        }
    }

    /// Puts the mark back to what the replicas asked for should carry, if `demand` is not above it.
    fn reset_nudge_above(&mut self, demand: u64) {
        let mark = match self.facts.carries {
            Some(carries) if self.desired < self.facts.max => {
                capacity(u128::from(self.desired), carries)
            }
            _ => NEVER,
        };
        if demand <= mark {
            self.nudge_above = mark;
        }
    }

    fn set_desired(&mut self, to: u32) {
        self.desired = to;
        self.reset_nudge_above(0);
    }
}

const MILLIONTH_SQUARED: u128 = 1_000_000_000_000;

/// Whole calls that `replicas` should carry.
fn capacity(replicas: u128, carries: u128) -> u64 {
    u64::try_from(replicas.saturating_mul(carries) / MILLIONTH_SQUARED).unwrap_or(NEVER - 1)
}

fn first_sight(function: &FunctionId, limit: Option<u32>) -> Observation {
    Observation {
        function: function.clone(),
        revision: 1,
        load: None,
        desired: Replicas::ZERO,
        ready: Replicas::ZERO,
        pending: Replicas::ZERO,
        draining: Replicas::ZERO,
        frozen: Replicas::ZERO,
        created: Replicas::ZERO,
        replica_limit: limit,
    }
}
