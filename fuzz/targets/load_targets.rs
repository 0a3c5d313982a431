//! Files of targets of a load test; their bodies are not in files here.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tidegate_loadtest::targets::{Common, read};

fuzz_target!(|text: &str| {
    if !text.contains("body_file") {
        let _ = read(text, Path::new("/nonexistent"), &Common::default());
    }
});
