//! A stack file with its variables and environment files: no panic, bounded work, positions inside the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_api::Stack;

fuzz_target!(|text: &str| {
    let variable = |name: &str| (name.len() % 2 == 0).then(|| format!("{name}: \"\n"));
    match Stack::read("stack.yml", text, &variable) {
        Ok(stack) => {
            for function in &stack.functions {
                let _ = function.deployment(&|_| Ok(text.to_owned()));
            }
            let _ = stack.warnings.to_string();
        }
        Err(found) => {
            assert!(found.has_errors());
            let lines = text.split('\n').count();
            assert!(found.iter().all(|one| (1..=lines).contains(&one.line)), "{found}");
            let _ = found.to_string();
        }
    }
});
