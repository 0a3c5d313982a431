//! Traces of the simulator, of every format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_simulator::trace::{Reading, read};

fuzz_target!(|bytes: &[u8]| {
    let _ = read(vec![("fuzz".to_owned(), bytes)], None, &Reading::default());
});
