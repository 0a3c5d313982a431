//! What a provider reports of a function and its replicas.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_core::{FunctionId, Replicas};

use crate::{Crashes, Deployment};

/// A function as the provider has it.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionStatus {
    /// What was deployed.
    pub deployment: Arc<Deployment>,
    /// Counts updates, from 1; replicas of an older revision are on their way out.
    pub revision: u64,
    /// When it was first deployed.
    pub created: SystemTime,
    /// How many replicas the provider was last asked for.
    pub desired: Replicas,
    /// Its replicas, in a stable order: oldest first.
    pub replicas: Vec<Replica>,
    /// Replicas that ended without being told to.
    pub crashes: Arc<Crashes>,
}

/// One running copy of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its id, never used twice.
    pub id: ReplicaId,
    /// Where it answers, once it has an address; one that is ready has.
    pub address: Option<Address>,
    /// What it is doing.
    pub phase: Phase,
    /// How often it was restarted after a crash.
    pub restarts: u32,
    /// What a user should know: exit code, signal, last error; empty when all is well.
    pub detail: String,
}

/// A replica's id: unique over the life of the state directory or cluster.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(Arc<str>);

/// Where a replica answers HTTP/1.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(Arc<PathBuf>),
    /// A TCP address in another network of this machine. Connections that are made from the inside stay on that
    /// network's loopback; the machine itself may reach the address as well, but by a longer way.
    Inside {
        /// The network's name in the file system, as `ip netns` and setns(2) take it.
        network: Arc<PathBuf>,
        /// The address there.
        address: SocketAddr,
        /// The name, in that network, of an abstract Unix socket on which the replica may answer as well; connections
        /// to it cost less.
        local: Arc<str>,
    },
}

/// What a replica is doing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Started, not ready yet.
    Starting,
    /// Answers.
    Ready,
    /// Crashed; waits for its next start.
    Backoff,
    /// Told to end.
    Stopping,
    /// Made, or on its way to be, its program not started; counts as none until started.
    Created,
    /// Stopped with its memory kept; counts as none until thawed.
    Frozen,
}

/// What one replica uses.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaUsage {
    /// Which replica.
    pub id: ReplicaId,
    /// CPU used since it started, in milliseconds.
    pub cpu_millis: u64,
    /// CPU used lately, in milli-cores.
    pub cpu_millicores: f64,
    /// Memory in use, in bytes.
    pub memory_bytes: u64,
}

impl FunctionStatus {
    /// Which function.
    pub fn function(&self) -> &FunctionId {
        &self.deployment.function
    }

    /// How many replicas answer.
    pub fn ready(&self) -> Replicas {
        self.count(Phase::Ready)
    }

    /// How many replicas are in this phase.
    pub fn count(&self, phase: Phase) -> Replicas {
        let count = self.replicas.iter().filter(|replica| replica.phase == phase).count();
        Replicas::new(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

impl ReplicaId {
    /// An id of this text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Inside { address, .. } => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Phase {
    /// The word shown to users.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Backoff => "backoff",
            Self::Stopping => "stopping",
            Self::Created => "created",
            Self::Frozen => "frozen",
        }
    }
}
