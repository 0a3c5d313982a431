//! The containerd backend keeps all that a provider promises, with a real containerd of its own for each test.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/images.rs"]
mod images;

tidegate_provider::conformance!(match harness::ContainerdHarness::new() {
    Some(harness) => harness,
    // Said by name, where what it takes is not here.
    None => return,
});
