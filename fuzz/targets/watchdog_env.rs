//! The watchdog's environment, and what of it or of a request is parsed further.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::Vars;
use tidegate_watchdog::Config;

fuzz_target!(|text: &str| {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let vars: Vars = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let _ = Config::from_vars(&vars);
});
