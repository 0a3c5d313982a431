//! Every setting of `tidegate up`, read once: flags > environment > `tidegate.toml` > defaults.
//!
//! All four speak the same names: a flag `--idle-after` is the variable `TIDEGATE_IDLE_AFTER` and the
//! key `idle_after` of the file. OpenFaaS's own names are aliases. All bad values are reported at once.

mod provider;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tidegate_core::{BadVar, Decimal, Quantity, Vars};
use tidegate_gateway::Config as GatewayConfig;
use tidegate_idler::Limits;
use tidegate_provider_containerd::Config as ContainerdConfig;

pub use provider::Backend;

use crate::kernel::Proc;

/// Names that OpenFaaS users have in their environment already, and ours for them.
const ALIASES: [(&str, &str); 2] =
    [("TIDEGATE_AUTH", "basic_auth"), ("TIDEGATE_IDLE_AFTER", "inactivity_duration")];

/// Everything that `tidegate up` can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address that the API and the metrics listen on; loopback unless told otherwise.
    pub bind: IpAddr,
    /// Port of the API and console; 0 picks a free one.
    pub port: u16,
    /// Port of `/metrics`; 0 picks a free one.
    pub metrics_port: u16,
    /// What runs replicas.
    pub backend: Backend,
    /// What it is told when that is containerd.
    pub containerd: ContainerdConfig,
    /// Where functions, secrets, the password and what was learnt are kept.
    pub state_dir: PathBuf,
    /// Whether `/system` and `/ui` ask for a password.
    pub auth: bool,
    /// A file with the password; made in the state directory when not given.
    pub password_file: Option<PathBuf>,
    /// Idle time before zero for functions that name none.
    pub idle_after: Duration,
    /// Whether idle functions are only reported, not taken to zero.
    pub dry_run_idle: bool,
    /// Time a replica stays frozen at zero.
    pub warm: Duration,
    /// Time one is kept created after that, before it is removed.
    pub created: Duration,
    /// When replicas at rest give up their memory.
    pub memory: Limits,
    /// Idle replica-hours a day that functions with a learning zero policy may cost together.
    pub idle_budget: Option<Decimal>,
    /// A file with named custom rules.
    pub rules: Option<PathBuf>,
    /// A file that takes what the scale loop sees and decides.
    pub record: Option<PathBuf>,
    /// Most bytes of that file.
    pub record_limit: u64,
    /// Span over which load is averaged for scaling down.
    pub stable_window: Duration,
    /// Span over which load is averaged for scaling up.
    pub fast_window: Duration,
    /// Longest that a new replica may take to become ready.
    pub start_deadline: Duration,
    /// The gateway's own settings, credentials left out.
    pub gateway: GatewayConfig,
    /// Which log lines are shown, as `tracing` filters.
    pub log: String,
    /// Whether log lines are JSON.
    pub log_json: bool,
}

/// Why the settings could not be read.
#[derive(Debug, Error)]
pub enum BadConfig {
    /// The file exists and is not good.
    #[error("{path}: {why}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Values that are not allowed.
    #[error(transparent)]
    Values(#[from] BadVar),
    /// There is no place for the state.
    #[error("no place for the state: set TIDEGATE_STATE_DIR (or HOME)")]
    NoStateDir,
}

impl Config {
    /// Reads all settings from `vars`.
    ///
    /// # Errors
    /// With every value that is not allowed.
    pub fn from_vars(vars: &Vars) -> Result<Self, BadConfig> {
        let state_dir = default_state_dir(vars).ok_or(BadConfig::NoStateDir)?;
        let vars = &with_aliases(vars);
        let mut read = vars.reader();
        const PORT: &str = "a port from 0 to 65535";
        let log_json = match read.text("TIDEGATE_LOG_FORMAT", "text").as_str() {
            "text" => false,
            "json" => true,
            _ => {
                read.refuse("TIDEGATE_LOG_FORMAT", "text or json");
                false
            }
        };
        let config = Self {
            bind: read.parsed("TIDEGATE_BIND", Ipv4Addr::LOCALHOST.into(), "an IP address"),
            port: read.parsed("TIDEGATE_PORT", 8080, PORT),
            metrics_port: read.parsed("TIDEGATE_METRICS_PORT", 8082, PORT),
            backend: read.parsed(
                "TIDEGATE_PROVIDER",
                Backend::Process,
                "process, containerd or auto",
            ),
            containerd: provider::containerd(&mut read),
            state_dir,
            auth: read.flag("TIDEGATE_AUTH", true),
            password_file: read.optional_text("TIDEGATE_PASSWORD_FILE").map(PathBuf::from),
            idle_after: read.duration("TIDEGATE_IDLE_AFTER", secs(300)),
            dry_run_idle: read.flag("TIDEGATE_DRY_RUN_IDLE", false),
            warm: read.duration("TIDEGATE_WARM_DURATION", secs(600)),
            created: read.duration("TIDEGATE_CREATED_DURATION", secs(0)),
            memory: memory(&mut read),
            idle_budget: idle_budget(&mut read),
            rules: read.optional_text("TIDEGATE_RULES").map(PathBuf::from),
            record: read.optional_text("TIDEGATE_RECORD").map(PathBuf::from),
            record_limit: bytes(&mut read, "TIDEGATE_RECORD_LIMIT", 1 << 30),
            stable_window: read.duration("TIDEGATE_STABLE_WINDOW", secs(30)),
            fast_window: read.duration("TIDEGATE_FAST_WINDOW", secs(6)),
            start_deadline: read.duration("TIDEGATE_START_DEADLINE", secs(60)),
            gateway: GatewayConfig::read(&mut read),
            log: read.text("TIDEGATE_LOG", "info"),
            log_json,
        };
        check(&config, &mut read);
        Ok(read.finish(config)?)
    }

    /// Reads `tidegate.toml` of the current folder, if there is one, below `vars`, and then all settings.
    ///
    /// # Errors
    /// With every value that is not allowed.
    pub fn read(mut vars: Vars) -> Result<Self, BadConfig> {
        let path = Path::new("tidegate.toml");
        if let Ok(text) = std::fs::read_to_string(path) {
            layer_file(&mut vars, path, &text)?;
        }
        Self::from_vars(&vars)
    }
}

/// When replicas at rest give up their memory.
fn memory(read: &mut tidegate_core::Reader<'_>) -> Limits {
    const FLOOR: &str = "TIDEGATE_MEMORY_FLOOR";
    const PRESSURE: &str = "TIDEGATE_MEMORY_PRESSURE";
    let available = optional_bytes(read, FLOOR);
    if available.zip(Proc::default().total()).is_some_and(|(floor, total)| floor >= total) {
        read.refuse(FLOOR, "less than this machine has, or it would always be short");
    }
    let percent: u32 =
        read.parsed(PRESSURE, 10, "a whole percentage from 0, which turns it off, to 99");
    if percent > 99 {
        read.refuse(PRESSURE, "a whole percentage from 0, which turns it off, to 99");
    }
    Limits {
        rest: optional_bytes(read, "TIDEGATE_FROZEN_MEMORY"),
        available,
        stalled: (percent > 0).then_some(percent.min(99) * 100),
    }
}

fn optional_bytes(read: &mut tidegate_core::Reader<'_>, name: &'static str) -> Option<u64> {
    read.optional_text(name)?;
    Some(bytes(read, name, 0))
}

fn bytes(read: &mut tidegate_core::Reader<'_>, name: &str, default: u64) -> u64 {
    let default = Quantity::from_nanos(u128::from(default) * 1_000_000_000);
    read.parsed(name, default, "a number of bytes such as 100Mi or 1G").units()
}

fn idle_budget(read: &mut tidegate_core::Reader<'_>) -> Option<Decimal> {
    const NAME: &str = "TIDEGATE_IDLE_BUDGET";
    let hours = read.optional_text(NAME)?.parse::<Decimal>().ok();
    let hours = hours.filter(|hours| !hours.is_zero());
    if hours.is_none() {
        read.refuse(NAME, "idle replica-hours a day, a number above 0 such as 24 or 1.5");
    }
    hours
}

fn check(config: &Config, read: &mut tidegate_core::Reader<'_>) {
    let window = secs(1)..=secs(3600);
    if !window.contains(&config.stable_window) {
        read.refuse("TIDEGATE_STABLE_WINDOW", "from 1s to 1h");
    }
    if !window.contains(&config.fast_window) || config.fast_window > config.stable_window {
        read.refuse("TIDEGATE_FAST_WINDOW", "from 1s to the stable window");
    }
    if config.idle_after.is_zero() {
        read.refuse("TIDEGATE_IDLE_AFTER", "above zero");
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn with_aliases(vars: &Vars) -> Vars {
    let mut vars = vars.clone();
    for (ours, theirs) in ALIASES {
        if let (None, Some(text)) = (vars.get(ours), vars.get(theirs)) {
            let text = text.to_owned();
            vars.set(ours, text);
        }
    }
    vars
}

/// Where state is kept: `TIDEGATE_STATE_DIR`, else `tidegate` below `XDG_STATE_HOME` or
/// `~/.local/state`. `None` when there is no home either.
pub fn default_state_dir(vars: &Vars) -> Option<PathBuf> {
    if let Some(path) = vars.get("TIDEGATE_STATE_DIR") {
        return Some(PathBuf::from(path));
    }
    let base = match vars.get("XDG_STATE_HOME") {
        Some(path) => PathBuf::from(path),
        None => Path::new(vars.get("HOME")?).join(".local/state"),
    };
    Some(base.join("tidegate"))
}

/// Adds the settings of a `tidegate.toml` below what `vars` has: `idle_after = "2m"` becomes
/// `TIDEGATE_IDLE_AFTER` unless that is set.
///
/// # Errors
/// When the text is no flat TOML table of known keys.
pub fn layer_file(vars: &mut Vars, path: &Path, text: &str) -> Result<(), BadConfig> {
    let bad = |why: String| BadConfig::File { path: path.to_owned(), why };
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| bad(error.to_string()))?;
    for (key, value) in table {
        let name = format!("TIDEGATE_{}", key.to_ascii_uppercase());
        if !KNOWN.contains(&name.as_str()) {
            return Err(bad(format!("unknown key {key:?}; see docs/configuration.md")));
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            _ => return Err(bad(format!("{key} must be a text, a whole number or true/false"))),
        };
        if vars.get(&name).is_none() {
            vars.set(name, text);
        }
    }
    Ok(())
}

/// Every variable that [`Config::from_vars`] reads; also the keys of `tidegate.toml`.
pub const KNOWN: [&str; 53] = [
    "TIDEGATE_BIND",
    "TIDEGATE_PORT",
    "TIDEGATE_METRICS_PORT",
    "TIDEGATE_THREADS",
    "TIDEGATE_STATE_DIR",
    "TIDEGATE_PROVIDER",
    "TIDEGATE_CONTAINERD_SOCKET",
    "TIDEGATE_CONTAINERD_PREFIX",
    "TIDEGATE_OCI_RUNTIME",
    "TIDEGATE_SHIM",
    "TIDEGATE_SHIMS",
    "TIDEGATE_SNAPSHOTTER",
    "TIDEGATE_RUN_DIR",
    "TIDEGATE_CNI_DIR",
    "TIDEGATE_BRIDGE",
    "TIDEGATE_SUBNET",
    "TIDEGATE_NAME_SERVERS",
    "TIDEGATE_MASQUERADE",
    "TIDEGATE_PULL_POLICY",
    "TIDEGATE_REGISTRY_LOGINS",
    "TIDEGATE_PLAIN_REGISTRIES",
    "TIDEGATE_TLS_REGISTRIES",
    "TIDEGATE_REGISTRY_MIRRORS",
    "TIDEGATE_REGISTRY_CA",
    "TIDEGATE_AUTH",
    "TIDEGATE_PASSWORD_FILE",
    "TIDEGATE_IDLE_AFTER",
    "TIDEGATE_DRY_RUN_IDLE",
    "TIDEGATE_WARM_DURATION",
    "TIDEGATE_CREATED_DURATION",
    "TIDEGATE_FROZEN_MEMORY",
    "TIDEGATE_MEMORY_FLOOR",
    "TIDEGATE_MEMORY_PRESSURE",
    "TIDEGATE_IDLE_BUDGET",
    "TIDEGATE_RULES",
    "TIDEGATE_RECORD",
    "TIDEGATE_RECORD_LIMIT",
    "TIDEGATE_STABLE_WINDOW",
    "TIDEGATE_FAST_WINDOW",
    "TIDEGATE_START_DEADLINE",
    "TIDEGATE_UPSTREAM_TIMEOUT",
    "TIDEGATE_CONNECT_TIMEOUT",
    "TIDEGATE_WAKE_TIMEOUT",
    "TIDEGATE_ROOM_SIZE",
    "TIDEGATE_DRAIN_LIMIT",
    "TIDEGATE_HEADER_TIMEOUT",
    "TIDEGATE_IDLE_CONNECTIONS",
    "TIDEGATE_IDLE_TIMEOUT",
    "TIDEGATE_RETRIES",
    "TIDEGATE_LAME_DUCK",
    "TIDEGATE_SHUTDOWN_GRACE",
    "TIDEGATE_LOG",
    "TIDEGATE_LOG_FORMAT",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> Vars {
        let home = [("HOME", "/home/u")];
        pairs.iter().chain(&home).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn defaults_bind_to_loopback_and_ask_for_a_password() {
        let config = Config::from_vars(&vars(&[])).expect("defaults are good");
        assert!(config.bind.is_loopback() && config.auth);
        assert_eq!((config.port, config.metrics_port), (8080, 8082));
        assert_eq!(config.state_dir, Path::new("/home/u/.local/state/tidegate"));
    }

    #[test]
    fn all_bad_values_are_reported_together() {
        let vars = vars(&[
            ("TIDEGATE_PORT", "x"),
            ("TIDEGATE_IDLE_AFTER", "soon"),
            ("TIDEGATE_FAST_WINDOW", "2h"),
        ]);
        let text = Config::from_vars(&vars).expect_err("three are bad").to_string();
        for name in
            ["TIDEGATE_PORT=\"x\"", "TIDEGATE_IDLE_AFTER=\"soon\"", "TIDEGATE_FAST_WINDOW=\"2h\""]
        {
            assert!(text.contains(name), "{name} in {text}");
        }
    }

    #[test]
    fn limits_of_memory_that_cannot_work_are_refused() {
        let read = |name: &str, value: &str| Config::from_vars(&vars(&[(name, value)]));
        let default = read("TIDEGATE_PORT", "1").expect("good").memory;
        assert_eq!(default, Limits { rest: None, available: None, stalled: Some(1000) });
        let off = read("TIDEGATE_MEMORY_PRESSURE", "0").expect("good").memory;
        assert_eq!(off, Limits::default());
        let floor = read("TIDEGATE_MEMORY_FLOOR", "64Mi").expect("good").memory.available;
        assert_eq!(floor, Some(64 << 20));
        for (name, value) in [
            ("TIDEGATE_MEMORY_FLOOR", "1024Pi"),
            ("TIDEGATE_MEMORY_FLOOR", "much"),
            ("TIDEGATE_MEMORY_PRESSURE", "100"),
            ("TIDEGATE_MEMORY_PRESSURE", "-1"),
            ("TIDEGATE_FROZEN_MEMORY", "little"),
        ] {
            let refused = read(name, value).expect_err("cannot work").to_string();
            assert!(refused.contains(name), "{refused}");
        }
    }

    #[test]
    fn what_makes_containers_and_looks_after_them_can_be_said() {
        let read = |name: &str, value: &str| Config::from_vars(&vars(&[(name, value)]));
        let runtime =
            |text: &str| read("TIDEGATE_OCI_RUNTIME", text).expect("good").containerd.oci_runtime;
        assert_eq!(runtime("crun").as_deref(), Some("crun"));
        assert_eq!(runtime("/opt/bin/crun").as_deref(), Some("/opt/bin/crun"));
        let shims = |text: &str| read("TIDEGATE_SHIMS", text).expect("good").containerd.shims;
        assert_eq!(shims("3").map(std::num::NonZeroUsize::get), Some(3));
        assert_eq!(shims("function"), None);
        let shim = |text: &str| read("TIDEGATE_SHIM", text).expect("good").containerd.shim;
        assert_eq!(shim("tidegate"), None);
        assert_eq!(shim("runc").as_deref(), Some("io.containerd.runc.v2"));
        assert_eq!(shim("io.containerd.kata.v2").as_deref(), Some("io.containerd.kata.v2"));
        for (name, value) in [
            ("TIDEGATE_OCI_RUNTIME", "bin/crun"),
            ("TIDEGATE_OCI_RUNTIME", "--root=/"),
            ("TIDEGATE_SHIM", "/bin/shim"),
            ("TIDEGATE_SHIMS", "0"),
            ("TIDEGATE_SHIMS", "257"),
            ("TIDEGATE_SHIMS", "some"),
        ] {
            let refused = read(name, value).expect_err("cannot work").to_string();
            assert!(refused.contains(name), "{refused}");
        }
    }

    #[test]
    fn openfaas_names_are_aliases_and_ours_win() {
        let both = vars(&[("upstream_timeout", "5"), ("TIDEGATE_UPSTREAM_TIMEOUT", "7s")]);
        assert_eq!(Config::from_vars(&both).expect("good").gateway.upstream_timeout, secs(7));
        let theirs = vars(&[("inactivity_duration", "90s")]);
        assert_eq!(Config::from_vars(&theirs).expect("good").idle_after, secs(90));
    }

    #[test]
    fn the_file_is_below_the_environment_and_unknown_keys_are_refused() {
        let mut set = vars(&[("TIDEGATE_PORT", "1")]);
        layer_file(&mut set, Path::new("tidegate.toml"), "port = 2\nidle_after = \"2m\"")
            .expect("good");
        let config = Config::from_vars(&set).expect("good");
        assert_eq!((config.port, config.idle_after), (1, secs(120)));
        assert!(layer_file(&mut set, Path::new("tidegate.toml"), "prot = 2").is_err());
    }

    #[test]
    fn every_known_name_is_read() {
        for name in KNOWN {
            let bad = Config::from_vars(&vars(&[(name, "\u{0}?")]));
            let text_is_fine = ["STATE_DIR", "PASSWORD_FILE", "RULES", "RECORD", "LOG"]
                .iter()
                .any(|end| name.ends_with(end));
            assert!(bad.is_err() || text_is_fine, "{name}");
        }
    }

    #[test]
    fn every_known_name_is_documented() {
        let documented = include_str!("../docs/configuration.md");
        for name in KNOWN {
            assert!(
                documented.contains(&format!("`{name}`")),
                "{name} is not in docs/configuration.md"
            );
        }
    }
}
