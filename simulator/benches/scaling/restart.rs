//! A new autoscaler in the place of the old one, while a constant noisy load goes on.

use std::collections::BTreeMap;

use tidegate_autoscaler::{Action, Autoscaler, Config};
use tidegate_core::{FunctionId, Load, Moment, Observation, Policy, Replicas};
use tidegate_simulator::Random;

/// Calls that one replica takes at once, which is its target too.
const TARGET: u32 = 10;
const SECOND: u64 = 1_000_000_000;
/// Restarts, each after ten minutes and followed by ten more.
const RESTARTS: u64 = 20;
const SPAN: u64 = 600;

pub fn report() {
    println!("\n## Restart at constant load\n");
    println!("{RESTARTS} restarts, ten minutes apart, at 50 calls in flight ± 10 %.\n");
    println!("| what is kept | changes |\n| --- | ---: |");
    println!("| what was learnt | {} |", changes(true));
    println!("| nothing | {} |", changes(false));
}

fn changes(remembers: bool) -> u64 {
    let labels: BTreeMap<String, String> = [
        ("com.openfaas.scale.type", "capacity".to_owned()),
        ("com.openfaas.scale.target", TARGET.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let function = FunctionId::parse("cat").expect("a good name");
    let (policy, _) = Policy::from_labels(&labels).expect("good labels");
    let mut autoscaler = Autoscaler::new(Config::default());
    autoscaler.insert(Moment::ZERO, function.clone(), policy.clone(), None);
    let (mut random, mut changes) = (Random::new(1), 0);
    let (mut desired, mut load) = (Replicas::new(6), Load::default());
    for second in 1..=SPAN * (RESTARTS + 1) {
        let now = Moment::from_nanos(second * SECOND);
        if second % SPAN == 0 {
            let memory = autoscaler.memory(now, &function).filter(|_| remembers);
            autoscaler = Autoscaler::new(Config::default());
            autoscaler.insert(now, function.clone(), policy.clone(), memory);
            // The counters begin anew with the process.
            load = Load::default();
        }
        load.in_flight = 45 + random.below(11);
        load.concurrency_nanos += load.in_flight * SECOND;
        load.started += load.in_flight * 5;
        load.completed = load.started - load.in_flight;
        let seen = seen(&function, desired, load);
        if let Action::Scale { to, .. } = autoscaler.decide(now, &seen).action {
            desired = to;
            changes += u64::from(second >= SPAN);
        }
    }
    changes
}

fn seen(function: &FunctionId, desired: Replicas, load: Load) -> Observation {
    Observation {
        function: function.clone(),
        revision: 1,
        load: Some(load),
        desired,
        ready: desired,
        pending: Replicas::ZERO,
        draining: Replicas::ZERO,
        frozen: Replicas::ZERO,
        created: Replicas::ZERO,
        replica_limit: Some(TARGET),
    }
}
