//! What recording one call costs: in flight, started, completed, the integral of concurrency, the last end,
//! the gate, code and duration. `cargo bench -p tidegate-gateway --features bench --bench recording`.
//!
//! Every call reads the clock twice, once for itself and once for its end; that time is shown alone too.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use tidegate_core::{FunctionId, Replicas};
use tidegate_gateway::{Clock, Config, Entry, Table, bench};
use tidegate_provider::{Address, Deployment, FunctionStatus, Phase, Replica, ReplicaId};

const CALLS: u32 = 2_000_000;
const ROUNDS: usize = 7;

fn main() {
    let clock = Clock::new();
    let (table, _nudges) = Table::new(&Config::default(), clock.clone());
    let entries: Vec<_> = (0..2).map(|number| table.upsert(&status(number))).collect();
    let alone = best(1, |_| {
        time(|| {
            std::hint::black_box(clock.now());
        })
    });
    println!("reading the clock once: {alone:.1} ns");
    let call = |entry: &Arc<Entry>| time(|| bench::record(entry, clock.now()));
    println!("recording a call, one thread: {:.1} ns", best(1, |_| call(&entries[0])));
    println!("recording, two threads, two functions: {:.1} ns", best(2, |n| call(&entries[n])));
    println!("recording, two threads, one function: {:.1} ns", best(2, |_| call(&entries[0])));
}

/// Nanoseconds for each of many repetitions.
fn time(mut one: impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..CALLS {
        one();
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

/// The median round of so many threads at once, each round its slowest thread.
fn best(threads: usize, run: impl Fn(usize) -> f64 + Sync) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let barrier = Barrier::new(threads);
            std::thread::scope(|scope| {
                let workers: Vec<_> = (0..threads)
                    .map(|number| {
                        let (barrier, run) = (&barrier, &run);
                        scope.spawn(move || {
                            barrier.wait();
                            run(number)
                        })
                    })
                    .collect();
                workers
                    .into_iter()
                    .map(|worker| worker.join().expect("it only counts"))
                    .fold(0.0, f64::max)
            })
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn status(number: usize) -> FunctionStatus {
    let function = FunctionId::parse(&format!("bench{number}")).expect("a good name");
    let deployment = Deployment {
        function,
        image: "none".to_owned(),
        process: String::new(),
        env: Default::default(),
        labels: Default::default(),
        annotations: Default::default(),
        secrets: Vec::new(),
        constraints: Vec::new(),
        limits: None,
        requests: None,
        read_only_root: false,
    };
    let replica = Replica {
        id: ReplicaId::new("one".to_owned()),
        address: Some(Address::Tcp(([127, 0, 0, 1], 9).into())),
        phase: Phase::Ready,
        restarts: 0,
        detail: String::new(),
    };
    FunctionStatus {
        deployment: Arc::new(deployment),
        revision: 1,
        created: std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        desired: Replicas::ONE,
        replicas: vec![replica],
        crashes: Arc::default(),
    }
}
