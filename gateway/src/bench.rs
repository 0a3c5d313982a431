//! What benchmarks need from the inside; compiled with the feature `bench` only, and no public interface.

use std::sync::Arc;

use tidegate_core::Moment;

use crate::Entry;
use crate::call::Call;

/// Records one call that arrives at `now` and ends at once: all that is recorded of a call, and nothing of
/// serving it.
pub fn record(entry: &Arc<Entry>, now: Moment) {
    let mut call = Call::arrive(Arc::clone(entry), now);
    call.set_code(200);
}
