//! Idle policies on the frozen suite: `cargo bench -p tidegate-idler [-- SEED…]`.
//!
//! Prints a Pareto curve for each policy (cold starts against idle time), then how many cold starts the
//! adaptive policy avoids where it spends as much idle time as another. Tuned on seed 1; reports 2, 3 and 4.

mod curve;
mod policies;
mod random;
mod suite;

use curve::Curve;
use policies::{Order, Outcome, Policy, play};
use suite::{Kind, Suite};
use tidegate_core::Moment;
use tidegate_idler::{Price, Tuning};

const FUNCTIONS: u32 = 1000;
const DAYS: u32 = 14;
/// Seconds of idle time that are paid for one cold start.
const PRICES: [f64; 13] = [
    75.0, 150.0, 300.0, 600.0, 1200.0, 2400.0, 3400.0, 4800.0, 6800.0, 9600.0, 13_600.0, 19_200.0,
    38_400.0,
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
    let oracle = |seconds: &u32| run(&format!("oracle {seconds} s"), &Policy::Oracle(*seconds));
    let oracle = Curve::new([60, 300, 900, 2700, 5400, 10_800, 21_600].iter().map(oracle));
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
    println!(
        "\n| at the idle time of | cold starts | mean of functions % | timers % | without prewarming | oracle without it |"
    );
    println!("| --- | ---: | --- | ---: | ---: | ---: |");
    for (name, other) in &others {
        compare(name, other, &warmed, &plain, &oracle);
    }
    println!();
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

fn compare(name: &str, other: &Outcome, warmed: &Curve, plain: &Curve, oracle: &Curve) {
    let idle = other.idle_hours_a_day();
    let change = |curve: &Curve| {
        let cold = curve.at(idle, |outcome| outcome.cold as f64);
        cold.map_or("-".to_owned(), |cold| {
            format!("{:+.0} %", 100.0 * cold / other.cold as f64 - 100.0)
        })
    };
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let mean = number(warmed.at(idle, Outcome::function_percent));
    let timers = number(warmed.at(idle, Outcome::timer_percent));
    println!(
        "| {name} ({idle:.0} h/day) | {} | {:.2} → {mean} | {timers} | {} | {} |",
        change(warmed),
        other.function_percent(),
        change(plain),
        change(oracle),
    );
}
