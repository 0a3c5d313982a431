//! The scale loop's part: from a decision to at most one provider call, and on from there.

use super::{Lane, NEVER};
use crate::lane::replicas::Phase;
use crate::scaler::{Change, Verdict};
use crate::stage::Stage;
use tidegate_autoscaler::Depth;

/// A provider call under way.
#[derive(Clone, Debug)]
pub(super) struct Order {
    kind: Kind,
    /// What drained and is to be ended.
    victims: Vec<u32>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// This count above zero.
    Count(u32),
    /// To zero, with the gate shut; so many stay frozen.
    Zero { keep: u32 },
    /// Drained victims are ended; the count stays.
    Cleanup,
    /// Frozen ones are removed.
    Thrown,
}

impl Lane {
    pub(super) fn apply(&mut self, now: u64, verdict: Verdict, stage: &mut Stage<'_>) {
        self.look_again(now, verdict.look_again, &*stage.scaler);
        let from = self.desired;
        let order = match verdict.change {
            None => self.clean_up(now, stage),
            Some(Change { to, depth }) => {
                self.account_until(now, stage);
                self.scale(now, to.get(), depth, stage)
            }
        };
        if self.desired != from {
            self.account.scaled(now, from, self.desired, verdict.label);
        }
        if let Some(order) = order {
            self.order = Some(order);
            self.order_at = now.saturating_add(self.model.call.draw(&mut self.random));
        }
    }

    /// The provider call has returned: what it changed is there, and is looked at.
    pub(super) fn finish_order(&mut self, now: u64, stage: &mut Stage<'_>) {
        let Some(order) = self.order.take() else { return };
        self.order_at = NEVER;
        self.again = false;
        self.end_victims(now, &order.victims);
        match order.kind {
            Kind::Count(count) => self.make_count(now, count),
            Kind::Zero { keep } => self.make_zero(now, keep),
            Kind::Thrown => self.make_zero(now, 0),
            Kind::Cleanup => self.recount(),
        }
        self.dispatch(now, stage);
        self.look(now, stage);
    }

    fn scale(&mut self, now: u64, to: u32, depth: Depth, stage: &Stage<'_>) -> Option<Order> {
        let from = self.desired;
        if to == 0 {
            return self.fall_to_zero(depth, stage);
        }
        if to > from {
            self.undrain(to - from);
            // Whoever is told to end stays out of service, so the gate may open at once.
            self.closed = false;
        }
        self.set_desired(to);
        if to < from {
            self.pick_victims(now, self.counts.open.saturating_sub(to));
        }
        let victims = self.drained(now, stage);
        Some(Order { kind: Kind::Count(to), victims })
    }

    fn fall_to_zero(&mut self, depth: Depth, stage: &Stage<'_>) -> Option<Order> {
        if self.desired == 0 {
            return Some(Order { kind: Kind::Thrown, victims: Vec::new() });
        }
        // The gate shuts only when nobody is inside; else idleness waits for the next look.
        if self.inside > 0 && stage.scaler.drains() {
            return None;
        }
        self.closed = true;
        self.set_desired(0);
        let can = self.model.warm.is_some() && depth == Depth::Frozen;
        let keep = if can { self.facts.min } else { 0 };
        Some(Order { kind: Kind::Zero { keep }, victims: Vec::new() })
    }

    fn clean_up(&mut self, now: u64, stage: &Stage<'_>) -> Option<Order> {
        if self.counts.draining == 0 {
            return None;
        }
        let victims = self.drained(now, stage);
        (!victims.is_empty()).then_some(Order { kind: Kind::Cleanup, victims })
    }

    /// Takes victims back into service, oldest first.
    fn undrain(&mut self, mut count: u32) {
        if self.counts.draining == 0 {
            return;
        }
        for replica in self.replicas.iter_mut().filter(|one| one.draining_since.is_some()) {
            if count > 0 {
                count -= 1;
                replica.draining_since = None;
            }
        }
        self.recount();
    }

    /// The least busy go first, the newest among equals; they get no new calls.
    fn pick_victims(&mut self, now: u64, count: u32) {
        if count == 0 {
            return;
        }
        let mut open: Vec<usize> = (0..self.replicas.len()).rev().collect();
        open.retain(|at| {
            let replica = &self.replicas[*at];
            replica.phase == Phase::Ready && replica.draining_since.is_none()
        });
        open.sort_by_key(|at| self.replicas[*at].in_flight);
        for at in open.into_iter().take(count as usize) {
            self.replicas[at].draining_since = Some(now);
        }
        self.recount();
    }

    /// Victims whose calls are done, or that took longer than the drain limit.
    fn drained(&self, now: u64, stage: &Stage<'_>) -> Vec<u32> {
        if self.counts.draining == 0 {
            return Vec::new();
        }
        let over = |one: &&super::Replica| {
            let late = |since: u64| now - since >= stage.settings.drain_limit;
            one.draining_since.is_some_and(|since| one.in_flight == 0 || late(since))
        };
        self.replicas.iter().filter(over).map(|one| one.id).collect()
    }

    fn end_victims(&mut self, now: u64, victims: &[u32]) {
        for victim in victims {
            if let Some(at) = self.find(*victim) {
                let cut = u64::from(self.replicas.remove(at).in_flight);
                self.account.cut += cut;
                self.depart(now, cut);
            }
        }
    }
}
