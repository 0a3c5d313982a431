//! Counts of replicas, and the bounds they are kept within.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A number of replicas.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Replicas(u32);

impl Replicas {
    /// No replica.
    pub const ZERO: Self = Self(0);
    /// One replica.
    pub const ONE: Self = Self(1);

    /// This many replicas.
    pub const fn new(count: u32) -> Self {
        Self(count)
    }

    /// The count as a number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether there is none.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, saturating.
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, no less than zero.
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How few and how many replicas a function may have; never crossed over.
///
/// Zero is not a lower bound: going to zero is the idle rule's business alone.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    min: Replicas,
    max: Replicas,
}

/// A minimum above the maximum, or below one.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "minimum {min} and maximum {max} of replicas: the minimum must be at least 1 and at most the maximum"
)]
pub struct BadBounds {
    min: Replicas,
    max: Replicas,
}

impl Bounds {
    /// Bounds from `min` to `max`, both included.
    ///
    /// # Errors
    /// When `min` is zero or above `max`.
    pub fn new(min: Replicas, max: Replicas) -> Result<Self, BadBounds> {
        if min.is_zero() || min > max {
            return Err(BadBounds { min, max });
        }
        Ok(Self { min, max })
    }

    /// The least count under load, and the count a waking function gets.
    pub const fn min(&self) -> Replicas {
        self.min
    }

    /// The highest count.
    pub const fn max(&self) -> Replicas {
        self.max
    }

    /// Whether the count is fixed, so that load never changes it.
    pub fn is_static(&self) -> bool {
        self.min == self.max
    }

    /// `wanted`, raised to the minimum or lowered to the maximum.
    pub fn clamp(&self, wanted: Replicas) -> Replicas {
        wanted.clamp(self.min, self.max)
    }
}
