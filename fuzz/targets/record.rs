//! Records of decisions, which the simulator decides anew.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = tidegate_simulator::replay("fuzz", bytes);
});
