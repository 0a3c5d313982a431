//! What no example can cover, about the policies that learn.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_core::{Load, Moment, ZeroRule};
use tidegate_idler::{
    Common, CommonRecord, Frozen, Habits, HabitsRecord, IdleInput, Idleness, Price, Terms, evict,
    judge_by,
};

fn silences() -> impl Strategy<Value = Vec<Duration>> {
    let any = prop_oneof![
        (0_u64..100_000_000).prop_map(Duration::from_millis),
        (0_u64..100).prop_map(Duration::from_secs),
        Just(Duration::from_secs(3600)),
        Just(Duration::MAX),
        Just(Duration::ZERO),
    ];
    prop::collection::vec(any, 0..60)
}

fn rules() -> impl Strategy<Value = ZeroRule> {
    prop_oneof![Just(ZeroRule::Adaptive), Just(ZeroRule::Hybrid)]
}

fn prices() -> impl Strategy<Value = f64> {
    prop_oneof![0.000_001..0.1, Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), Just(0.0)]
}

fn learnt(rule: ZeroRule, silences: &[Duration], price: f64) -> (Common, Habits) {
    let mut common = Common::new(Price::fixed(price));
    let mut habits = Habits::new(rule).expect("it learns");
    for silence in silences {
        common.note(&mut habits, *silence);
    }
    (common, habits)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

proptest! {
    #[test]
    fn nothing_goes_before_the_promised_time_and_plans_are_in_order(
        rule in rules(), silences in silences(), price in prices(), least in 0_u64..10_000, prewarm: bool, age in 0_u64..20_000,
    ) {
        let (common, habits) = learnt(rule, &silences, price);
        let terms = Terms { least: secs(least), prewarm };
        let plan = common.plan(&habits, terms);
        let spans = plan.spans();
        prop_assert_eq!(spans[0].from, Duration::ZERO);
        prop_assert!(spans[0].to >= terms.least);
        prop_assert!(spans.iter().all(|span| span.from <= span.to));
        prop_assert!(spans.windows(2).all(|pair| pair[0].to < pair[1].from));
        prop_assert!(prewarm || spans.len() == 1, "{spans:?}");
        let load = Load { last_end: Some(Moment::from_secs(5)), ..Load::default() };
        let input = IdleInput { opted_in: true, after: terms.least, load: Some(&load), touched: Moment::ZERO, quiet_before: Duration::ZERO };
        match judge_by(Moment::from_secs(5 + age), &input, &plan) {
            Idleness::Idle { .. } => prop_assert!(age >= least),
            Idleness::Quiet { until, .. } => prop_assert!(until > Moment::from_secs(5 + age)),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn the_same_silences_give_the_same_plan_and_a_restart_loses_nothing(
        rule in rules(), silences in silences(), cut in 0_usize..60, price in prices(), prewarm: bool,
    ) {
        let cut = cut.min(silences.len());
        let (all, whole) = learnt(rule, &silences, price);
        let (before, first) = learnt(rule, &silences[..cut], price);
        // Written down as text and read again, as a restart does.
        let text = serde_json::to_string(&(first.record(), before.record())).expect("plain");
        let (habits, common): (HabitsRecord, CommonRecord) = serde_json::from_str(&text).expect("ours");
        let mut again = Habits::from_record(&habits).expect("our version");
        prop_assert_eq!(&again, &first);
        let mut restored = Common::new(Price::fixed(price));
        restored.restore(&common);
        for silence in &silences[cut..] {
            restored.note(&mut again, *silence);
        }
        prop_assert_eq!(&again, &whole);
        let terms = Terms { least: secs(60), prewarm };
        prop_assert_eq!(restored.plan(&again, terms), all.plan(&whole, terms));
    }

    #[test]
    fn any_record_is_read_without_a_panic(
        counts in prop::collection::vec((any::<u16>(), any::<u16>()), 0..300), last: u8, noted: u8, numbers in any::<(u32, u32, u8, u8)>(), silences in silences(),
    ) {
        let (mean, spread, hits, told) = numbers;
        for kind in ["adaptive", "hybrid"] {
            let record = serde_json::json!({
                "version": 1, "counts": counts, "kind": kind, "last": last, "noted": noted, "mean": mean,
                "spread": spread, "hits": hits, "told": told, "beyond": mean, "beyond_mean": spread,
            });
            let record: HabitsRecord = serde_json::from_value(record).expect("its form is right");
            let Some(mut habits) = Habits::from_record(&record) else { continue };
            let mut common = Common::new(Price::fixed(Price::DEFAULT));
            for silence in &silences {
                common.note(&mut habits, *silence);
                let _ = common.plan(&habits, Terms { least: secs(60), prewarm: true });
                let _ = common.hazard(&habits, *silence);
            }
        }
    }

    #[test]
    fn a_price_stays_in_range_whatever_the_clock_does(spent in prop::collection::vec((0_u64..u64::MAX / 2_000, 0_u64..u64::MAX), 0..100), budget in prices()) {
        let mut price = Price::of_budget(Moment::ZERO, budget);
        for (now, idle) in spent {
            price.spend(Moment::from_millis(now), secs(idle));
            prop_assert!(price.value() > 0.0 && price.value() < 1.0);
        }
    }

    #[test]
    fn eviction_frees_enough_and_no_more_than_it_must(
        sizes in prop::collection::vec((0_u64..5000, 0_u64..2000, 0_u64..50), 0..40), budget in 0_u64..60_000, clock in 0_u64..1000, turn in 0_usize..40,
    ) {
        let mut frozen: Vec<Frozen<usize>> = sizes.iter().enumerate().map(|(id, (bytes, start_millis, uses))| Frozen { id, bytes: *bytes, start_millis: *start_millis, uses: *uses, clock }).collect();
        let eviction = evict(&frozen, budget, clock);
        let gone = |upto: usize| -> u64 { eviction.evicted[..upto].iter().map(|id| sizes[*id].0).sum() };
        let all: u64 = sizes.iter().map(|(bytes, _, _)| bytes).sum();
        let count = eviction.evicted.len();
        prop_assert!(all - gone(count) <= budget);
        prop_assert!(count == 0 || all - gone(count - 1) > budget);
        prop_assert!(eviction.clock >= clock);
        if !frozen.is_empty() {
            let turn = turn % frozen.len();
            frozen.rotate_left(turn);
            prop_assert_eq!(evict(&frozen, budget, clock), eviction);
        }
    }
}

#[test]
fn what_is_small_dear_and_often_used_stays() {
    let frozen = |id, bytes, start_millis, uses| Frozen { id, bytes, start_millis, uses, clock: 0 };
    let mib = 1 << 20;
    let all = [
        frozen("often", 100 * mib, 100, 50),
        frozen("once", 100 * mib, 100, 1),
        frozen("big", 400 * mib, 100, 2),
        frozen("dear", 100 * mib, 10_000, 1),
    ];
    let eviction = evict(&all, 200 * mib, 0);
    assert_eq!(eviction.evicted, ["big", "once"]);
    // Whoever is used from now on outlives what had the same worth before.
    assert!(eviction.clock > 0);
}

#[test]
fn what_is_kept_of_a_function_fits_into_256_bytes() {
    assert!(size_of::<tidegate_idler::Learnt>() <= 256);
    assert_eq!(Habits::new(ZeroRule::Fixed), None);
}

#[test]
fn a_budget_moves_the_price_both_ways() {
    let mut price = Price::of_budget(Moment::ZERO, 24.0); // one replica all the time
    let begin = price.value();
    for hour in 1..=48 {
        price.spend(Moment::from_secs(3600 * hour), secs(7200));
    }
    let dear = price.value();
    assert!(dear > 2.0 * begin, "{dear}");
    for hour in 49..=144 {
        price.spend(Moment::from_secs(3600 * hour), secs(360));
    }
    assert!(price.value() < dear / 2.0);
}

#[test]
fn a_beat_that_is_left_out_once_is_met_at_the_next() {
    let (common, habits) = learnt(ZeroRule::Adaptive, &[secs(3599); 6], Price::DEFAULT);
    let plan = common.plan(&habits, Terms { least: secs(60), prewarm: true });
    assert!(plan.warm_at(secs(3599)).is_some());
    assert!(plan.warm_at(secs(1800)).is_none());
    assert!(plan.warm_at(secs(2 * 3599 + 1)).is_some(), "{:?}", plan.spans());
}

#[test]
fn a_beat_that_is_often_late_lets_nothing_go_sooner() {
    // A device that reports every ten minutes, one time of six a third later.
    let silences = [600, 590, 610, 605, 595, 800].map(secs).repeat(20);
    let (common, habits) = learnt(ZeroRule::Adaptive, &silences, Price::DEFAULT);
    let plan = common.plan(&habits, Terms { least: secs(60), prewarm: false });
    assert!(plan.warm_at(secs(800)).is_some(), "{:?}", plan.spans());
}

#[test]
fn what_is_old_is_forgotten() {
    for (old, new) in [(100, 2000), (300, 4000), (5000, 40_000)] {
        let (mut common, mut habits) = learnt(ZeroRule::Adaptive, &[secs(old); 600], 1.0 / 2400.0);
        for _ in 0..1600 {
            common.note(&mut habits, secs(new));
        }
        // Bins differ in width as ages do: chances are compared.
        let chance = |age| {
            let hazard = common.hazard(&habits, secs(age)).expect("in a bin");
            hazard.each_second * (hazard.to - hazard.from).as_secs_f64()
        };
        assert!(chance(old) < 0.15 * chance(new), "{} {}", chance(old), chance(new));
    }
}
