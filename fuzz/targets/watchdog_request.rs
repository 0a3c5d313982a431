//! What the watchdog reads of requests: paths, ranges, header names, bodies without a type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_watchdog::parsers::{
    Wanted, by_name, canonical, percent_decoded, relative_path, sniffed, wanted,
};

fuzz_target!(|bytes: &[u8]| {
    let _ = sniffed(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = (by_name(text), canonical(text), percent_decoded(text));
    if let Some(path) = relative_path(text) {
        let inside = |part: std::path::Component<'_>| {
            matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir)
        };
        assert!(path.components().all(inside), "{path:?}");
    }
    for length in [0, 1, 100, u64::MAX] {
        if let Wanted::Part { start, .. } = wanted(text, length) {
            assert!(start < length);
        }
    }
});
