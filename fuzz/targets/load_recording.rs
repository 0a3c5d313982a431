//! Recordings of calls that the load tester replays.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = tidegate_loadtest::trace::read_trace(bytes, "fuzz", &[]);
});
