//! What every provider promises, on real processes.

#[path = "support/harness.rs"]
mod harness;

tidegate_provider::conformance!(harness::ProcessHarness::new());
