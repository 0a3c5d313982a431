//! A thousand functions over fourteen days, about 24 million calls: the time of one policy on one core.
//! `cargo bench -p tidegate-simulator --bench fortnight [-- POLICY… KEY=VALUE…]`; `functions=100 duration=1d` is
//! short enough to count instructions.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::BTreeMap;
use std::time::Instant;

use tidegate_simulator::generate::generate;
use tidegate_simulator::record::Recorder;
use tidegate_simulator::trace::Trace;
use tidegate_simulator::{Contender, Options, PolicyFile, run};

fn main() {
    let args = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let (keys, only): (Vec<String>, Vec<String>) = args.partition(|arg| arg.contains('='));
    let spec = match keys.is_empty() {
        true => "functions=1000&duration=14d&calls=24000000".to_owned(),
        false => keys.join("&"),
    };
    let (begun, on_cpu) = (Instant::now(), cpu_nanos());
    let trace = generate(&format!("azure?{spec}")).expect("a good generator");
    let made: usize = trace.functions.iter().map(|one| one.calls.stream().count()).sum();
    let took = (cpu_nanos() - on_cpu) as f64 / 1e9;
    let wall = begun.elapsed().as_secs_f64();
    println!("trace: {made} calls, made in {took:.2} s of CPU, {wall:.2} s in all");
    let capacity = [("type", "capacity"), ("target", "5"), ("zero", "true")];
    let static_one = [("min", "1"), ("max", "1"), ("zero", "true")];
    let contenders = [
        ("capacity 5, zero", "tidegate", &capacity[..]),
        ("no target, zero", "tidegate", &capacity[2..]),
        ("one replica, zero", "tidegate", &static_one[..]),
        ("fixed timer", "fixed:10m", &capacity[..]),
        ("knative", "knative", &capacity[..]),
    ];
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| name.contains(one.as_str()));
    for (name, scaler, labels) in contenders.into_iter().filter(|(name, ..)| wanted(name)) {
        measure(&trace, name, &contender(scaler, labels), None);
    }
    if wanted("recorded") {
        let contender = contender("tidegate", &capacity);
        let settings = contender.settings(&Options::default());
        let recorder = Recorder::new(Box::new(std::io::sink()), &settings);
        measure(&trace, "capacity 5, zero, recorded to nowhere", &contender, Some(recorder));
    }
}

fn contender(scaler: &str, labels: &[(&str, &str)]) -> Contender {
    let labels = labels
        .iter()
        .map(|(name, value)| (format!("com.openfaas.scale.{name}"), (*value).to_owned()));
    let labels: BTreeMap<String, String> = labels.collect();
    PolicyFile::of_scaler(scaler).contender(&labels, scaler).expect("a good policy")
}

fn measure(trace: &Trace, name: &str, contender: &Contender, recorder: Option<Recorder>) {
    let (begun, on_cpu) = (Instant::now(), cpu_nanos());
    let report = run(trace, contender, &Options::default(), recorder).report;
    let wall = begun.elapsed().as_secs_f64();
    // Others may use this core too; their time is not ours.
    let took = (cpu_nanos() - on_cpu) as f64 / 1e9;
    println!(
        "{name}: {took:.2} s of CPU, {wall:.2} s in all; {} calls, {} looks, {} cold, {} actions, decisions {}; {:.0} ns a call, {:.0} ns a look",
        report.calls,
        report.looks,
        report.cold_starts,
        report.actions,
        report.decisions,
        took * 1e9 / report.calls as f64,
        took * 1e9 / report.looks.max(1) as f64,
    );
}

fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}
