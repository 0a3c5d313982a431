//! Which replica gets a call.
//!
//! Without a limit: the one with fewer calls of two picked at random, which is nearly as good as looking
//! at all of them. With a hard limit: the one with the fewest calls below the limit, the oldest among
//! equals, so that the newest fall idle and can go.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tidegate_core::Moment;

use crate::replica::Handle;

/// Takes a slot on one of `open`, if there is one.
pub(crate) fn take_slot(
    open: &[Arc<Handle>],
    limit: Option<u32>,
    now: Moment,
) -> Option<Arc<Handle>> {
    match (open, limit) {
        ([], _) => None,
        ([only], _) => (only.is_fit(now) && only.take(limit)).then(|| Arc::clone(only)),
        (_, None) => two_choices(open, now),
        (_, Some(limit)) => least_below(open, limit, now),
    }
}

fn two_choices(open: &[Arc<Handle>], now: Moment) -> Option<Arc<Handle>> {
    let (first, second) = two_of(open.len());
    let (first, second) = (&open[first], &open[second]);
    let chosen = if second.in_flight() < first.in_flight() { second } else { first };
    if chosen.is_fit(now) && chosen.take(None) {
        return Some(Arc::clone(chosen));
    }
    // Quarantine and draining are rare, so a plain search is good enough then.
    let mut fit: Vec<_> = open.iter().filter(|one| one.is_fit(now)).collect();
    fit.sort_by_key(|one| one.in_flight());
    fit.into_iter().find(|one| one.take(None)).cloned()
}

fn least_below(open: &[Arc<Handle>], limit: u32, now: Moment) -> Option<Arc<Handle>> {
    loop {
        let mut least: Option<(&Arc<Handle>, u32)> = None;
        for one in open {
            let count = one.in_flight();
            let better = least.is_none_or(|(_, fewest)| count < fewest);
            if count < limit && better && !one.is_draining() && one.is_fit(now) {
                least = Some((one, count));
                if count == 0 {
                    break;
                }
            }
        }
        let (one, _) = least?;
        if one.take(Some(limit)) {
            return Some(Arc::clone(one));
        }
        // Somebody else took its last slot; another replica may have one.
    }
}

/// Two different numbers below `count`, which is at least two.
fn two_of(count: usize) -> (usize, usize) {
    let random = random();
    let first = (random as u32 as usize) % count;
    let step = ((random >> 32) as usize) % (count - 1);
    (first, (first + 1 + step) % count)
}

/// A random number, good enough to spread load and to tell calls apart; not a secret.
pub(crate) fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u64));
    }
    // SplitMix64.
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::PoolSettings;
    use tidegate_provider::{Address, ReplicaId};

    fn replicas(count: usize) -> Vec<Arc<Handle>> {
        let pool = PoolSettings {
            idle: 1,
            threads: 0,
            idle_timeout: Duration::ZERO,
            connect_timeout: Duration::ZERO,
        };
        let one = |number: usize| {
            let address = Address::Tcp(([127, 0, 0, 1], 1).into());
            Arc::new(Handle::new(&ReplicaId::new(number.to_string()), &address, &pool))
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn two_picks_differ_and_reach_everyone() {
        for count in 2..6 {
            let mut seen = vec![0; count];
            for _ in 0..1000 {
                let (first, second) = two_of(count);
                assert_ne!(first, second);
                seen[first] += 1;
                seen[second] += 1;
            }
            assert!(seen.iter().all(|times| *times > 0));
        }
    }

    #[test]
    fn load_is_spread_evenly_without_a_limit() {
        let open = replicas(4);
        for _ in 0..400 {
            take_slot(&open, None, Moment::ZERO).expect("there are replicas");
        }
        for one in &open {
            assert!((90..=110).contains(&one.in_flight()), "{}", one.in_flight());
        }
    }

    #[test]
    fn a_limit_is_kept_and_used_up_and_the_oldest_come_first() {
        let open = replicas(3);
        let ids: Vec<_> = (0..6)
            .map(|_| take_slot(&open, Some(2), Moment::ZERO).expect("six slots").id.to_string())
            .collect();
        assert_eq!(ids, ["0", "1", "2", "0", "1", "2"]);
        assert!(take_slot(&open, Some(2), Moment::ZERO).is_none());
    }

    #[test]
    fn draining_and_quarantined_replicas_are_passed_over() {
        let open = replicas(3);
        open[0].drain(Moment::ZERO);
        open[1].quarantine(Moment::from_secs(1));
        for limit in [None, Some(100)] {
            for _ in 0..20 {
                assert_eq!(
                    take_slot(&open, limit, Moment::ZERO).expect("one is left").id.as_str(),
                    "2"
                );
            }
        }
        assert_eq!(open[0].in_flight(), 0);
    }
}
