//! Labels: each line is NAME=VALUE, short names meaning those of the scale family.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::Policy;

fuzz_target!(|text: &str| {
    let labels = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (format!("com.openfaas.scale.{name}"), value.to_owned()))
        .collect();
    match Policy::from_labels(&labels) {
        Ok((policy, _)) => assert!(policy.bounds.min() <= policy.bounds.max()),
        Err(bad) => assert!(!bad.is_empty()),
    }
});
