//! The provider's part: replicas start, fail and start again, freeze, thaw and end.

use super::{Lane, NEVER};
use crate::stage::Stage;

/// First pause of a replica that failed to start; each further one is twice as long.
const FIRST_PAUSE: u64 = 100_000_000;
/// Longest pause.
const LONGEST_PAUSE: u64 = 30_000_000_000;
/// After this many failures of every replica those who wait are told.
const HOPELESS: u32 = 3;

/// One replica. A lane has them oldest first.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    pub id: u32,
    pub phase: Phase,
    /// When its phase ends by itself.
    pub until: u64,
    pub in_flight: u32,
    /// It gets no new calls since then.
    pub draining_since: Option<u64>,
    /// How often it failed to start.
    pub failures: u32,
}

/// What a replica does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Backoff,
    Ready,
    Frozen,
}

impl Lane {
    /// A replica that answers already.
    pub(super) fn add_ready(&mut self) {
        let id = self.new_id();
        self.replicas.push(Replica {
            id,
            phase: Phase::Ready,
            until: NEVER,
            in_flight: 0,
            draining_since: None,
            failures: 0,
        });
    }

    /// Makes the count of replicas `wanted`, those that drain not counted: frozen ones thaw first.
    pub(super) fn make_count(&mut self, now: u64, wanted: u32) {
        let counts =
            |replica: &Replica| replica.phase != Phase::Frozen && replica.draining_since.is_none();
        let live = self.replicas.iter().filter(|replica| counts(replica)).count() as u32;
        if live > wanted {
            self.drop_surplus(live - wanted);
        }
        let mut missing = wanted.saturating_sub(live);
        let delay = self.model.ready.draw(&mut self.random);
        for at in 0..self.replicas.len() {
            if missing > 0 && self.replicas[at].phase == Phase::Frozen {
                missing -= 1;
                let warm = self.model.warm.map_or(0, |warm| warm.draw(&mut self.random));
                let replica = &mut self.replicas[at];
                replica.phase = Phase::Starting;
                replica.until = now.saturating_add(warm).saturating_add(delay);
                self.account.thaws += 1;
            }
        }
        // A frozen one that is not needed now is ended.
        self.replicas.retain(|replica| replica.phase != Phase::Frozen);
        for _ in 0..missing {
            self.start(now);
        }
        self.recount();
    }

    /// All go, or `keep` of them are kept frozen.
    pub(super) fn make_zero(&mut self, now: u64, keep: u32) {
        let (mut kept, mut cut) = (0, 0);
        self.replicas.retain_mut(|replica| {
            let fits = matches!(replica.phase, Phase::Ready | Phase::Frozen);
            let stays = fits && replica.in_flight == 0 && kept < keep;
            kept += u32::from(stays);
            if stays {
                replica.phase = Phase::Frozen;
                replica.until = NEVER;
            } else {
                cut += u64::from(replica.in_flight);
            }
            stays
        });
        self.account.cut += cut;
        self.depart(now, cut);
        self.recount();
    }

    /// What was on its way has come, or has failed.
    pub(super) fn change_replicas(&mut self, now: u64, stage: &mut Stage<'_>) {
        for at in 0..self.replicas.len() {
            if self.replicas[at].until > now {
                continue;
            }
            match self.replicas[at].phase {
                Phase::Starting => self.started(now, at),
                Phase::Backoff => self.restart(now, at),
                Phase::Ready | Phase::Frozen => self.replicas[at].until = NEVER,
            }
        }
        self.recount();
        self.dispatch(now, stage);
        self.give_up_on_waiters(now);
        self.look(now, stage);
    }

    /// Counts replicas by what they do, and finds when the next of them changes by itself.
    pub(super) fn recount(&mut self) {
        let mut counts = super::Counts::default();
        let mut change_at = NEVER;
        for replica in &self.replicas {
            change_at = change_at.min(replica.until);
            match replica.phase {
                Phase::Starting | Phase::Backoff => counts.pending += 1,
                Phase::Frozen => counts.frozen += 1,
                Phase::Ready => {
                    counts.idle += u32::from(replica.in_flight == 0);
                    if replica.draining_since.is_some() {
                        counts.draining += 1;
                    } else {
                        counts.open += 1;
                    }
                }
            }
        }
        self.counts = counts;
        self.change_at = change_at;
    }

    /// Where the replica of this number is; they stand in the order of their numbers.
    pub(super) fn find(&self, id: u32) -> Option<usize> {
        match self.replicas.first() {
            Some(first) if first.id == id => Some(0),
            _ => self.replicas.binary_search_by_key(&id, |replica| replica.id).ok(),
        }
    }

    fn new_id(&mut self) -> u32 {
        self.next_replica += 1;
        self.next_replica
    }

    fn start(&mut self, now: u64) {
        let id = self.new_id();
        let until = self.start_ends(now);
        self.account.starts += 1;
        self.replicas.push(Replica {
            id,
            phase: Phase::Starting,
            until,
            in_flight: 0,
            draining_since: None,
            failures: 0,
        });
    }

    fn start_ends(&mut self, now: u64) -> u64 {
        let cold = self.model.cold.draw(&mut self.random);
        let delay = self.model.ready.draw(&mut self.random);
        now.saturating_add(cold).saturating_add(delay)
    }

    fn started(&mut self, now: u64, at: usize) {
        let fails = self.model.fail > 0.0 && self.random.chance(self.model.fail);
        let replica = &mut self.replicas[at];
        if fails {
            replica.failures += 1;
            replica.phase = Phase::Backoff;
            let pause = FIRST_PAUSE << (replica.failures - 1).min(16);
            replica.until = now + pause.min(LONGEST_PAUSE);
            self.account.failed_starts += 1;
        } else {
            replica.phase = Phase::Ready;
            replica.until = NEVER;
            replica.failures = 0;
        }
    }

    fn restart(&mut self, now: u64, at: usize) {
        let until = self.start_ends(now);
        self.account.starts += 1;
        let replica = &mut self.replicas[at];
        replica.phase = Phase::Starting;
        replica.until = until;
    }

    /// Answers waiting calls when every replica keeps failing.
    fn give_up_on_waiters(&mut self, now: u64) {
        let hopeless = |one: &Replica| one.phase == Phase::Backoff && one.failures >= HOPELESS;
        if !self.replicas.is_empty() && self.replicas.iter().all(hopeless) {
            self.fail_waiters(now);
        }
    }

    /// Those not ready go first, then the newest.
    fn drop_surplus(&mut self, mut surplus: u32) {
        for ready in [false, true] {
            for at in (0..self.replicas.len()).rev() {
                let replica = &self.replicas[at];
                let fits = (replica.phase == Phase::Ready) == ready
                    && replica.phase != Phase::Frozen
                    && replica.draining_since.is_none()
                    && replica.in_flight == 0;
                if surplus > 0 && fits {
                    surplus -= 1;
                    self.replicas.remove(at);
                }
            }
        }
    }
}
