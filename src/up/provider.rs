//! Which backend runs the replicas, and how it is opened.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use tidegate_gateway::Door;
use tidegate_provider::Provider;
use tidegate_provider_containerd::{Config as ContainerdConfig, ContainerdProvider, Settings};
use tidegate_provider_process::{Config as ProcessConfig, ProcessProvider};
use tokio_rustls::rustls::crypto::ring;
use tracing::info;

use crate::config::{Backend, Config};
use crate::tasks::Tasks;

/// Why no backend could be opened.
#[derive(Debug, thiserror::Error)]
#[error("the {backend} backend cannot be opened: {why}{next}")]
pub struct CannotOpen {
    backend: &'static str,
    why: String,
    next: &'static str,
}

/// An open backend, and what the start must know of it.
pub struct Opened {
    /// The backend.
    pub provider: Arc<dyn Provider>,
    /// Whether it runs this machine's own programs, so that this program itself can be a function.
    pub runs_programs: bool,
    /// Where functions look for the gateway and each other, when not at the gateway's own address.
    pub door: Option<Door>,
}

/// Opens the backend that `config` names, or finds out which one it is.
///
/// # Errors
/// When it cannot be opened.
pub async fn open(config: &Config, workers: &Tasks) -> Result<Opened, CannotOpen> {
    match chosen(config) {
        Backend::Containerd => containerd(config, workers).await,
        Backend::Process | Backend::Auto => process(config, workers).await,
    }
}

/// What `auto` means on this machine.
fn chosen(config: &Config) -> Backend {
    if config.backend != Backend::Auto {
        return config.backend;
    }
    let socket = &config.containerd.socket;
    if answers(socket) {
        info!("replicas are containers: containerd answers at {}", socket.display());
        return Backend::Containerd;
    }
    info!("replicas are processes: no containerd answers at {}", socket.display());
    Backend::Process
}

/// Whether somebody listens on a socket.
pub fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// Makes ring the process's provider of TLS, which pulls of images need.
pub fn install_tls() {
    // An error says that another one is there already, which does as well.
    let _ = ring::default_provider().install_default();
}

/// What those who look after services are told: as for functions, with a state directory of their own.
pub fn services_config(config: &Config) -> ContainerdConfig {
    let mut containerd = config.containerd.clone();
    containerd.settings = Settings::new(config.state_dir.join("services"));
    containerd
}

async fn process(config: &Config, workers: &Tasks) -> Result<Opened, CannotOpen> {
    let mut process = ProcessConfig::new(config.state_dir.join("process"));
    process.start_deadline = config.start_deadline;
    let provider = ProcessProvider::open(process, workers.tracker()).await;
    let provider = provider.map_err(|error| CannotOpen {
        backend: "process",
        why: error.to_string(),
        next: "",
    })?;
    Ok(Opened { provider, runs_programs: true, door: None })
}

async fn containerd(config: &Config, workers: &Tasks) -> Result<Opened, CannotOpen> {
    install_tls();
    let mut containerd = config.containerd.clone();
    containerd.settings = Settings::new(config.state_dir.join("containerd"));
    containerd.settings.start_deadline = config.start_deadline;
    let provider = ContainerdProvider::open(containerd, workers.tracker()).await;
    let provider = provider.map_err(|error| CannotOpen {
        backend: "containerd",
        why: error.to_string(),
        next: "; `tidegate doctor --pre` says what is missing",
    })?;
    let bridge = config.containerd.subnet.gateway();
    let inside = provider.clone();
    let namespace_of = move |address| inside.runtime().namespace_of(address);
    let door = Some(Door::new(bridge.into(), namespace_of));
    Ok(Opened { provider, runs_programs: false, door })
}
