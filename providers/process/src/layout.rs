//! Where things are in the state directory.
//!
//! ```text
//! lock  identity.json  functions/NAME.NAMESPACE.json  namespaces/NAME.json  secrets/NAMESPACE/NAME
//! logs/NAME.NAMESPACE/CREATED/REPLICA.log[.1]
//! run/PLACE/{s,tmp,work}          one replica: socket, TMPDIR, working directory; emptied at each open
//! run/secrets/NAME.NAMESPACE.REVISION/SECRET    links into secrets/, what TIDEGATE_SECRETS names
//! ```

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tidegate_core::FunctionId;
use tidegate_provider::SecretName;

use crate::durable;

/// Longest path of a Unix socket, the final zero left out.
const LONGEST_SOCKET: usize = 107;
/// What `/PLACE/s` below the run folder takes at most: two numbers of twenty digits.
const SOCKET_BELOW_RUN: usize = 44;

/// Paths of the state directory.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    run: PathBuf,
}

impl Layout {
    /// Makes the folders. `state` is the directory's own name, for the case that its path is too long
    /// for sockets.
    pub(crate) fn make(root: PathBuf, state: &str) -> io::Result<Self> {
        let mut run = root.join("run");
        if run.as_os_str().len() + SOCKET_BELOW_RUN > LONGEST_SOCKET {
            run = PathBuf::from(format!("/tmp/tidegate-{state}"));
        }
        // Nothing in it outlives a run; what a crash left is removed.
        durable::remove_folder(&run)?;
        let layout = Self { root, run };
        for folder in ["functions", "namespaces", "secrets", "logs"] {
            durable::make_folder(&layout.root.join(folder))?;
        }
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

    pub(crate) fn identity(root: &Path) -> PathBuf {
        root.join("identity.json")
    }

    pub(crate) fn lock(root: &Path) -> PathBuf {
        root.join("lock")
    }

    pub(crate) fn functions(&self) -> PathBuf {
        self.root.join("functions")
    }

    pub(crate) fn function(&self, id: &FunctionId) -> PathBuf {
        self.functions().join(format!("{id}.json"))
    }

    pub(crate) fn namespaces(&self) -> PathBuf {
        self.root.join("namespaces")
    }

    pub(crate) fn namespace(&self, name: &str) -> PathBuf {
        self.namespaces().join(format!("{name}.json"))
    }

    pub(crate) fn all_secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    pub(crate) fn secrets(&self, namespace: &str) -> PathBuf {
        self.all_secrets().join(namespace)
    }

    pub(crate) fn secret(&self, name: &SecretName) -> PathBuf {
        self.secrets(&name.namespace).join(&name.name)
    }

    pub(crate) fn all_logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The logs of a function as deployed at `created`: one deployed anew under the same name has others.
    pub(crate) fn logs(&self, id: &FunctionId, created: SystemTime) -> PathBuf {
        let since = created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.all_logs().join(id.as_str()).join(since.as_nanos().to_string())
    }

    /// The folder of one replica.
    pub(crate) fn place(&self, place: &str) -> PathBuf {
        self.run.join(place)
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
