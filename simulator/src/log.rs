//! The hash of a decision log: every change of every count, the same for the same decisions.
//!
//! Each function has its own hash over its changes in order; the log's is over those, by name, so that
//! it does not matter in which order functions were looked at.

use crate::hash::Fnv;

/// Adds one change: when, from how many, to how many, why.
pub(crate) fn note(hash: &mut Fnv, nanos: u64, from: u32, to: u32, label: &str) {
    hash.number(nanos);
    hash.number(u64::from(from) << 32 | u64::from(to));
    hash.write(label.as_bytes());
    hash.write(&[0xff]);
}

/// The hash of the whole log; `functions` in the order of their names. Functions without a change are left out.
pub(crate) fn whole<'a>(functions: impl Iterator<Item = (&'a str, Fnv)>) -> String {
    let mut hash = Fnv::default();
    for (name, one) in functions.filter(|(_, one)| *one != Fnv::default()) {
        hash.write(name.as_bytes());
        hash.number(one.finish());
    }
    format!("{:016x}", hash.finish())
}
