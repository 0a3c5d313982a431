//! Every interleaving of arrivals, the way to zero and the wake, by loom.
//!
//! Run with `cargo test -p tidegate-gateway --features loom --test gate_loom`. Two things must hold: no
//! call is on a replica set that was told to go, and no call is lost: it cancels the way to zero, or it
//! nudges and is let in when the function has woken.

use std::sync::atomic::AtomicU32;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::{sync::Arc, thread};
use tidegate_gateway::gate::{Admission, Flag, Gate, Tally};

/// Marks the replica set as told to go.
const TOLD: u64 = 1 << 32;

/// A function as far as going to zero is concerned.
struct Function {
    gate: Gate,
    tallies: [Tally; 2],
    /// Calls on the replica set, and [`TOLD`] while it is told to go.
    replicas: AtomicU64,
    nudged: Flag,
    /// Calls in the waiting room.
    room: Mutex<u32>,
    /// Calls that were served; the model's own count, no part of what is explored.
    served: AtomicU32,
}

impl Function {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::new(),
            tallies: [Tally::new(), Tally::new()],
            replicas: AtomicU64::new(0),
            nudged: Flag::new(),
            room: Mutex::new(0),
            served: AtomicU32::new(0),
        })
    }

    /// One call, counted on its own shard.
    fn call(&self, shard: usize) {
        self.tallies[shard].arrive();
        match self.gate.admit() {
            Admission::Open => {
                self.serve(1);
                self.tallies[shard].leave();
            }
            Admission::Closed => {
                *self.room.lock().expect("nobody panics") += 1;
                self.nudged.raise();
                // Who joins looks once more, for the wake may just have been.
                self.dispatch();
            }
        }
    }

    /// Calls on the replica set.
    fn serve(&self, calls: u32) {
        let before = self.replicas.fetch_add(u64::from(calls), Ordering::AcqRel);
        assert!(before < TOLD, "a call on replicas that were told to go");
        self.replicas.fetch_sub(u64::from(calls), Ordering::AcqRel);
        self.served.fetch_add(calls, std::sync::atomic::Ordering::SeqCst);
    }

    /// Serves those who wait, unless the gate is closed.
    fn dispatch(&self) {
        let mut room = self.room.lock().expect("nobody panics");
        if *room > 0 && !self.gate.is_closed() {
            self.serve(std::mem::take(&mut *room));
        }
    }

    /// The scale loop's way to zero; whether it was gone to the end.
    fn zero(&self) -> bool {
        let inside = || self.tallies.iter().map(Tally::inside).sum();
        let Some(epoch) = self.gate.begin(inside) else { return false };
        if !self.gate.issue(epoch) {
            return false;
        }
        let calls = self.replicas.fetch_or(TOLD, Ordering::AcqRel);
        assert_eq!(calls, 0, "told to go with a call on them");
        true
    }

    /// The scale loop's wake, if it was asked for.
    fn wake(&self) {
        if self.nudged.lower() {
            self.replicas.fetch_and(!TOLD, Ordering::AcqRel);
            self.gate.reopen();
            self.dispatch();
        }
    }

    fn served(&self) -> u32 {
        self.served.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// Calls beside a loop that goes to zero and wakes.
fn explore(calls: usize, ways_to_zero: usize, preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let function = Function::new();
        let threads: Vec<_> = (0..calls)
            .map(|shard| {
                let function = Arc::clone(&function);
                thread::spawn(move || function.call(shard))
            })
            .collect();
        for _ in 0..ways_to_zero {
            if function.zero() {
                function.wake();
                break;
            }
        }
        for thread in threads {
            thread.join().expect("nobody panics");
        }
        // The loop comes round again: whatever nudge it has not found yet, it finds now.
        if function.gate.is_closed() {
            function.wake();
        }
        assert_eq!(function.served(), u32::try_from(calls).expect("few"), "a call was lost");
    });
}

#[test]
fn one_call_in_every_interleaving_with_two_ways_to_zero() {
    explore(1, 2, None);
}

#[test]
fn two_calls_on_two_shards_in_every_interleaving_of_up_to_three_preemptions() {
    explore(2, 1, Some(3));
}
