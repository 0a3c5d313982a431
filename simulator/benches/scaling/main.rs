//! Scaling policies on seeded loads, side by side: `cargo bench -p tidegate-simulator --bench scaling [-- SUITE…]`.
//!
//! Prints one table for each load, then what the goals ask for: replicas against a clairvoyant, calls that
//! had to wait, actions, overshoot, and what a restart at constant load changes. Nothing here reads a clock:
//! the figures are the same on every machine.

mod causal;
mod restart;
mod suites;

use std::collections::BTreeMap;

use suites::{SUITES, Suite, WARM_UP};
use tidegate_simulator::generate::generate;
use tidegate_simulator::report::PolicyReport;
use tidegate_simulator::trace::Trace;
use tidegate_simulator::{Contender, Options, PolicyFile, run};

const OTHERS: [&str; 6] = ["openfaas-pro", "knative", "keda", "community", "fixed:10m", "oracle"];

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if wanted.iter().any(|one| one == "causal") {
        causal::report();
        return;
    }
    let fits = |suite: &&Suite| wanted.is_empty() || wanted.iter().any(|one| one == suite.name);
    let mut ours = Vec::new();
    for suite in SUITES.iter().filter(fits) {
        ours.push((suite, table(suite)));
    }
    println!("## Goals\n");
    println!(
        "| load | replica-seconds ÷ clairvoyant | waited % | actions a period | turns a period | peak ÷ needed |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (suite, [ours, oracle]) in &ours {
        goal(suite, ours, oracle);
    }
    if wanted.is_empty() {
        constant();
        restart::report();
    }
}

/// All policies on one load; gives back what ours and the clairvoyant did.
fn table(suite: &Suite) -> [PolicyReport; 2] {
    println!("## {}\n\n`{}`, replicas start in {}\n", suite.name, suite.trace, suite.cold);
    println!(
        "| policy | replica-seconds | ÷ clairvoyant | waited % | wait p99 ms | errors | actions | turns | peak |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let ours = play(suite, suite.trace, "tidegate");
    let others = OTHERS.map(|scaler| play(suite, suite.trace, scaler));
    let oracle = others[others.len() - 1].clone();
    for report in std::iter::once(&ours).chain(&others) {
        println!(
            "| {} | {:.0} | {:.2} | {:.3} | {:.0} | {} | {} | {} | {} |",
            report.name,
            report.replica_seconds,
            report.replica_seconds / oracle.replica_seconds,
            waited_percent(report),
            report.wait.p99 * 1000.0,
            report.errors.all,
            report.actions,
            report.oscillations,
            report.peak,
        );
    }
    println!();
    [ours, oracle]
}

fn play(suite: &Suite, trace: &str, scaler: &str) -> PolicyReport {
    let trace = generate(trace).expect("a good generator");
    let model = format!("cold={}", suite.cold).parse().expect("a good model");
    let options = Options { model, ..Options::default() };
    run(&trace, &contender(scaler, suite), &options, None).report
}

/// Its calls.
fn trace_of(suite: &Suite) -> Trace {
    generate(suite.trace).expect("a good generator")
}

/// Replica-seconds of one who knows them beforehand.
fn clairvoyant(suite: &Suite) -> f64 {
    play(suite, suite.trace, "oracle").replica_seconds
}

/// Everybody gets the same labels; those that somebody has no use for are not used.
fn contender(scaler: &str, suite: &Suite) -> Contender {
    let mut labels: BTreeMap<String, String> = [
        ("type", "capacity".to_owned()),
        ("target", suite.target.to_string()),
        ("min", "1".to_owned()),
        ("max", "200".to_owned()),
    ]
    .map(|(name, value)| (format!("com.openfaas.scale.{name}"), value))
    .into();
    if suite.zero {
        labels.insert("com.openfaas.scale.zero".to_owned(), "true".to_owned());
    }
    let mut file = PolicyFile::of_scaler(scaler);
    file.max_inflight = Some(suite.target);
    file.contender(&labels, scaler).expect("a good policy")
}

fn goal(suite: &Suite, ours: &PolicyReport, oracle: &PolicyReport) {
    let a_period = |count: u64| {
        suite.periods.map_or("-".to_owned(), |periods| format!("{:.1}", count as f64 / periods))
    };
    // What the formula asks for at the highest level of the load.
    let needed = (suite.highest / (0.9 * f64::from(suite.target))).ceil();
    let peak = match needed > 0.0 {
        true => format!("{:.2} ({} and {needed:.0})", f64::from(ours.peak) / needed, ours.peak),
        false => "-".to_owned(),
    };
    println!(
        "| {} | {:.2} | {:.3} | {} | {} | {peak} |",
        suite.name,
        ours.replica_seconds / oracle.replica_seconds,
        waited_percent(ours),
        a_period(ours.actions),
        a_period(ours.oscillations),
    );
}

/// Actions within ten minutes of constant noisy load, once the load is known.
fn constant() {
    println!("\n## Constant noisy load\n\nActions in 10 min, after the first {WARM_UP} min.\n");
    println!("| policy | even ± 10 % | Poisson |\n| --- | ---: | ---: |");
    for scaler in std::iter::once("tidegate").chain(OTHERS) {
        let [even, poisson] = ["even?rate=250&noise=0.1&takes=2s", "poisson?rate=250&takes=exp:2s"]
            .map(|trace| {
                let actions = |minutes: u32| {
                    let trace = format!("{trace}&duration={minutes}m");
                    play(&SUITES[0], &trace, scaler).actions
                };
                actions(WARM_UP + 10) - actions(WARM_UP)
            });
        println!("| {scaler} | {even} | {poisson} |");
    }
}

fn waited_percent(report: &PolicyReport) -> f64 {
    100.0 * report.waited as f64 / report.calls.max(1) as f64
}
