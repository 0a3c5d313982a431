//! Idle policies on the frozen suite: `cargo bench -p tidegate-idler [-- SEED…]`.
//!
//! Prints a Pareto curve for each policy (cold starts against idle time), then how many cold starts the
//! adaptive policy avoids where it spends as much idle time as another: with pre-warming, and without it beside
//! what is possible. Tuned on seed 1; reports 2, 3 and 4.

mod bounds;
mod curve;
mod policies;
mod random;
mod suite;

use bounds::Bounds;
use curve::Curve;
use policies::{Order, Outcome, Policy, play};
use suite::{Kind, Suite};
use tidegate_core::Moment;
use tidegate_idler::{Price, Tuning};

const FUNCTIONS: u32 = 1000;
const DAYS: u32 = 14;
/// Seconds of idle time that are paid for one cold start.
const PRICES: [f64; 18] = [
    75.0, 110.0, 150.0, 210.0, 300.0, 420.0, 600.0, 850.0, 1200.0, 1700.0, 2400.0, 3400.0, 4800.0,
    6800.0, 9600.0, 13_600.0, 19_200.0, 38_400.0,
];

fn main() {
    let mut seeds: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    if seeds.is_empty() {
        seeds = vec![2, 3, 4];
    }
    for seed in seeds {
        report(seed);
    }
}

fn report(seed: u64) {
    let suite = Suite::new(seed, FUNCTIONS, DAYS);
    let order = Order::of(&suite);
    describe(seed, &suite);
    println!("| policy | idle h/day | cold | cold % | mean of functions % | timers % | starts/h |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let run = |name: &str, policy: &Policy| {
        let outcome = play(&suite, &order, policy);
        row(name, &outcome);
        outcome
    };
    let fixed = |minutes: &u32| {
        (
            format!("fixed {minutes} min"),
            run(&format!("fixed {minutes} min"), &Policy::Fixed(*minutes)),
        )
    };
    let mut others: Vec<_> = [1, 2, 5, 10, 15, 20, 30, 45, 60].iter().map(fixed).collect();
    others.push(("hybrid".to_owned(), run("hybrid", &Policy::Hybrid)));
    let adaptive = |prewarm: bool| {
        let tuning = Tuning::default();
        Curve::new(PRICES.map(|seconds| {
            let name =
                format!("adaptive{}, 1/{seconds} s", if prewarm { " + prewarm" } else { "" });
            let price = Price::fixed(1.0 / seconds);
            run(&name, &Policy::Adaptive { price, prewarm, tuning: tuning.clone() })
        }))
    };
    let (warmed, plain) = (adaptive(true), adaptive(false));
    for hours in [5000.0, 7000.0, 9000.0] {
        let price = Price::of_budget(Moment::ZERO, hours);
        let policy = Policy::Adaptive { price, prewarm: true, tuning: Tuning::default() };
        let outcome = run(&format!("adaptive + prewarm, {hours} h/day"), &policy);
        println!("| &nbsp; (price in the end 1/{:.0} s) | | | | | | |", 1.0 / outcome.price);
    }
    println!("\nWith pre-warming:\n\n| at the idle time of | cold starts | {COLUMNS}");
    println!("| --- | ---: | --- | ---: |");
    for (name, other) in &others {
        compare(name, other, &warmed, &[]);
    }
    let (bounds, timers) = (Bounds::of(&suite), Bounds::of(&suite).own_timers());
    println!(
        "\nWithout:\n\n| at the idle time of | cold starts | own best timers | clairvoyant | ours of own timers % | of clairvoyant % | {COLUMNS}"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |");
    for (name, other) in &others {
        let idle = other.idle_hours_a_day();
        let clairvoyant = bounds.clairvoyant(idle) as f64;
        compare(name, other, &plain, &[timers.at(idle, cold), Some(clairvoyant)]);
    }
    println!();
}

const COLUMNS: &str = "mean of functions % | timers % |";

fn cold(outcome: &Outcome) -> f64 {
    outcome.cold as f64
}

fn describe(seed: u64, suite: &Suite) {
    let seconds = f64::from(DAYS) * suite::DAY;
    let all = suite.functions.len() as f64;
    let share = |per_second: f64| {
        let few = suite.functions.iter().filter(|f| f.calls as f64 <= per_second * seconds);
        100.0 * few.count() as f64 / all
    };
    let timers = suite.functions.iter().filter(|f| f.kind == Kind::Timer).count();
    println!(
        "Seed {seed}, hash {:016x}: {} functions, {DAYS} days, {} calls; {:.0} % at most one an hour, {:.0} % at most one a minute, {:.0} % timers.\n",
        suite.hash(),
        suite.functions.len(),
        suite.calls(),
        share(1.0 / 3600.0),
        share(1.0 / 60.0),
        100.0 * timers as f64 / all,
    );
}

fn row(name: &str, outcome: &Outcome) {
    println!(
        "| {name} | {:.0} | {} | {:.3} | {:.2} | {:.3} | {:.0} |",
        outcome.idle_hours_a_day(),
        outcome.cold,
        outcome.cold_percent(),
        outcome.function_percent(),
        outcome.timer_percent(),
        outcome.starts_an_hour(),
    );
}

/// A row: the change of cold starts, that of the bounds, our share of theirs, and what else changed.
fn compare(name: &str, other: &Outcome, ours: &Curve, bounds: &[Option<f64>]) {
    let idle = other.idle_hours_a_day();
    let text = |value: Option<f64>, unit: &str| {
        value.map_or("-".to_owned(), |value| format!("{value:+.0}{unit}"))
    };
    let change = |cold: Option<f64>| Some(100.0 * cold? / other.cold as f64 - 100.0);
    let reached = change(ours.at(idle, cold));
    let possible = bounds.iter().map(|bound| change(*bound));
    let share = |possible: Option<f64>| Some(100.0 * reached? / possible?);
    let mut columns = vec![text(reached, " %")];
    columns.extend(possible.clone().map(|change| text(change, " %")));
    columns.extend(possible.map(|possible| text(share(possible), "").replace('+', "")));
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    println!(
        "| {name} ({idle:.0} h/day) | {} | {:.2} → {} | {} |",
        columns.join(" | "),
        other.function_percent(),
        number(ours.at(idle, Outcome::function_percent)),
        number(ours.at(idle, Outcome::timer_percent)),
    );
}
