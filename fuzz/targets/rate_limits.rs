//! The annotations of rate limits: each line is NAME=VALUE.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_gateway::Limits;

fuzz_target!(|text: &str| {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let annotations = pairs
        .map(|(name, value)| (format!("com.tidegate.limit.{name}"), value.to_owned()))
        .collect();
    let _ = Limits::from_annotations(&annotations);
});
