//! Names of secrets, and the namespace they are in: one that is accepted cannot leave its folder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_provider::SecretName;

fuzz_target!(|text: &str| {
    let (namespace, name) = text.split_once('\n').unwrap_or(("", text));
    if let Ok(secret) = SecretName::new(name, namespace) {
        for part in [&secret.name, &secret.namespace] {
            assert!(
                !part.contains(['/', '\\', '\0']) && !part.contains("..") && !part.starts_with('.')
            );
        }
    }
});
