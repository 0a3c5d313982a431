//! What a policy could reach that does not know the future: `cargo bench -p tidegate-simulator --bench scaling -- causal`.
//!
//! A family of policies that read the rate of calls as it is now, of the last four tenths of a second and the one
//! that begins, times the mean time of a call, which they know beforehand. Each orders at once what that needs,
//! with some standard deviations of room for chance, and gives it back after a hold; an order takes its start-up
//! time to become ready. The best of them for each load, chosen afterwards, is what nobody who only watches calls
//! will beat by much. Beside it, the fewest changes of the count with which a clairvoyant covers the mean load of
//! each ten seconds for a given price.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tidegate_simulator::trace::Call;

use crate::suites::{SUITES, Suite};
use crate::{clairvoyant, trace_of};

const SECOND: u64 = 1_000_000_000;
/// How often a policy may change its mind.
const STEP: u64 = SECOND / 10;
/// Steps that the rate is read over, the one that begins among them.
const RATE: usize = 5;
/// Slots of the staircase, in steps.
const SLOT: usize = 100;
const MOST_CHANGES: usize = 40;

/// One policy of the family.
#[derive(Copy, Clone)]
struct Policy {
    /// Whether the calls inside count beside the rate.
    inside: bool,
    /// Standard deviations of room.
    room: f64,
    /// Steps that what was needed is held.
    hold: usize,
    /// Never fewer than this.
    floor: u32,
}

/// What one came to.
#[derive(Copy, Clone)]
struct Outcome {
    replica_seconds: f64,
    waited: f64,
}

pub fn report() {
    println!("## Without the future\n");
    println!(
        "| load | least ÷ clairvoyant at ≤ 1 % waited | least waited % at ≤ 1.15 | changes a period at ≤ 1.15 | price of 2 changes a period |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    for suite in SUITES.iter().filter(|suite| !suite.zero) {
        line(suite);
    }
}

fn line(suite: &Suite) {
    let calls: Vec<Call> = trace_of(suite).functions[0].calls.stream().collect();
    let end = trace_of(suite).end.as_nanos();
    let best = clairvoyant(suite);
    let outcomes: Vec<Outcome> =
        family(suite).into_iter().map(|policy| play(suite, &calls, end, policy)).collect();
    let ratio = |one: &Outcome| one.replica_seconds / best;
    let least = |values: &mut dyn Iterator<Item = f64>| {
        let least = values.fold(f64::INFINITY, f64::min);
        if least.is_finite() { format!("{least:.2}") } else { "none".to_owned() }
    };
    let good = least(&mut outcomes.iter().filter(|one| one.waited <= 1.0).map(ratio));
    let cheap = least(&mut outcomes.iter().filter(|one| ratio(one) <= 1.15).map(|one| one.waited));
    let (changes, price) = match suite.periods {
        None => ("-".to_owned(), "-".to_owned()),
        Some(periods) => staircase(suite, &calls, end, best, periods),
    };
    println!("| {} | {good} | {cheap} | {changes} | {price} |", suite.name);
}

fn family(suite: &Suite) -> Vec<Policy> {
    // Where the load has levels the lowest is above one replica already.
    let floors = if suite.highest > 0.0 { 1..=1 } else { 1..=3 };
    let mut all = Vec::new();
    for inside in [false, true] {
        for room in [0.0, 1.0, 2.0, 3.0] {
            for hold in [0, 50, 300] {
                for floor in floors.clone() {
                    all.push(Policy { inside, room, hold, floor });
                }
            }
        }
    }
    all
}

/// Calls inside at each step when none waits, and how many arrive in it.
fn loads(calls: &[Call], end: u64) -> (Vec<u32>, Vec<u32>) {
    let steps = (end / STEP) as usize + 1;
    let (mut change, mut arrived) = (vec![0_i64; steps + 1], vec![0_u32; steps]);
    for call in calls {
        let at = (call.at / STEP) as usize;
        let until = ((call.at + call.takes) / STEP) as usize;
        arrived[at.min(steps - 1)] += 1;
        change[at.min(steps)] += 1;
        change[until.min(steps)] -= 1;
    }
    let mut inside = 0;
    let inside = change[..steps].iter().map(|by| {
        inside += by;
        u32::try_from(inside).unwrap_or(0)
    });
    (inside.collect(), arrived)
}

fn play(suite: &Suite, calls: &[Call], end: u64, policy: Policy) -> Outcome {
    let start = start_of(suite);
    let takes = calls.iter().map(|call| call.takes as f64).sum::<f64>() / calls.len() as f64;
    let (_, arrived) = loads(calls, end);
    let steps = arrived.len();
    let (mut ends, mut room) = (BinaryHeap::new(), VecDeque::new());
    let (mut next, mut waited, mut cost) = (0, 0_u64, 0_u64);
    let mut wishes: VecDeque<(usize, u32)> = VecDeque::new();
    let mut orders: VecDeque<(u64, u32)> = VecDeque::new();
    let mut ready = policy.floor;
    for step in 0..steps {
        let now = step as u64 * STEP;
        // What is known now: the rate about now, and the calls inside.
        let around = &arrived[(step + 1).saturating_sub(RATE)..=step];
        let rate = around.iter().sum::<u32>() as f64 / (around.len() as f64 * STEP as f64);
        let inside = (ends.len() + room.len()) as f64;
        let load = if policy.inside { (rate * takes).max(inside) } else { rate * takes };
        let wanted = ((load + policy.room * load.sqrt()) / f64::from(suite.target)).ceil();
        let wanted = (wanted as u32).max(policy.floor);
        while wishes.back().is_some_and(|(_, wish)| *wish <= wanted) {
            wishes.pop_back();
        }
        wishes.push_back((step, wanted));
        while wishes.front().is_some_and(|(at, _)| at + policy.hold < step) {
            wishes.pop_front();
        }
        let desired = wishes.front().map_or(wanted, |(_, wish)| *wish);
        let ordered = orders.back().map_or(ready, |(_, count)| *count);
        if desired > ordered {
            orders.push_back((now + start, desired));
        } else {
            for (_, count) in &mut orders {
                *count = (*count).min(desired);
            }
            ready = ready.min(desired);
        }
        while let Some((_, count)) = orders.pop_front_if(|(at, _)| *at <= now) {
            ready = ready.max(count);
        }
        cost += u64::from(desired) * STEP;
        // Calls of this step.
        let slots = (ready * suite.target) as usize;
        while next < calls.len() && calls[next].at < now + STEP {
            let call = calls[next];
            next += 1;
            serve(&mut ends, &mut room, slots, call.at);
            if room.is_empty() && ends.len() < slots {
                ends.push(Reverse(call.at + call.takes));
            } else {
                waited += 1;
                room.push_back(call.takes);
            }
        }
        serve(&mut ends, &mut room, slots, now + STEP);
    }
    Outcome {
        replica_seconds: cost as f64 / SECOND as f64,
        waited: 100.0 * waited as f64 / calls.len() as f64,
    }
}

/// Calls end until `now`, and those that wait take their slots.
fn serve(ends: &mut BinaryHeap<Reverse<u64>>, room: &mut VecDeque<u64>, slots: usize, now: u64) {
    while let Some(Reverse(at)) = ends.peek().copied().filter(|Reverse(at)| *at <= now) {
        ends.pop();
        if ends.len() < slots
            && let Some(takes) = room.pop_front()
        {
            ends.push(Reverse(at + takes));
        }
    }
    // Slots that have just become ready.
    while ends.len() < slots
        && let Some(takes) = room.pop_front()
    {
        ends.push(Reverse(now + takes));
    }
}

fn start_of(suite: &Suite) -> u64 {
    let span: tidegate_simulator::Span = suite.cold.parse().expect("a good span");
    span.longest().as_nanos() as u64
}

/// The fewest changes a period that cover the mean load of each slot for 1.15 times the clairvoyant's price,
/// and the price of two.
fn staircase(suite: &Suite, calls: &[Call], end: u64, best: f64, periods: f64) -> (String, String) {
    let (inside, _) = loads(calls, end);
    let needs: Vec<usize> = inside
        .chunks(SLOT)
        .map(|slot| {
            let mean = slot.iter().sum::<u32>() as f64 / slot.len() as f64;
            (mean / f64::from(suite.target)).ceil().max(1.0) as usize
        })
        .collect();
    let changes = (MOST_CHANGES as f64 * periods) as usize;
    let prices = prices(&needs, changes);
    let ratio = |price: f64| price * (SLOT as u64 * STEP) as f64 / SECOND as f64 / best;
    let fewest = prices.iter().position(|price| ratio(*price) <= 1.15);
    let two = prices[(2.0 * periods) as usize];
    (
        fewest.map_or("none".to_owned(), |fewest| format!("{:.1}", fewest as f64 / periods)),
        format!("{:.2}", ratio(two)),
    )
}

/// The least sum of counts that covers `needs` with at most so many changes, for each number of them.
fn prices(needs: &[usize], changes: usize) -> Vec<f64> {
    let most = needs.iter().copied().max().unwrap_or(1);
    let none = f64::INFINITY;
    // By changes, then by count.
    let mut sums = vec![vec![none; most + 1]; changes + 1];
    sums[0] = vec![0.0; most + 1];
    for need in needs {
        let before = sums.clone();
        for (used, row) in sums.iter_mut().enumerate() {
            let other = match used {
                0 => none,
                _ => before[used - 1].iter().copied().fold(none, f64::min),
            };
            for (count, sum) in row.iter_mut().enumerate() {
                let cheapest = before[used][count].min(other);
                *sum = if count >= *need { cheapest + count as f64 } else { none };
            }
        }
    }
    let least = |row: &Vec<f64>| row.iter().copied().fold(none, f64::min);
    let mut prices: Vec<f64> = sums.iter().map(least).collect();
    for at in 1..prices.len() {
        prices[at] = prices[at].min(prices[at - 1]);
    }
    prices
}
