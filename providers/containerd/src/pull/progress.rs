//! What a pull tells of itself while it goes on.

use std::time::Duration;

use tracing::{debug, info};

/// One thing that happened in a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEvent {
    /// A registry is asked.
    Asking {
        /// The image's full name.
        image: String,
        /// Who is asked.
        host: String,
    },
    /// The image was found.
    Found {
        /// What its name stands for.
        digest: String,
        /// How many layers it has.
        layers: usize,
        /// How many bytes they have together, as they are sent.
        bytes: u64,
    },
    /// A part of the image has come, or was here already.
    Layer {
        /// The layer's digest.
        digest: String,
        /// Bytes that are here.
        here: u64,
        /// Bytes it has.
        bytes: u64,
    },
    /// Something failed and is tried again after a pause.
    Pausing {
        /// What failed.
        why: String,
        /// How long the pause is.
        pause: Duration,
    },
    /// All is here and is being unpacked.
    Unpacking {
        /// The image's full name.
        image: String,
    },
}

/// Who is told.
pub type Progress<'a> = dyn Fn(&PullEvent) + Send + Sync + 'a;

/// Tells the log, where no terminal looks on.
pub(crate) fn log(event: &PullEvent) {
    match event {
        PullEvent::Asking { image, host } => info!(image, registry = host, "pulling image {image}"),
        PullEvent::Found { digest, layers, bytes } => {
            info!(digest, layers, bytes, "the image has {layers} layers with {bytes} bytes");
        }
        PullEvent::Layer { digest, here, bytes } => {
            debug!(digest, here, bytes, "layer {digest}: {here} of {bytes} bytes");
        }
        PullEvent::Pausing { why, pause } => info!("{why}; trying again in {pause:?}"),
        PullEvent::Unpacking { image } => debug!(image, "unpacking image {image}"),
    }
}
