//! What `stack.yml` and compose files have in common: their variables filled in, read with limits, and
//! pointed into.
//!
//! ```text
//! yaml/substitute.rs   ${VAR:-default} over the whole text, remembering where each byte came from
//! yaml/source.rs       the text, read as YAML within limits
//! yaml/section.rs      how a mapping is read: unknown keys are kept, not fatal
//! yaml/closest.rs      the key that was probably meant
//! yaml/diagnostic.rs   file:line:column, a line of the file and a caret
//! ```

pub(crate) mod closest;
pub(crate) mod diagnostic;
pub(crate) mod section;
pub(crate) mod source;
mod substitute;

/// Largest file.
pub const LARGEST: usize = 4 << 20;
