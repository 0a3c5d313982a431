//! Labels of functions, good and bad.

use super::*;
use proptest::prelude::*;

fn read(pairs: &[(&str, &str)]) -> Result<(Policy, Vec<PolicyWarning>), Vec<BadLabel>> {
    let labels = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Policy::from_labels(&labels)
}

#[test]
fn no_label_means_the_community_rule_between_1_and_20() {
    let (policy, warnings) = read(&[]).expect("no label");
    assert_eq!(policy.target, Target::Community { factor: 10 });
    assert_eq!((policy.bounds.min().get(), policy.bounds.max().get()), (1, 20));
    assert_eq!((policy.zero, policy.down_window), (None, None));
    assert!(warnings.is_empty());
}

#[test]
fn all_labels_are_read() {
    let (policy, warnings) = read(&[
        (labels::MIN, "2"),
        (labels::MAX, "8"),
        (labels::TYPE, "capacity"),
        (labels::TARGET, "5"),
        (labels::TARGET_PROPORTION, "0.7"),
        (labels::ZERO, "true"),
        (labels::ZERO_DURATION, "1m30s"),
        (labels::DOWN_WINDOW, "1h"),
        (labels::WARM_DURATION, "0s"),
    ])
    .expect("all are good");
    let five = Decimal::whole(5);
    let proportion = "0.7".parse().expect("a decimal");
    assert_eq!(policy.target, Target::Load { load: LoadType::Capacity, target: five, proportion });
    let after = Some(Duration::from_secs(90));
    assert_eq!(
        policy.zero,
        Some(ZeroPolicy { after, warm: Some(Duration::ZERO), ..ZeroPolicy::default() })
    );
    assert_eq!(policy.down_window, Some(Duration::from_secs(300)));
    assert_eq!(warnings, [PolicyWarning::DownWindowCut(Duration::from_secs(3600))]);
}

#[test]
fn the_zero_policy_is_one_of_three_and_only_one_that_learns_warms_beforehand() {
    let zero = |pairs: &[(&str, &str)]| {
        let labels = [&[(labels::ZERO, "true")], pairs].concat();
        read(&labels).map(|(policy, _)| policy.zero.expect("opted in"))
    };
    assert_eq!(zero(&[]), Ok(ZeroPolicy::default()));
    let adaptive = zero(&[(labels::ZERO_POLICY, "adaptive"), (labels::PREWARM, "true")]);
    let adaptive = adaptive.expect("both are good");
    assert_eq!((adaptive.rule, adaptive.prewarm), (ZeroRule::Adaptive, true));
    assert!(zero(&[(labels::ZERO_POLICY, "clever")]).is_err());
    assert!(zero(&[(labels::PREWARM, "true")]).is_err(), "nothing is learnt there");
}

#[test]
fn every_bad_label_is_named_with_its_value_and_what_is_allowed() {
    let bad = read(&[
        (labels::MIN, "0"),
        (labels::TARGET, "-1"),
        (labels::ZERO, "yes"),
        (labels::TYPE, "disk space"),
    ])
    .expect_err("all are bad");
    let texts: Vec<String> = bad.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 4);
    assert!(texts.contains(
        &"label com.openfaas.scale.min: \"0\" is not allowed; use a whole number from 1 to 10000".to_owned()
    ));
}

#[test]
fn cpu_queue_and_memory_have_a_target_in_their_unit() {
    let target = |kind: &str, target: &str| {
        let read = read(&[(labels::TYPE, kind), (labels::TARGET, target)]);
        read.map(|(policy, _)| match policy.target {
            Target::Load { load, target, .. } => (load.label(), target.to_string()),
            Target::Community { .. } => panic!("{kind} is a load"),
        })
    };
    assert_eq!(target("cpu", "500"), Ok(("cpu", "500".to_owned())));
    assert_eq!(target("queue", "2.5"), Ok(("queue", "2.5".to_owned())));
    assert_eq!(target("memory", "256Mi"), Ok(("memory", "268435456".to_owned())));
    assert_eq!(target("memory", "2000000000"), Ok(("memory", "2000000000".to_owned())));
    for (kind, bad) in [("cpu", "0"), ("queue", "-1"), ("memory", "200"), ("memory", "17Ti")] {
        assert!(target(kind, bad).is_err(), "{kind} {bad}");
    }
    let bad = read(&[(labels::TYPE, "cpu"), (labels::TARGET, "0")]).expect_err("zero is bad");
    assert_eq!(
        bad[0].to_string(),
        "label com.openfaas.scale.target: \"0\" is not allowed; use a number above 0, such as 5 or 0.5"
    );
    // Fifty is a default for calls; fifty bytes are none.
    assert!(read(&[(labels::TYPE, "cpu")]).is_ok() && read(&[(labels::TYPE, "memory")]).is_err());
}

#[test]
fn latency_needs_a_percentile_and_a_duration() {
    let latency = |target: &str| {
        let read = read(&[(labels::TYPE, "latency"), (labels::LATENCY_TARGET, target)]);
        read.map(|(policy, _)| policy.latency_target().expect("a latency"))
    };
    let p = |text: &str| text.parse::<Percentile>().expect("a percentile");
    assert_eq!(latency("p95:200ms"), Ok((p("p95"), Duration::from_millis(200))));
    assert_eq!(latency("p99.9:1m30s"), Ok((p("p99.9"), Duration::from_secs(90))));
    assert_eq!((p("p99.90").to_string(), p("p50").as_f64()), ("p99.9".to_owned(), 50.0));
    for bad in
        ["", "200ms", "p95", "p95:", "p0:1s", "p100:1s", "95:1s", "p95:0s", "p95:2h", "p9.123:1s"]
    {
        assert!(latency(bad).is_err(), "{bad}");
    }
    let bad = read(&[(labels::TYPE, "latency")]).expect_err("no target");
    assert_eq!(
        bad[0].to_string(),
        "label com.tidegate.scale.target: \"\" is not allowed; use a percentile and a duration up to 1h, such as p95:200ms"
    );
    let both = [(labels::LATENCY_TARGET, "p95:200ms"), (labels::TARGET, "5")];
    assert_eq!(
        read(&[&[(labels::TYPE, "latency")], &both[..]].concat()).map_err(|bad| bad.len()),
        Err(1)
    );
    assert!(read(&both[..1]).is_err(), "only with its type");
}

#[test]
fn a_minimum_above_the_maximum_is_refused() {
    assert!(read(&[(labels::MIN, "6"), (labels::MAX, "5")]).is_err());
    let (policy, _) =
        read(&[(labels::MIN, "30")]).expect("a lone minimum lifts the default maximum");
    assert!(policy.bounds.is_static());
}

#[test]
fn a_label_that_nothing_honours_is_warned_of() {
    let (_, warnings) =
        read(&[("com.openfaas.scale.maximum", "5"), ("team", "x")]).expect("only strange");
    assert_eq!(warnings, [PolicyWarning::NotHonoured("com.openfaas.scale.maximum".to_owned())]);
}

proptest! {
    #[test]
    fn no_value_panics_and_bounds_hold(min in ".{0,12}", max in "[0-9]{0,6}", target in "[0-9.e-]{0,12}", window in ".{0,12}") {
        let read = read(&[(labels::MIN, &min), (labels::MAX, &max), (labels::TARGET, &target), (labels::DOWN_WINDOW, &window)]);
        if let Ok((policy, _)) = read {
            prop_assert!(policy.bounds.min() <= policy.bounds.max());
        }
    }

    #[test]
    fn a_decimal_reads_back(millionths in 0_u64..=1_000_000_000_000_000) {
        let number = Decimal::from_millionths(millionths);
        prop_assert_eq!(number.to_string().parse(), Ok(number));
    }

    #[test]
    fn no_text_panics_as_a_decimal(text in ".*") {
        let _ = text.parse::<Decimal>();
    }
}

#[test]
fn another_type_is_the_name_of_a_rule_and_scales_by_nothing_else() {
    let (policy, warnings) = read(&[(labels::TYPE, "lag"), (labels::TARGET, "9")]).expect("a name");
    assert_eq!((policy.target, warnings.len()), (Target::Community { factor: 0 }, 0));
    assert!(read(&[(labels::TYPE, "lag"), (labels::TARGET, "0")]).is_err());
    for name in ["", "-lag", "a b", "a,b", "ü", &"x".repeat(64)] {
        assert!(read(&[(labels::TYPE, name)]).is_err(), "{name}");
    }
    assert!(LoadType::WORDS.iter().all(|word| !LoadType::may_be_rule(word)));
}
