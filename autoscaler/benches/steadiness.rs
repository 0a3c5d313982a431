//! What scaling costs and how often it acts, beside one who knows the load ahead. In virtual time.
//! `cargo bench -p tidegate-autoscaler --bench steadiness`.

#[path = "../tests/support/plant.rs"]
mod plant;

use plant::{Account, Noise, Plant, Shape, labels, run};

const SEEDS: u64 = 5;
const HOUR: u32 = 3600;

/// Actions in all and in a period, turns in a period; replica-seconds beside the formula applied to each
/// second by one who knows it ahead; seconds with more than the target on a ready replica; the highest
/// count beyond the highest that the formula asked for.
fn main() {
    println!(
        "{:34} {:>6} {:>8} {:>8} {:>7} {:>7} {:>9} {:>9}",
        "load, noise 10 %, 9 a replica",
        "start",
        "actions",
        "a period",
        "turns",
        "ratio",
        "late, %",
        "beyond, %"
    );
    for start in [0.0, 2.0, 10.0] {
        for (name, shape, warm, seconds, period) in suites() {
            let accounts: Vec<Account> = (1..=SEEDS)
                .map(|seed| {
                    let mut plant = Plant::new(&labels(), start);
                    run(&mut plant, shape, &mut Noise::new(seed, 10.0), warm, seconds)
                })
                .collect();
            print(name, start, &accounts, period);
        }
    }
    constant();
    threshold();
}

fn suites() -> Vec<(&'static str, Shape, u32, u32, u32)> {
    let (low, high) = (20.0, 100.0);
    vec![
        ("constant 57", Shape::Constant(57.0), 300, 600, 600),
        ("step 20 to 100, 10 min of 30", Shape::Step { low, high, seconds: 1800 }, 0, 1800, 1800),
        ("ramp 20 to 100 to 20 in 20 min", Shape::Ramp { low, high, seconds: 1200 }, 0, 1200, 1200),
        ("square 20/100, 10 min", Shape::Square { low, high, period: 600 }, 600, HOUR, 600),
        ("square 20/100, 20 min", Shape::Square { low, high, period: 1200 }, 1200, HOUR, 1200),
        ("square 80/100, 10 min", Shape::Square { low: 80.0, high, period: 600 }, 600, HOUR, 600),
        ("sine 20..100, 20 min", Shape::Sine { low, high, period: 1200 }, 1200, 2 * HOUR, 1200),
        (
            "sine 50..60, 10 min",
            Shape::Sine { low: 50.0, high: 60.0, period: 600 },
            1200,
            HOUR,
            600,
        ),
        (
            "spikes to 100, 20 s each 10 min",
            Shape::Spikes { low, high, long: 20, period: 600 },
            600,
            HOUR,
            600,
        ),
        ("diurnal 20..100, a day", Shape::Diurnal { low, high }, 0, 24 * HOUR, 24 * HOUR),
    ]
}

fn print(name: &str, start: f64, accounts: &[Account], period: u32) {
    let runs = accounts.len() as f64;
    let mean = |of: fn(&Account) -> f64| accounts.iter().map(of).sum::<f64>() / runs;
    let periods = f64::from(accounts[0].seconds) / f64::from(period);
    let actions = mean(|account| f64::from(account.actions));
    println!(
        "{name:34} {start:>4} s {actions:>8.1} {:>8.1} {:>7.1} {:>7.3} {:>9.2} {:>9.1}",
        actions / periods,
        mean(|account| f64::from(account.turns)) / periods,
        mean(Account::ratio),
        mean(Account::over_target_percent),
        mean(Account::overshoot_percent),
    );
}

/// Constant loads with noise: at each of many distances from a boundary, ten minutes after fifteen.
fn constant() {
    let (mut runs, mut moved, mut most) = (0, 0, 0);
    for level in 20..=100 {
        for seed in 0..SEEDS {
            let mut plant = Plant::new(&labels(), 2.0);
            let shape = Shape::Constant(f64::from(level));
            let account = run(&mut plant, shape, &mut Noise::new(seed, 10.0), 300, 600);
            runs += 1;
            moved += u32::from(account.actions > 0);
            most = most.max(account.actions);
        }
    }
    println!(
        "constant 20 to 100 with 10 % noise: {moved} of {runs} runs moved in 10 min, at most {most} times"
    );
}

/// Waves between just below and just above a boundary for an hour, at every half period.
fn threshold() {
    for (low, high) in [(43.0, 47.0), (41.0, 49.0), (45.0, 50.0)] {
        let most = [10, 20, 30, 40, 60, 120, 300, 600].map(|period| {
            let mut plant = Plant::new(&labels(), 0.0);
            let shape = Shape::Square { low, high, period };
            run(&mut plant, shape, &mut Noise::new(1, 0.0), 0, HOUR).actions
        });
        println!(
            "square {low}/{high} about the boundary 45, an hour, half periods 5 s to 5 min: {most:?} actions"
        );
    }
}
