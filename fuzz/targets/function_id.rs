//! Names of functions: one that is accepted is safe as a file name and reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::FunctionId;

fuzz_target!(|text: &str| {
    if let Ok(id) = FunctionId::parse(text) {
        assert_eq!(FunctionId::parse(id.as_str()), Ok(id.clone()));
        for part in [id.name(), id.namespace()] {
            assert!(!part.is_empty() && !part.contains(['/', '.', '\0']), "{part}");
        }
    }
});
