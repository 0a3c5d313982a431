//! Where this backend's own things are in the state directory.
//!
//! ```text
//! run/PLACE/{s,tmp,work}          one replica: socket, TMPDIR, working directory; emptied at each open
//! run/secrets/NAME.NAMESPACE.REVISION/SECRET    links into secrets/, what TIDEGATE_SECRETS names
//! ```

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tidegate_core::FunctionId;
use tidegate_provider::ReplicaId;
use tidegate_provider_machine::{StateDir, durable, place};

/// Longest path of a Unix socket, the final zero left out.
const LONGEST_SOCKET: usize = 107;
/// What `/PLACE/s` below the run folder takes at most: two numbers of twenty digits.
const SOCKET_BELOW_RUN: usize = 44;

/// Paths of the state directory.
#[derive(Debug)]
pub(crate) struct Layout {
    run: PathBuf,
}

impl Layout {
    /// Makes the folders.
    pub(crate) fn make(state: &StateDir) -> io::Result<Self> {
        let mut run = state.root().join("run");
        if run.as_os_str().len() + SOCKET_BELOW_RUN > LONGEST_SOCKET {
            run = PathBuf::from(format!("/tmp/tidegate-{}", state.name()));
        }
        // Nothing in it outlives a run; what a crash left is removed.
        durable::remove_folder(&run)?;
        let layout = Self { run };
        durable::make_folder(&layout.run.join("secrets"))?;
        let owner = std::fs::symlink_metadata(&layout.run)?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other(format!(
                "{} belongs to another user",
                layout.run.display()
            )));
        }
        Ok(layout)
    }

    /// The folder of one replica.
    pub(crate) fn place(&self, replica: &ReplicaId) -> PathBuf {
        self.run.join(place(replica))
    }

    /// Where a replica answers.
    pub(crate) fn socket(&self, replica: &ReplicaId) -> PathBuf {
        self.place(replica).join("s")
    }

    /// The folder that one revision of a function finds its secrets in.
    pub(crate) fn mounted_secrets(&self, id: &FunctionId, revision: u64) -> PathBuf {
        self.run.join("secrets").join(format!("{id}.{revision}"))
    }

    /// The folder of all that does not outlive a run.
    pub(crate) fn run(&self) -> &Path {
        &self.run
    }
}
