//! The clairvoyant: knows every call beforehand, so that none waits and no replica idles for long.
//!
//! A replica is ordered as long before it is needed as its start takes, and goes when it is not needed
//! for as long as another start would take. With a limit or a target of calls in flight it counts those;
//! with a target of calls a second it counts spans of 10 s.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::iter::Peekable;

use tidegate_core::{LoadType, Moment, Observation, Policy, Replicas};

use super::{SECOND, replicas_for, target};
use crate::model::ProviderModel;
use crate::scaler::{Scaler, Verdict};
use crate::span::nanos;
use crate::trace::{Stream, Traced};

const RATE_SPAN: u64 = 10 * SECOND;
/// What a start takes longer than the model says, so that rounding makes nobody wait.
const MARGIN: u64 = 1_000_000;

/// All functions.
pub(super) struct Oracle {
    model: ProviderModel,
    limit: Option<u32>,
    functions: Vec<Option<Function>>,
}

struct Function {
    policy: Policy,
    /// How long before it is needed a replica is ordered.
    lead: u64,
    needs: Peekable<Needs>,
    /// What is needed until when, falling; all of it ends after now.
    window: VecDeque<(u64, u32)>,
    /// What is needed from the last change that is known on.
    open: u32,
}

/// When the need changes, and to what.
struct Needs {
    calls: Peekable<Stream>,
    ends: BinaryHeap<Reverse<u64>>,
    inside: u64,
    each: f64,
    /// Calls a second that one replica carries, when that counts.
    rate: Option<f64>,
    /// With a rate: the end of what was needed last.
    until: Option<u64>,
}

impl Oracle {
    pub(super) fn new(functions: usize, model: ProviderModel, limit: Option<u32>) -> Self {
        Self { model, limit, functions: (0..functions).map(|_| None).collect() }
    }
}

impl Scaler for Oracle {
    fn insert(&mut self, _: Moment, lane: usize, policy: &Policy, traced: &Traced) {
        let cold = traced.cold.unwrap_or(self.model.cold).longest();
        let lead = nanos(cold + self.model.ready.longest() + self.model.call.longest()) + MARGIN;
        let found = target(policy);
        let by_target =
            found.filter(|(load, ..)| *load == LoadType::Capacity).map(|(_, target, _)| target);
        let limit = self.limit.map(f64::from);
        let each = limit.or(by_target).unwrap_or(f64::INFINITY);
        let rate = found
            .filter(|(load, ..)| *load == LoadType::Rps && limit.is_none())
            .map(|(_, target, _)| target);
        let needs = Needs {
            calls: traced.calls.stream().peekable(),
            ends: BinaryHeap::new(),
            inside: 0,
            each,
            rate,
            until: None,
        };
        self.functions[lane] = Some(Function {
            policy: policy.clone(),
            lead,
            needs: needs.peekable(),
            window: VecDeque::new(),
            open: 0,
        });
    }

    fn decide(&mut self, now: Moment, lane: usize, seen: &Observation) -> Verdict {
        let Some(function) = &mut self.functions[lane] else {
            return Verdict::stay("not_known", None);
        };
        let (wanted, again) = function.look(now.as_nanos());
        let again = again.map(Moment::from_nanos);
        let bounds = function.policy.bounds;
        let waiting = seen.load.map_or(0, |load| load.waiting);
        let least = match function.policy.zero {
            Some(_) if waiting == 0 => Replicas::ZERO,
            Some(_) => Replicas::ONE,
            None => bounds.min(),
        };
        let to = Replicas::new(wanted).clamp(least, bounds.max());
        let busy = seen.load.is_some_and(|load| load.demand() > 0);
        let stays = to == seen.desired || (to.is_zero() && busy);
        if stays {
            return Verdict::stay("foreseen", again);
        }
        Verdict::scale(to, "foreseen", again)
    }
}

impl Function {
    /// The most that is needed until a start that begins now would be over, and when that changes.
    fn look(&mut self, now: u64) -> (u32, Option<u64>) {
        while let Some((at, need)) = self.needs.next_if(|(at, _)| *at <= now + self.lead) {
            self.close(at);
            self.open = need;
        }
        while self.window.front().is_some_and(|(until, _)| *until <= now) {
            self.window.pop_front();
        }
        let front = self.window.front().copied();
        let wanted = front.map_or(0, |(_, need)| need).max(self.open);
        let comes = self.needs.peek().map(|(at, _)| at - self.lead);
        let ends = front.map(|(until, _)| until);
        (wanted, comes.into_iter().chain(ends).min())
    }

    /// What was open was needed until `at`.
    fn close(&mut self, at: u64) {
        while self.window.back().is_some_and(|(_, need)| *need <= self.open) {
            self.window.pop_back();
        }
        self.window.push_back((at, self.open));
    }
}

impl Iterator for Needs {
    type Item = (u64, u32);

    fn next(&mut self) -> Option<Self::Item> {
        match self.rate {
            Some(rate) => self.by_rate(rate),
            None => self.by_calls(),
        }
    }
}

impl Needs {
    fn by_calls(&mut self) -> Option<(u64, u32)> {
        let ends = self.ends.peek().map(|Reverse(at)| *at);
        let arrives = self.calls.peek().map(|call| call.at);
        let at = match (ends, arrives) {
            (Some(end), Some(arrival)) => end.min(arrival),
            (end, arrival) => end.or(arrival)?,
        };
        while self.ends.peek().is_some_and(|Reverse(end)| *end <= at) {
            self.ends.pop();
            self.inside -= 1;
        }
        while let Some(call) = self.calls.next_if(|call| call.at <= at) {
            self.ends.push(Reverse(call.at.saturating_add(call.takes.max(1))));
            self.inside += 1;
        }
        let need = replicas_for(self.inside as f64, self.each).max(u32::from(self.inside > 0));
        Some((at, need))
    }

    /// What a span needs is needed from its first call on until the last one has ended.
    fn by_rate(&mut self, rate: f64) -> Option<(u64, u32)> {
        if let Some(until) = self.until.take() {
            let goes_on = self.calls.peek().is_some_and(|call| call.at <= until);
            if !goes_on {
                return Some((until, 0));
            }
        }
        let first = *self.calls.peek()?;
        let span_ends = first.at - first.at % RATE_SPAN + RATE_SPAN;
        let (mut count, mut until) = (0_u64, first.at);
        while let Some(call) = self.calls.next_if(|call| call.at < span_ends) {
            count += 1;
            until = until.max(call.at + call.takes.max(1));
        }
        self.until = Some(until.max(span_ends));
        let need = replicas_for(count as f64, rate * (RATE_SPAN / SECOND) as f64).max(1);
        Some((first.at, need))
    }
}
