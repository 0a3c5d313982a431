//! Decimals: what is read is printed and read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::Decimal;

fuzz_target!(|text: &str| {
    if let Ok(number) = text.parse::<Decimal>() {
        assert_eq!(number.to_string().parse(), Ok(number));
    }
});
