//! Which frozen replicas give up their memory first: Greedy-Dual, as FaasCache has it.
//!
//! What was used often, takes long to start and is small stays. A clock rises with every eviction, so that
//! what is never used again goes in the end however dear it was.

use std::cmp::Ordering;

/// One function that is frozen.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Frozen<Id> {
    /// Which.
    pub id: Id,
    /// What it would free, in bytes; one at least is counted.
    pub bytes: u64,
    /// What its next start costs, in milliseconds.
    pub start_millis: u64,
    /// How often it was woken since it was last evicted.
    pub uses: u64,
    /// The clock of [`Eviction`] when it was last used.
    pub clock: u64,
}

/// Who goes, in this order, and where the clock stands then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction<Id> {
    /// Who goes, first to last.
    pub evicted: Vec<Id>,
    /// To be given to whatever is used from now on.
    pub clock: u64,
}

/// Chooses who goes so that all that are frozen fit into `budget` bytes. Integers only: no more go than
/// must, ties go by `Id`, and the order in which they are given does not matter.
pub fn evict<Id: Ord + Copy>(frozen: &[Frozen<Id>], budget: u64, clock: u64) -> Eviction<Id> {
    let mut used: u128 = frozen.iter().map(|replica| u128::from(replica.bytes)).sum();
    let mut queue: Vec<&Frozen<Id>> = frozen.iter().collect();
    queue.sort_unstable_by(|a, b| by_worth(a, b));
    let mut eviction = Eviction { evicted: Vec::new(), clock };
    for replica in queue {
        if used <= u128::from(budget) {
            break;
        }
        used -= u128::from(replica.bytes);
        eviction.evicted.push(replica.id);
        eviction.clock = eviction.clock.max(worth(replica));
    }
    eviction
}

/// Clock + uses × cost ÷ size, the size in MiB and the whole in thousandths.
fn worth<Id>(replica: &Frozen<Id>) -> u64 {
    let value = u128::from(replica.uses.max(1)) * u128::from(replica.start_millis.max(1));
    let scaled = value.saturating_mul(1000 << 20) / u128::from(replica.bytes.max(1));
    replica.clock.saturating_add(u64::try_from(scaled).unwrap_or(u64::MAX))
}

fn by_worth<Id: Ord>(a: &Frozen<Id>, b: &Frozen<Id>) -> Ordering {
    worth(a).cmp(&worth(b)).then_with(|| a.id.cmp(&b.id))
}
