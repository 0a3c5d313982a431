//! Settings of what runs replicas: which backend, and what the containerd backend is told, of registries too.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use tidegate_core::Reader;
use tidegate_provider_containerd::{Config as ContainerdConfig, Proxies, Registries, Subnet};

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
    config.oci_runtime = program(read, "TIDEGATE_OCI_RUNTIME");
    config.shim = shim(read);
    config.shims = shims(read, config.shims);
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
    for server in list(read, "TIDEGATE_NAME_SERVERS") {
        match server.parse() {
            Ok(server) => config.name_servers.push(server),
            Err(_) => read.refuse("TIDEGATE_NAME_SERVERS", "addresses with commas between"),
        }
    }
    config.masquerade = read.flag("TIDEGATE_MASQUERADE", config.masquerade);
    config.registries = registries(read);
    config.image_retention = read.duration("TIDEGATE_IMAGE_RETENTION", config.image_retention);
    config
}

/// Where images come from; of the settings that other programs have, too.
fn registries(read: &mut Reader<'_>) -> Registries {
    let mut registries = Registries::default();
    registries.policy =
        read.parsed("TIDEGATE_PULL_POLICY", registries.policy, "Always, IfNotPresent or Never");
    let folder = |text: Option<String>, below: &str| text.map(|it| PathBuf::from(it).join(below));
    let own = read.optional_text("TIDEGATE_REGISTRY_LOGINS").map(|text| {
        if !text.starts_with('/') || text.contains('\0') {
            read.refuse("TIDEGATE_REGISTRY_LOGINS", "a full path, beginning with /");
        }
        PathBuf::from(text)
    });
    let docker = folder(read.optional_text("DOCKER_CONFIG"), "config.json");
    let home = folder(read.optional_text("HOME"), ".docker/config.json");
    registries.logins =
        own.into_iter().chain(registries.logins).chain(docker).chain(home).collect();
    registries.plain = hosts(read, "TIDEGATE_PLAIN_REGISTRIES");
    registries.encrypted = hosts(read, "TIDEGATE_TLS_REGISTRIES");
    for mirror in list(read, "TIDEGATE_REGISTRY_MIRRORS") {
        match mirror.split_once('=') {
            Some((of, by)) if is_host(of) && is_host(by) => {
                registries.mirrors.entry(of.to_owned()).or_default().push(by.to_owned());
            }
            _ => read.refuse(
                "TIDEGATE_REGISTRY_MIRRORS",
                "pairs HOST=MIRROR with commas between, such as docker.io=10.0.0.1:5000",
            ),
        }
    }
    for file in list(read, "TIDEGATE_REGISTRY_CA") {
        if !file.starts_with('/') || file.contains('\0') {
            read.refuse("TIDEGATE_REGISTRY_CA", "full paths of PEM files with commas between");
        }
        registries.authorities.push(file.into());
    }
    let mut either = |upper: &str, lower: &str| {
        let said = read.optional_text(upper).or_else(|| read.optional_text(lower));
        said.filter(|text| !text.is_empty())
    };
    registries.proxies = Proxies {
        http: either("HTTP_PROXY", "http_proxy"),
        https: either("HTTPS_PROXY", "https_proxy"),
        except: either("NO_PROXY", "no_proxy"),
    };
    registries
}

/// A program by its path, or by its name where containerd finds it.
fn program(read: &mut Reader<'_>, name: &str) -> Option<String> {
    let text = read.optional_text(name).filter(|text| !text.is_empty())?;
    let is_name = !text.contains('/') && !text.starts_with('-');
    if text.contains(['\0', ' ']) || !(is_name || text.starts_with('/')) {
        read.refuse(name, "a program such as crun or /usr/local/bin/crun");
    }
    Some(text)
}

/// What looks after containers, when not tidegate itself.
fn shim(read: &mut Reader<'_>) -> Option<String> {
    const NAME: &str = "TIDEGATE_SHIM";
    match read.optional_text(NAME)?.as_str() {
        "tidegate" => None,
        "runc" => Some("io.containerd.runc.v2".to_owned()),
        name if name.starts_with("io.containerd.") => Some(name.to_owned()),
        _ => {
            read.refuse(NAME, "tidegate, runc, or a runtime as containerd calls it, such as io.containerd.runc.v2");
            None
        }
    }
}

/// How many shims are shared; none when each function has its own.
fn shims(read: &mut Reader<'_>, default: Option<NonZeroUsize>) -> Option<NonZeroUsize> {
    const SHIMS: &str = "TIDEGATE_SHIMS";
    /// More than a machine with containers for all addresses of a bridge has use for.
    const MOST: usize = 256;
    let Some(text) = read.optional_text(SHIMS) else { return default };
    if text == "function" {
        return None;
    }
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= MOST);
    if number.is_none() {
        read.refuse(SHIMS, format_args!("1 to {MOST}, or function for one each"));
    }
    number
}

fn list(read: &mut Reader<'_>, name: &str) -> Vec<String> {
    let text = read.optional_text(name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

fn hosts(read: &mut Reader<'_>, name: &str) -> Vec<String> {
    let hosts = list(read, name);
    if !hosts.iter().all(|host| is_host(host)) {
        read.refuse(name, "hosts with commas between, such as 10.0.0.1:5000");
    }
    hosts
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte))
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
