//! Kubernetes quantities: what is read is printed and read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::Quantity;

fuzz_target!(|text: &str| {
    if let Ok(quantity) = text.parse::<Quantity>() {
        assert_eq!(quantity.to_string().parse(), Ok(quantity));
    }
});
