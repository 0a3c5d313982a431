//! What holds for every trace, policy and model.

mod support;

use proptest::prelude::*;
use support::policy;
use tidegate_simulator::generate::generate;
use tidegate_simulator::record::Recorder;
use tidegate_simulator::report::{PolicyReport, Report, html};
use tidegate_simulator::{Options, run};

fn simulate(
    generator: &str,
    labels: &[(&str, &str)],
    limit: Option<u32>,
    model: &str,
    scaler: &str,
) -> PolicyReport {
    let trace = generate(generator).expect(generator);
    let options = Options { model: model.parse().expect(model), ..Options::default() };
    run(&trace, &policy(scaler, labels, limit), &options, None).report
}

fn json(report: &PolicyReport) -> String {
    serde_json::to_string(report).expect("plain figures")
}

/// Functions that share nothing turn one after the other, recorded ones a minute each.
#[test]
fn whether_functions_turn_together_changes_nothing() {
    let trace = generate("azure?functions=25&duration=4h&calls=5000").expect("a good generator");
    let fixed = [("type", "capacity"), ("target", "2"), ("zero", "true")];
    let learns = [&fixed[..], &[("com.tidegate.scale.zero-policy", "adaptive")]].concat();
    for (scaler, labels) in
        SCALERS.map(|scaler| (scaler, &fixed[..])).into_iter().chain([("tidegate", &learns[..])])
    {
        let contender = policy(scaler, labels, None);
        let options = Options::default();
        let recorder = Recorder::new(Box::new(std::io::sink()), &contender.settings(&options));
        let alone = run(&trace, &contender, &options, None).report;
        let together = run(&trace, &contender, &options, Some(recorder)).report;
        assert_eq!(json(&alone), json(&together), "{scaler} {labels:?}");
    }
}

const SCALERS: [&str; 7] =
    ["tidegate", "community", "openfaas-pro", "knative", "keda", "fixed:10m", "oracle"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_run_adds_up_and_stays_within_bounds(
        kind in prop::sample::select(vec!["poisson", "square", "bursts", "spikes", "cron", "crash-loop", "slow-starter", "long-calls"]),
        seed in 0_u64..1000,
        min in 1_u32..4,
        more in 0_u32..8,
        target in 1_u32..20,
        mode in 0_u8..3,
        zero in any::<bool>(),
        limit in prop::option::of(1_u32..10),
        model in prop::sample::select(vec!["", "cold=5s", "cold=lognormal:1s:9s,warm=10ms", "cold=1s,fail=0.5", "call=3s", "ready=700ms,cold=0s"]),
        scaler in prop::sample::select(SCALERS.to_vec()),
    ) {
        let (min_text, max_text) = (min.to_string(), (min + more).to_string());
        let target = target.to_string();
        let mut labels = vec![("min", min_text.as_str()), ("max", max_text.as_str())];
        match mode {
            0 => {}
            1 => labels.extend([("type", "capacity"), ("target", target.as_str())]),
            _ => labels.extend([("type", "rps"), ("target", target.as_str())]),
        }
        if zero {
            labels.extend([("zero", "true"), ("zero-duration", "45s")]);
        }
        let generator = format!("{kind}?duration=20m&seed={seed}");
        let report = simulate(&generator, &labels, limit, model, scaler);
        // Knative and the oracle go below the minimum under load where zero is allowed.
        if scaler == "tidegate" {
            prop_assert!(report.peak <= min + more, "{}", report.peak);
            prop_assert!(report.least == 0 || report.least >= min, "{}", report.least);
        }
        if !zero {
            prop_assert_eq!(report.zeros, 0);
        }
        prop_assert_eq!(report.ups + report.downs, report.actions);
        prop_assert_eq!(report.wait.count + report.errors.all - report.errors.cut + report.still_waiting, report.calls);
        prop_assert!(report.idle_replica_seconds <= report.replica_seconds + 1e-6);
        prop_assert!(report.replica_seconds <= f64::from(min + more) * 1200.0 * 2.0);
        // Nobody is cut off: the drain limit is an hour.
        prop_assert_eq!(report.errors.cut, 0);
        let again = simulate(&generator, &labels, limit, model, scaler);
        prop_assert_eq!(json(&report), json(&again));
    }
}

#[test]
fn functions_do_not_disturb_one_another() {
    let labels = [("type", "capacity"), ("target", "5"), ("zero", "true")];
    let alone = simulate(
        "azure?functions=40&duration=6h&calls=100000",
        &labels,
        None,
        "cold=1s",
        "tidegate",
    );
    let trace = {
        let mut trace = generate("azure?functions=40&duration=6h&calls=100000").expect("good");
        trace.functions.reverse();
        trace
    };
    let options = Options { model: "cold=1s".parse().expect("good"), ..Options::default() };
    let turned = run(&trace, &policy("tidegate", &labels, None), &options, None).report;
    assert_eq!(alone.decisions, turned.decisions);
    assert_eq!(
        (alone.calls, alone.cold_starts, alone.looks),
        (turned.calls, turned.cold_starts, turned.looks)
    );
}

#[test]
fn the_oracle_is_the_cheapest_without_a_wait() {
    let labels = [("type", "capacity"), ("target", "1"), ("zero", "true"), ("max", "100")];
    for generator in ["sine?low=0&takes=1s", "bursts?size=20&duration=4h", "cron?every=5m", "rare"]
    {
        let of = |scaler| simulate(generator, &labels, Some(1), "cold=2s", scaler);
        let oracle = of("oracle");
        assert_eq!((oracle.cold_starts, oracle.errors.all), (0, 0), "{generator}");
        assert!(oracle.wait.max < 1e-6, "{generator}: {}", oracle.wait.max);
        for scaler in ["tidegate", "knative", "keda", "fixed:10m", "openfaas-pro"] {
            let other = of(scaler);
            let (mine, theirs) = (oracle.replica_seconds, other.replica_seconds);
            assert!(mine <= theirs, "{generator}: {mine} over {theirs} of {scaler}");
        }
    }
}

#[test]
fn a_page_holds_every_policy_and_loads_nothing() {
    let labels = [("zero", "true")];
    let policies =
        SCALERS.map(|scaler| simulate("poisson?duration=10m", &labels, None, "", scaler));
    let trace = generate("poisson?duration=10m").expect("good");
    let report = Report::new(&trace, policies.into());
    let page = html(&report);
    for scaler in SCALERS {
        assert!(page.contains(&format!("<h2>{scaler}</h2>")));
    }
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));
    let (headings, rows) = report.table();
    assert_eq!(headings.len(), SCALERS.len() + 1);
    assert!(rows.iter().all(|row| row.len() == headings.len()));
}
