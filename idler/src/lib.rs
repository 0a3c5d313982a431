#![doc = include_str!("../README.md")]

mod idle;

pub use idle::{IdleInput, Idleness, judge};
