//! The time of one tick over many active functions, and what each takes. `cargo bench -p tidegate-autoscaler`.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::Instant;

use tidegate_autoscaler::{Autoscaler, Config, Source};
use tidegate_core::{FunctionId, Load, Moment, Observation, Policy, Replicas};

const TICKS: u64 = 60;

fn main() {
    run(100_000, "capacity", TICKS);
    run(100_000, "cpu", TICKS);
    run(1_000_000, "capacity", TICKS / 2);
}

/// So many functions of one kind, each with calls in every tick.
fn run(functions: u64, kind: &str, ticks: u64) {
    let labels = [("type", kind), ("target", "5"), ("zero", "true")];
    let labels =
        labels.map(|(name, value)| (format!("com.openfaas.scale.{name}"), value.to_owned()));
    let (policy, _) = Policy::from_labels(&labels.into_iter().collect()).expect("good labels");
    let mut autoscaler = Autoscaler::new(Config::default());
    let (mut seen, mut handles) = (Vec::new(), Vec::new());
    for number in 0..functions {
        let function = FunctionId::parse(&format!("f{number}")).expect("a good name");
        handles.push(autoscaler.insert(Moment::ZERO, function.clone(), policy.clone(), None));
        seen.push(observation(function));
    }
    let mut times = Vec::new();
    let mut on_cpu = 0;
    for tick in 1..=ticks {
        for (number, seen) in (0_u64..).zip(&mut seen) {
            let load = seen.load.as_mut().expect("always known");
            load.in_flight = (number + tick) % 4;
            load.concurrency_nanos += load.in_flight * 1_000_000_000;
            load.completed += 3;
        }
        if kind == "cpu" && tick % 5 == 0 {
            measure(&mut autoscaler, &seen, tick);
        }
        let (began, cpu_began) = (Instant::now(), cpu_nanos());
        for (handle, seen) in handles.iter().zip(&seen) {
            std::hint::black_box(autoscaler.decide_at(Moment::from_secs(tick), *handle, seen));
        }
        times.push(began.elapsed());
        on_cpu += cpu_nanos() - cpu_began;
    }
    times.sort();
    let median = times[times.len() / 2];
    let each = median.as_nanos() / u128::from(functions);
    println!(
        "{functions} active functions by {kind}: one tick {:.1} ms (median of {ticks}), {each} ns each",
        median.as_secs_f64() * 1e3
    );
    let cpu = on_cpu / ticks;
    println!("  of it on the CPU: {:.1} ms (mean), {} ns each", cpu as f64 / 1e6, cpu / functions);
    let bytes = autoscaler.bytes() / functions as usize;
    println!("  engine: {bytes} bytes each after {ticks} ticks");
}

/// A value for each, which is not part of the tick.
fn measure(autoscaler: &mut Autoscaler, seen: &[Observation], tick: u64) {
    let began = Instant::now();
    for (number, seen) in (0_u64..).zip(seen) {
        let value = ((number + tick) % 4) as f64;
        autoscaler.measured(Moment::from_secs(tick), &seen.function, &Source::Cpu, Ok(value));
    }
    if tick == TICKS {
        let took = began.elapsed();
        println!(
            "  a value for each of {} taken in: {:.1} ms",
            seen.len(),
            took.as_secs_f64() * 1e3
        );
    }
}

/// Time this thread was running, so that a busy machine can be told from a slow tick; 0 where unknown.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

fn observation(function: FunctionId) -> Observation {
    Observation {
        function,
        revision: 1,
        load: Some(Load::default()),
        desired: Replicas::ONE,
        ready: Replicas::ONE,
        pending: Replicas::ZERO,
        draining: Replicas::ZERO,
        frozen: Replicas::ZERO,
        created: Replicas::ZERO,
        replica_limit: None,
    }
}
