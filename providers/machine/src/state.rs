//! A state directory, held alone: its lock, its identity, and where logs are in it.
//!
//! ```text
//! lock  identity.json  logs/NAME.NAMESPACE/CREATED/REPLICA.log[.1]      the rest is the backend's
//! ```

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use tidegate_core::FunctionId;
use tidegate_provider::ReplicaId;

use crate::durable;
use crate::error::OpenError;
use crate::identity::Identity;

/// A state directory that nobody else holds while this lives.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    identity: Identity,
    _lock: OwnedFd,
}

impl StateDir {
    /// Takes the directory, makes it when it is missing, and counts this run. Blocks.
    ///
    /// # Errors
    /// When another process holds it, or it cannot be written.
    pub fn take(path: &Path) -> Result<Self, OpenError> {
        durable::make_folder(path).map_err(OpenError::io("make", path))?;
        let root = path.canonicalize().map_err(OpenError::io("find", path))?;
        let lock = lock(&root)?;
        let identity = Identity::open(&root)?;
        Ok(Self { root, identity, _lock: lock })
    }

    /// Its full path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its own name, chosen once: eight letters and digits.
    pub fn name(&self) -> &str {
        self.identity.state()
    }

    /// Whether a replica of this state directory had this id, in whichever run.
    pub fn owns(&self, replica: &str) -> bool {
        self.identity.owns(replica)
    }

    /// An id for a new replica of `function`: `NAME-STATE-RUN-NUMBER`.
    pub(crate) fn mint(&self, function: &FunctionId) -> ReplicaId {
        self.identity.mint(function)
    }

    pub(crate) fn all_logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The logs of a function as deployed at `created`: one deployed anew under the same name has others.
    pub(crate) fn logs(&self, id: &FunctionId, created: SystemTime) -> PathBuf {
        let since = created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.all_logs().join(id.as_str()).join(since.as_nanos().to_string())
    }
}

/// Takes the directory for as long as the result lives.
fn lock(root: &Path) -> Result<OwnedFd, OpenError> {
    let path = root.join("lock");
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file: File = file.map_err(OpenError::io("open", &path))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        let holder =
            if holder.trim().is_empty() { "unknown".to_owned() } else { holder.trim().to_owned() };
        return Err(OpenError::InUse { path: root.to_owned(), holder });
    }
    // Only for the message above; the lock itself ends with the process.
    let written = file.set_len(0).and_then(|()| file.rewind());
    let _ = written.and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file.into())
}
