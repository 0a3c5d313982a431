//! Policy files and provider models of the simulator.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tidegate_simulator::{PolicyFile, ProviderModel};

fuzz_target!(|text: &str| {
    let _ = text.parse::<ProviderModel>();
    let files = [toml::from_str::<PolicyFile>(text).ok(), serde_saphyr::from_str(text).ok()];
    for file in files.into_iter().flatten() {
        let _ = file.contender(&BTreeMap::new(), "fuzz");
    }
});
