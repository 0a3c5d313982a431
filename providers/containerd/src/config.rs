//! What the containerd backend is told: where containerd and its plugins are, what replicas may use, and
//! which addresses they get.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_provider_machine::Settings;

use crate::programs::{is_executable, version};
use crate::{Registries, SHIM_VERSION, Subnet};

/// The program that does nothing else.
const SMALL: &str = "tidegate-shim";

/// Settings of the containerd backend.
#[derive(Clone, Debug)]
pub struct Config {
    /// Settings that all backends on one machine share: the state directory, times, logs.
    pub settings: Settings,
    /// containerd's socket.
    pub socket: PathBuf,
    /// Begins the names of containerd's namespaces; what follows is the namespace of the functions. Tests
    /// and a second tidegate on the same containerd need one of their own.
    pub namespace_prefix: String,
    /// How containerd keeps file systems: `overlayfs`, or `native` where there is no overlayfs.
    pub snapshotter: String,
    /// The program that containerd makes containers with, by its name or its path; `None` means crun where it can be used, else runc.
    pub oci_runtime: Option<String>,
    /// How many of containerd's helper processes (shims) the functions of a namespace share at most; `None` means one
    /// for each function.
    pub shims: Option<NonZeroUsize>,
    /// Where networks, secrets and name files are; on a file system that a reboot empties.
    pub run_dir: PathBuf,
    /// Where CNI plugins are; the first folder that has one wins.
    pub plugin_dirs: Vec<PathBuf>,
    /// The bridge that replicas are connected to; made when missing.
    pub bridge: String,
    /// The addresses that replicas get; the bridge has the first one.
    pub subnet: Subnet,
    /// Whether the machine's firewall is told of each replica; `None` finds out whether it must be.
    pub firewall: Option<bool>,
    /// Whether replicas may call out of the machine under its address.
    pub masquerade: bool,
    /// Whether replicas are kept from calling each other but through the gateway.
    pub isolate: bool,
    /// How many networks are made ahead of need.
    pub spare_networks: usize,
    /// How many networks of replicas that ended are kept for the next ones; each holds an address.
    pub kept_networks: usize,
    /// The program that containerd starts for us: called with what [`crate::is_shim`] knows as shim, and with
    /// `log-collector` and one word to write logs. `None` means `tidegate-shim` beside this executable, which starts faster and takes
    /// less memory, or this executable when there is none of its version.
    pub collector: Option<PathBuf>,
    /// What looks after containers, as containerd calls it, such as `io.containerd.runc.v2`; `None` means the program
    /// above.
    pub shim: Option<String>,
    /// Servers that know the names of others; none means those that the machine asks.
    pub name_servers: Vec<IpAddr>,
    /// More lines for the replicas' `hosts` file: an address and a name each.
    pub hosts: Vec<(IpAddr, String)>,
    /// Most processes and threads of a replica.
    pub pids: u64,
    /// Where images come from that are not on this machine.
    pub registries: Registries,
    /// How long images that tidegate brought stay when no function uses them; zero means for ever.
    pub image_retention: Duration,
    /// Size of `/tmp` of functions whose root is read-only, in bytes; counts as memory.
    pub tmp_bytes: u64,
}

impl Config {
    /// The program that containerd starts for us.
    pub(crate) async fn program(&self) -> io::Result<PathBuf> {
        if let Some(program) = &self.collector {
            return Ok(program.clone());
        }
        Ok(beside(std::env::current_exe()?).await)
    }

    /// What looks after containers, when `program` is what containerd starts for us.
    pub(crate) fn shim_for(&self, program: &Path) -> String {
        self.shim.clone().unwrap_or_else(|| program.display().to_string())
    }

    /// Default settings for this state directory.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            settings: Settings::new(state_dir),
            socket: "/run/containerd/containerd.sock".into(),
            namespace_prefix: String::new(),
            snapshotter: "overlayfs".to_owned(),
            oci_runtime: None,
            shims: None,
            run_dir: "/run/tidegate".into(),
            plugin_dirs: vec!["/usr/lib/cni".into(), "/opt/cni/bin".into()],
            bridge: "openfaas0".to_owned(),
            subnet: Subnet::new(Ipv4Addr::new(10, 62, 0, 0), 16).expect("a good range"),
            firewall: None,
            masquerade: true,
            isolate: true,
            spare_networks: 2,
            kept_networks: 32,
            collector: None,
            shim: None,
            name_servers: Vec::new(),
            hosts: Vec::new(),
            pids: 4096,
            registries: Registries::default(),
            image_retention: Duration::from_secs(7 * 24 * 60 * 60),
            tmp_bytes: 64 << 20,
        }
    }
}

/// The small program beside this one, or this one when there is none of its version.
async fn beside(this: PathBuf) -> PathBuf {
    let small = this.with_file_name(SMALL);
    if !is_executable(&small) {
        return this;
    }
    let said = version(&small).await;
    if said.as_deref() == Some(SHIM_VERSION) {
        return small;
    }
    let small = small.display();
    let wanted = SHIM_VERSION;
    tracing::warn!(%small, %wanted, ?said, "this shim is of another version and is not used; install both programs together");
    this
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::programs::script;

    #[tokio::test]
    async fn the_small_program_is_taken_when_it_is_of_this_version() {
        let folder = tempfile::tempdir().expect("a folder");
        let (this, small) = (folder.path().join("tidegate"), folder.path().join(SMALL));
        assert_eq!(beside(this.clone()).await, this, "there is no other one");
        script(&small, &format!("[ \"$*\" = --version ] && echo '{SHIM_VERSION}'"));
        assert_eq!(beside(this.clone()).await, small);
        let refusal = "echo only containerd starts this >&2; exit 1";
        for other in ["echo tidegate-shim 0.0.0", "exit 1", refusal] {
            script(&small, other);
            assert_eq!(beside(this.clone()).await, this, "{other}");
        }
        fs::set_permissions(&small, fs::Permissions::from_mode(0o644)).expect("its own");
        assert_eq!(beside(this.clone()).await, this, "nobody may execute it");
    }
}
