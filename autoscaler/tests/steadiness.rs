//! Loads with noise in virtual time: how seldom the count moves, and what that costs.

mod support;

use proptest::prelude::*;
use support::plant::{Account, Noise, Plant, Shape, labels, run};

const HOUR: u32 = 3600;

fn noisy(shape: Shape, start: f64, warm: u32, seconds: u32, seed: u64) -> Account {
    let mut plant = Plant::new(&labels(), start);
    run(&mut plant, shape, &mut Noise::new(seed, 10.0), warm, seconds)
}

/// Where the mean lies at a boundary or up to four percent below it, an average of 30 s crosses it now and
/// then; the count then goes up once and stays.
#[test]
fn noise_about_a_constant_load_moves_nothing_for_ten_minutes() {
    let loads = (20..=100).flat_map(|level| (0..3).map(move |seed| (f64::from(level), seed)));
    let accounts: Vec<Account> =
        loads.map(|(level, seed)| noisy(Shape::Constant(level), 2.0, 300, 600, seed)).collect();
    let moved = accounts.iter().filter(|account| account.actions > 0).count();
    assert!(accounts.iter().all(|account| account.actions <= 1));
    assert!(moved * 100 <= accounts.len() * 5, "{moved} of {} moved", accounts.len());
}

#[test]
fn a_square_wave_about_a_boundary_moves_at_most_four_times_in_an_hour() {
    // Nine calls a replica: 45 is a boundary. Half periods from 5 s to 15 min.
    for (low, high) in [(43.0, 47.0), (41.0, 49.0), (45.0, 46.0), (45.0, 50.0)] {
        for period in [10, 20, 40, 60, 90, 120, 240, 600, 1200, 1800] {
            let mut plant = Plant::new(&labels(), 2.0);
            let shape = Shape::Square { low, high, period };
            let account = run(&mut plant, shape, &mut Noise::new(1, 0.0), 0, HOUR);
            assert!(account.actions <= 4, "{low} {high} {period}: {:?}", account.changes);
        }
    }
}

#[test]
fn waves_with_noise_turn_twice_a_period_and_cost_little() {
    let square = Shape::Square { low: 20.0, high: 40.0, period: 600 };
    let sine = Shape::Sine { low: 50.0, high: 60.0, period: 600 };
    for (shape, most) in [(square, 2.5), (sine, 2.0)] {
        for seed in 1..=3 {
            let account = noisy(shape, 2.0, 600, HOUR, seed);
            let periods = f64::from(HOUR) / 600.0;
            assert!(f64::from(account.actions) <= most * periods, "{:?}", account.changes);
            assert!(account.turns <= 12, "{:?}", account.changes);
            assert!(account.ratio() <= 1.15, "{shape:?}: {}", account.ratio());
            assert!(account.over_target_percent() <= 1.0, "{}", account.over_target_percent());
        }
    }
}

#[test]
fn steps_and_ramps_are_followed_without_overshoot() {
    let (low, high) = (20.0, 100.0);
    let step = Shape::Step { low, high, seconds: 1800 };
    let ramp = Shape::Ramp { low, high, seconds: 1200 };
    for shape in [step, ramp] {
        for start in [0.0, 2.0, 10.0] {
            let account = noisy(shape, start, 0, 1800, 1);
            assert!(account.overshoot_percent() <= 10.0, "{shape:?}: {:?}", account.changes);
            assert!(account.ratio() <= 1.15, "{shape:?}: {}", account.ratio());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_steady_load_settles_and_stays_for_any_target_load_and_start(
        open in 0_u64..2000,
        target in 1_u32..100,
        proportion in 10_u32..=100,
        start in 0_u32..60,
    ) {
        let mut labels = labels();
        labels.insert("com.openfaas.scale.target".to_owned(), target.to_string());
        let proportion = format!("{}", f64::from(proportion) / 100.0);
        labels.insert("com.openfaas.scale.target-proportion".to_owned(), proportion);
        let mut plant = Plant::new(&labels, f64::from(start));
        let mut settling = Account::default();
        for _ in 0..60 + start {
            plant.second(open, &mut settling);
        }
        let mut settled = Account::default();
        for _ in 0..300 {
            plant.second(open, &mut settled);
        }
        prop_assert!(settling.turns == 0, "{:?}", settling.changes);
        prop_assert!(settled.actions == 0, "{:?}", settled.changes);
    }
}
