//! Durations in Go's syntax: what is read is printed and read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::{format_duration, parse_duration};

fuzz_target!(|text: &str| {
    if let Ok(span) = parse_duration(text) {
        assert_eq!(parse_duration(&format_duration(span)), Ok(span));
    }
});
