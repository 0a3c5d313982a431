//! The gateway's part: a call arrives, takes a slot or waits for one, and ends.

use std::cmp::Reverse;

use super::{Lane, MILLIONTH_SQUARED, NEVER, Waiter, capacity};
use crate::lane::replicas::Phase;
use crate::stage::Stage;

impl Lane {
    pub(super) fn arrive(&mut self, now: u64, stage: &mut Stage<'_>) {
        let Some(call) = self.next.take() else { return };
        self.next = self.stream.next();
        self.meter(now);
        self.inside += 1;
        self.started += 1;
        self.account.arrived(now, &self.facts, self.counts.open);
        let mut nudge = std::mem::take(&mut self.quiet);
        if self.inside > self.nudge_above {
            nudge = true;
            self.raise_mark();
        }
        let slot = if !self.closed && self.room.is_empty() { self.slot() } else { None };
        match slot {
            Some(slot) => {
                stage.waits.record(0);
                self.serve(now, slot, call.takes);
            }
            None => nudge |= self.wait(now, call.takes, stage),
        }
        if nudge {
            self.look(now, stage);
        }
    }

    pub(super) fn end(&mut self, now: u64, stage: &mut Stage<'_>) {
        let Some(Reverse((_, id))) = self.ends.pop() else { return };
        // The calls of a replica that was ended with them were counted then.
        let Some(slot) = self.find(id) else { return };
        let replica = &mut self.replicas[slot];
        replica.in_flight -= 1;
        let emptied = replica.in_flight == 0;
        let drained = emptied && replica.draining_since.is_some();
        self.counts.idle += u32::from(emptied);
        self.depart(now, 1);
        if !self.room.is_empty() {
            self.dispatch(now, stage);
        }
        if drained {
            self.look(now, stage);
        }
    }

    /// Those who wait for too long are answered 503 or 504.
    pub(super) fn give_up(&mut self, now: u64, stage: &mut Stage<'_>) {
        if let Some(waiter) = self.room.pop_front() {
            self.account.cold += u64::from(waiter.cold);
            self.account.timed_out += 1;
            self.depart(now, 1);
        }
        self.set_deadline(stage.settings.wait_limit);
    }

    /// A start failed for good: whoever waits is answered 503.
    pub(super) fn fail_waiters(&mut self, now: u64) {
        let failed = self.room.len() as u64;
        self.account.cold += self.room.iter().filter(|waiter| waiter.cold).count() as u64;
        self.account.start_failed += failed;
        self.room.clear();
        self.deadline = NEVER;
        self.depart(now, failed);
    }

    /// Hands free slots to those who wait, the oldest first.
    pub(super) fn dispatch(&mut self, now: u64, stage: &mut Stage<'_>) {
        while !self.closed
            && let Some(waiter) = self.room.front().copied()
        {
            let Some(slot) = self.slot() else { break };
            self.room.pop_front();
            stage.waits.record(now - waiter.at);
            if waiter.cold {
                self.account.cold += 1;
                stage.cold_waits.record(now - waiter.at);
            }
            self.account.waited += 1;
            self.serve(now, slot, waiter.takes);
        }
        self.set_deadline(stage.settings.wait_limit);
    }

    /// Calls have ended, however they did.
    pub(super) fn depart(&mut self, now: u64, calls: u64) {
        if calls == 0 {
            return;
        }
        self.meter(now);
        self.inside -= calls;
        self.completed += calls;
        self.last_end = Some(now);
    }

    /// Waits; whether that is worth a nudge.
    fn wait(&mut self, now: u64, takes: u64, stage: &Stage<'_>) -> bool {
        if self.room.len() >= stage.settings.room_size {
            self.account.room_full += 1;
            self.depart(now, 1);
            return false;
        }
        let first = self.room.is_empty();
        let cold = self.closed || self.counts.open == 0;
        self.room.push_back(Waiter { at: now, takes, cold });
        if first {
            self.set_deadline(stage.settings.wait_limit);
        }
        first
    }

    fn set_deadline(&mut self, limit: u64) {
        self.deadline = self.room.front().map_or(NEVER, |waiter| waiter.at.saturating_add(limit));
    }

    fn serve(&mut self, now: u64, slot: usize, takes: u64) {
        let replica = &mut self.replicas[slot];
        self.counts.idle -= u32::from(replica.in_flight == 0);
        replica.in_flight += 1;
        self.ends.push(Reverse((now.saturating_add(takes), replica.id)));
    }

    /// The mark rises to what one more replica carries, so that a lasting overload nudges once for each.
    fn raise_mark(&mut self) {
        if let Some(carries) = self.facts.carries {
            let wanted = (u128::from(self.inside) * MILLIONTH_SQUARED).div_ceil(carries);
            self.nudge_above = capacity(wanted, carries);
        }
    }

    /// A replica with room: the least busy below the limit, the oldest among equals; without a limit the
    /// less busy of two.
    fn slot(&mut self) -> Option<usize> {
        if self.counts.open == 0 {
            return None;
        }
        let open = |replica: &super::Replica| {
            replica.phase == Phase::Ready && replica.draining_since.is_none()
        };
        let Some(limit) = self.facts.limit else { return self.one_of_two() };
        let mut least: Option<(usize, u32)> = None;
        for (slot, replica) in self.replicas.iter().enumerate() {
            let better = least.is_none_or(|(_, fewest)| replica.in_flight < fewest);
            if better && replica.in_flight < limit && open(replica) {
                least = Some((slot, replica.in_flight));
                if replica.in_flight == 0 {
                    break;
                }
            }
        }
        least.map(|(slot, _)| slot)
    }

    fn one_of_two(&mut self) -> Option<usize> {
        let open = self.counts.open as usize;
        // All are open nearly always, so that a pick seldom has to search.
        let pick = |lane: &Self, nth: usize| {
            if open == lane.replicas.len() {
                return Some(nth);
            }
            let fits = |(_, one): &(usize, &super::Replica)| {
                one.phase == Phase::Ready && one.draining_since.is_none()
            };
            lane.replicas.iter().enumerate().filter(fits).nth(nth).map(|(slot, _)| slot)
        };
        if open == 1 {
            return pick(self, 0);
        }
        let first = self.random.below(open as u64) as usize;
        let second = (first + 1 + self.random.below(open as u64 - 1) as usize) % open;
        let (first, second) = (pick(self, first)?, pick(self, second)?);
        let fewer = self.replicas[second].in_flight < self.replicas[first].in_flight;
        Some(if fewer { second } else { first })
    }
}
