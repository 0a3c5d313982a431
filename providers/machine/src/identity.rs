//! Names that are never used twice: of the state directory, of its runs, of replicas.
//!
//! A replica's id is `NAME-STATE-RUN-NUMBER`, so that a later run knows what an earlier one left behind, and
//! leaves what belongs to other state directories alone.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tidegate_core::FunctionId;
use tidegate_provider::ReplicaId;

use crate::durable;
use crate::error::OpenError;

/// Who this state directory is, and which run of it this is.
#[derive(Debug)]
pub(crate) struct Identity {
    state: String,
    run: u64,
    next: AtomicU64,
}

#[derive(Serialize, Deserialize)]
struct Record {
    state: String,
    run: u64,
}

impl Identity {
    /// Reads the identity, makes one in a new state directory, and counts this run durably.
    pub(crate) fn open(root: &Path) -> Result<Self, OpenError> {
        let path = root.join("identity.json");
        let mut record = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice::<Record>(&text)
                .map_err(|bad| OpenError::Damaged { path: path.clone(), why: bad.to_string() })?,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
                let state = random_name().map_err(OpenError::io("choose a name for", root))?;
                Record { state, run: 0 }
            }
            Err(failure) => return Err(OpenError::io("read", &path)(failure)),
        };
        record.run += 1;
        let text = serde_json::to_vec(&record).expect("a text and a number are JSON");
        durable::write(&path, &text).map_err(OpenError::io("write", &path))?;
        Ok(Self { state: record.state, run: record.run, next: AtomicU64::new(1) })
    }

    /// The state directory's own name.
    pub(crate) fn state(&self) -> &str {
        &self.state
    }

    /// An id for a new replica of `function`.
    pub(crate) fn mint(&self, function: &FunctionId) -> ReplicaId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        ReplicaId::new(format!("{}-{}-{}-{number}", function.name(), self.state, self.run))
    }

    /// Whether a replica of this state directory had this id, in whichever run.
    pub(crate) fn owns(&self, replica: &str) -> bool {
        let mut parts = replica.rsplitn(4, '-');
        let (_number, _run) = (parts.next(), parts.next());
        parts.next() == Some(self.state.as_str())
    }
}

/// The end of a replica's id that is its own within its state directory, `RUN-NUMBER`: short enough for a
/// folder with a socket in it.
pub fn place(replica: &ReplicaId) -> &str {
    let id = replica.as_str();
    let run = id.rmatch_indices('-').nth(1);
    run.map_or(id, |(at, _)| &id[at + 1..])
}

/// Forty random bits, in letters and digits that are not mistaken for each other.
fn random_name() -> std::io::Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_over_runs_and_are_known_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let function = FunctionId::parse("my-fn").expect("a name");
        let first = Identity::open(folder.path()).expect("a new identity");
        let one = first.mint(&function);
        let again = Identity::open(folder.path()).expect("the same identity");
        let two = again.mint(&function);
        assert_ne!(one, two);
        assert_eq!((place(&one), place(&two)), ("1-1", "2-1"));
        assert!(again.owns(one.as_str()) && first.owns(two.as_str()));
        let stranger = tempfile::tempdir().expect("a folder");
        let stranger = Identity::open(stranger.path()).expect("another identity");
        assert!(!stranger.owns(one.as_str()));
        assert!(!first.owns("") && !first.owns("a-b-c-d"));
    }
}
