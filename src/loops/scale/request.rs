//! What others ask and tell the scale loop.

use tidegate_autoscaler::{Ask, Source};
use tidegate_core::{FunctionId, Replicas};
use tidegate_gateway::ScaleError;
use tidegate_idler::Reading;
use tokio::sync::oneshot;

/// What others ask of the scale loop; each waits for its answer.
pub enum Request {
    /// Somebody wants a count.
    Ask {
        /// Of which function.
        function: FunctionId,
        /// What is wanted.
        ask: Ask,
        /// The asker waits here.
        answer: Answer,
    },
    /// Somebody wants to know why there are so many replicas.
    Explain {
        /// Of which function.
        function: FunctionId,
        /// And why not so many.
        why_not: Option<Replicas>,
        /// The asker waits here.
        answer: oneshot::Sender<Option<serde_json::Value>>,
    },
    /// Somebody wants to know what is to be measured.
    Wanted {
        /// The asker waits here.
        answer: oneshot::Sender<Vec<(FunctionId, Vec<Source>)>>,
    },
    /// Memory was looked at.
    Memory {
        /// What was read.
        reading: Reading,
        /// Bytes of replicas at rest, by function; all that have any, or nothing while that is of no interest.
        sizes: Vec<(FunctionId, u64)>,
    },
    /// Something was measured, or could not be.
    Measured {
        /// What came of it.
        values: Vec<Measured>,
    },
}

/// A value that was measured of a function, or why there is none.
pub type Measured = (FunctionId, Source, Result<f64, String>);

/// Where the answer to an ask goes.
pub type Answer = oneshot::Sender<Result<(), ScaleError>>;
