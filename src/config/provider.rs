//! Settings of what runs replicas: which backend, and what the containerd backend is told.

use std::path::PathBuf;
use std::str::FromStr;

use tidegate_core::Reader;
use tidegate_provider_containerd::{Config as ContainerdConfig, Subnet};

/// What runs replicas.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// containerd when its socket answers, else processes.
    Auto,
    /// Local child processes.
    Process,
    /// Containers.
    Containerd,
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "process" => Ok(Self::Process),
            "containerd" => Ok(Self::Containerd),
            _ => Err(format!("there is no backend {text:?}; use process, containerd or auto")),
        }
    }
}

/// The containerd backend's settings, all but those that every backend has.
pub(super) fn containerd(read: &mut Reader<'_>) -> ContainerdConfig {
    let mut config = ContainerdConfig::new(PathBuf::new());
    config.socket = path(read, "TIDEGATE_CONTAINERD_SOCKET", config.socket);
    config.namespace_prefix = word(read, "TIDEGATE_CONTAINERD_PREFIX", "", 20);
    config.snapshotter = word(read, "TIDEGATE_SNAPSHOTTER", &config.snapshotter, 20);
    config.run_dir = path(read, "TIDEGATE_RUN_DIR", config.run_dir);
    const PLUGINS: &str = "TIDEGATE_CNI_DIR";
    if read.optional_text(PLUGINS).is_some() {
        config.plugin_dirs = vec![path(read, PLUGINS, PathBuf::new())];
    }
    // Longer names are cut by the kernel.
    config.bridge = word(read, "TIDEGATE_BRIDGE", &config.bridge, 15);
    config.subnet = read.parsed::<Subnet>(
        "TIDEGATE_SUBNET",
        config.subnet,
        "a range of addresses such as 10.62.0.0/16, with 8 to 30 fixed bits",
    );
    config.masquerade = read.flag("TIDEGATE_MASQUERADE", config.masquerade);
    config
}

fn path(read: &mut Reader<'_>, name: &str, default: PathBuf) -> PathBuf {
    let Some(text) = read.optional_text(name) else { return default };
    if !text.starts_with('/') || text.contains('\0') {
        read.refuse(name, "a full path, beginning with /");
    }
    text.into()
}

fn word(read: &mut Reader<'_>, name: &str, default: &str, longest: usize) -> String {
    let text = read.text(name, default);
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.len() > longest || text.starts_with('-') || !text.bytes().all(good) {
        read.refuse(name, format_args!("up to {longest} of a-z, 0-9 and -, not beginning with -"));
    }
    text
}
