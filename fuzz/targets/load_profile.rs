//! Profiles of the load tester: what is read is printed and read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_loadtest::profile::Profile;

fuzz_target!(|text: &str| {
    if let Ok(profile) = Profile::parse(text) {
        assert_eq!(Profile::parse(&profile.to_string()), Ok(profile));
    }
    // Any text may be a YAML file.
    let _ = Profile::from_yaml(text);
});
