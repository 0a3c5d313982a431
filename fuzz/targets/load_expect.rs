//! Criteria of a load test.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = tidegate_loadtest::expect::parse(text);
});
