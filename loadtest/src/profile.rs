//! A rate over time: constant, steps, ramp, spike, Poisson arrivals, sine; parsed from one readable line.

/// When calls are due in an open loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {}
