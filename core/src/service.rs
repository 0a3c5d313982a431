//! A service: a long-lived neighbour of functions, such as a database, in one container of its own.
//!
//! Written in a compose file; what each key means there is said in `docs/services.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a service is to be.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, a DNS label; functions and other services reach it by this.
    pub name: String,
    /// Its image, as written.
    pub image: String,
    /// When its registry is asked for the image; as the machine's settings say without one.
    pub pull: Option<Pull>,
    /// What runs, in place of the image's entry point.
    pub entrypoint: Option<Vec<String>>,
    /// What follows the entry point, in place of the image's command.
    pub command: Option<Vec<String>>,
    /// Variables, over those of the image.
    pub env: BTreeMap<String, String>,
    /// Who it runs as, in place of the image's user: `uid`, `name`, `uid:gid` or `name:group`.
    pub user: Option<String>,
    /// Where it starts, in place of the image's folder.
    pub working_dir: Option<String>,
    /// What its container calls itself; its name without one.
    pub hostname: Option<String>,
    /// Capabilities beyond the usual ones, such as `CAP_NET_RAW`.
    pub more_capabilities: Vec<String>,
    /// Usual capabilities that it does not get; `ALL` means all.
    pub fewer_capabilities: Vec<String>,
    /// What of the machine it sees.
    pub volumes: Vec<Volume>,
    /// Whether its own files cannot be written.
    pub read_only_root: bool,
    /// Most memory, in bytes.
    pub memory: Option<u64>,
    /// Most CPU, in thousandths of a core.
    pub cpu: Option<u64>,
    /// Ports of the machine that lead to it.
    pub ports: Vec<Port>,
    /// Services that it waits for before its first start.
    pub depends_on: BTreeMap<String, Condition>,
    /// When it is started again.
    pub restart: Restart,
    /// How it is asked whether it is well.
    pub health: Option<Health>,
    /// The signal by which it is asked to end, in place of the image's.
    pub stop_signal: Option<String>,
    /// How long it may take to end before it is killed.
    pub stop_grace: Duration,
}

/// When a registry is asked for an image.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pull {
    /// Each time that services are brought up.
    Always,
    /// When the image is not on this machine.
    Missing,
    /// Never.
    Never,
}

/// A file or folder that a service sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// What it is outside.
    pub source: Source,
    /// Where it is inside, a full path.
    pub target: String,
    /// Whether it cannot be written there.
    pub read_only: bool,
}

/// What a volume is outside of its service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A file or folder of the machine; a folder is made when there is neither.
    Path(PathBuf),
    /// A folder that tidegate keeps under this name.
    Named(String),
}

/// A port of the machine that leads to one of a service.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    /// The machine's address.
    pub address: IpAddr,
    /// The machine's port.
    pub outside: u16,
    /// The service's port.
    pub inside: u16,
}

/// What a service waits for in another.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// It runs.
    Started,
    /// It runs and says that it is well.
    Healthy,
    /// It ran and ended with code 0.
    Completed,
}

/// When a service is started again after it ended by itself.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// Whatever it ended with.
    Always,
    /// When it did not end with code 0; so many times in a row, or without end.
    OnFailure(Option<u32>),
}

/// How a service is asked whether it is well: by a command inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The command; code 0 means well.
    pub command: Vec<String>,
    /// From one answer to the next question.
    pub interval: Duration,
    /// Longest that an answer may take.
    pub timeout: Duration,
    /// How many bad answers in a row make it unwell.
    pub retries: u32,
    /// How long after its start bad answers do not count.
    pub start_period: Duration,
    /// The interval in this time.
    pub start_interval: Duration,
}

impl Service {
    /// Only what its container is made of. Two services that agree in this can live in the same container.
    pub fn program(&self) -> Self {
        Self {
            pull: None,
            ports: Vec::new(),
            depends_on: BTreeMap::new(),
            restart: Restart::No,
            health: None,
            stop_signal: None,
            stop_grace: Duration::ZERO,
            ..self.clone()
        }
    }
}

/// Without variables and words of commands: passwords are among them.
impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outside = std::net::SocketAddr::from((self.address, self.outside));
        write!(f, "{outside}:{}", self.inside)
    }
}
