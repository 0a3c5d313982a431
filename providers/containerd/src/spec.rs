//! The OCI runtime specification of a replica's container.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidegate_core::FunctionId;
use tidegate_provider::Deployment;
use tidegate_provider_machine::Limits;

use crate::deployed::allows_32_bit;
use crate::error::Failure;
use crate::manifest::ProcessConfig;
use crate::network::LOCAL;
use crate::seccomp::{self, Programs};
use crate::users::User;

/// Where functions look for their secrets.
pub(crate) const SECRETS: &str = "/var/openfaas/secrets";
/// `PATH` of images that set none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Length of one accounting period of the CPU limit, in microseconds; the kernel's own default.
const PERIOD: u64 = 100_000;
/// The kernel's smallest share and quota of CPU.
const LEAST_SHARES: u64 = 2;
const LEAST_QUOTA: u64 = 1000;
/// Open files of a replica, unless it asks for more.
const OPEN_FILES: u64 = 1024;
/// The most it may ask for, unless we may have fewer ourselves.
const MOST_OPEN_FILES: u64 = 1 << 19;
/// How long OpenFaaS's watchdogs go on taking calls after they are told to end, unless image or function say
/// otherwise; without a word they do for up to 30 s. No call is sent to a replica that is told to end, and here that
/// is known at once.
const LAST_CALLS: &str = "100ms";
/// Containers with the same value here share one process that looks after them.
const GROUP: &str = "io.containerd.runc.v2.group";

/// What a container is made of, beside its deployment.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    pub(crate) deployment: &'a Deployment,
    pub(crate) image: &'a ProcessConfig,
    pub(crate) user: &'a User,
    pub(crate) limits: Limits,
    pub(crate) requests: Limits,
    /// Its cgroup, from the root of each hierarchy.
    pub(crate) cgroup: String,
    /// Its network.
    pub(crate) netns: PathBuf,
    /// The files `hosts` and `resolv.conf`.
    pub(crate) names: &'a Path,
    /// Its secrets, when it has any.
    pub(crate) secrets: Option<PathBuf>,
    /// Most processes and threads.
    pub(crate) pids: u64,
    /// Size of `/tmp` when the root is read-only, in bytes.
    pub(crate) tmp_bytes: u64,
    /// Most files that we ourselves may open.
    pub(crate) own_open_files: u64,
    /// Containers of the same group share a process of containerd's.
    pub(crate) group: String,
}

/// What any container's specification says, a function's or a service's.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    pub(crate) hostname: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    /// Where its program starts.
    pub(crate) cwd: String,
    pub(crate) user: &'a User,
    pub(crate) capabilities: &'a [String],
    /// Most files it may open: at first, and when it asks for more.
    pub(crate) open_files: (u64, u64),
    /// How willingly the kernel ends it when the machine is out of memory, from -1000 to 1000. Source:
    /// `proc_pid_oom_score_adj(5)`.
    pub(crate) oom_score_adj: i32,
    pub(crate) read_only_root: bool,
    pub(crate) mounts: Vec<Value>,
    pub(crate) resources: Value,
    pub(crate) cgroup: &'a str,
    pub(crate) netns: &'a Path,
    pub(crate) group: &'a str,
    pub(crate) programs: Programs,
}

/// Functions go before the rest of the machine. Nothing said would mean what containerd's service has: hardly ever.
const FUNCTIONS_FIRST: i32 = 500;

/// The whole specification of a function's container.
pub(crate) fn spec(container: &Container<'_>) -> Result<Value, Failure> {
    let deployment = container.deployment;
    let open_files = container.own_open_files.min(MOST_OPEN_FILES);
    Ok(document(Words {
        hostname: hostname(&deployment.function),
        args: args(deployment, container.image)?,
        env: env(container),
        cwd: cwd(container.image).to_owned(),
        user: container.user,
        capabilities: &[],
        open_files: (OPEN_FILES.min(open_files), open_files),
        oom_score_adj: FUNCTIONS_FIRST,
        read_only_root: deployment.read_only_root,
        mounts: mounts(container),
        resources: resources(container.limits, container.requests, container.pids),
        cgroup: &container.cgroup,
        netns: &container.netns,
        group: &container.group,
        programs: match allows_32_bit(deployment) {
            true => Programs::ThirtyTwoBit,
            false => Programs::Native,
        },
    }))
}

/// The folder that an image starts in.
pub(crate) fn cwd(image: &ProcessConfig) -> &str {
    image.working_dir.as_deref().filter(|it| it.starts_with('/')).unwrap_or("/")
}

/// The specification, in the words of the OCI.
pub(crate) fn document(words: Words<'_>) -> Value {
    let (soft, hard) = words.open_files;
    let capabilities = words.capabilities;
    json!({
        "ociVersion": "1.0.2",
        "hostname": words.hostname,
        "root": {"path": "rootfs", "readonly": words.read_only_root},
        "process": {
            "args": words.args,
            "env": words.env,
            "cwd": words.cwd,
            "user": {
                "uid": words.user.uid,
                "gid": words.user.gid,
                "additionalGids": words.user.groups,
            },
            "noNewPrivileges": true,
            "oomScoreAdj": words.oom_score_adj,
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": soft, "hard": hard}],
        },
        "mounts": words.mounts,
        "annotations": {GROUP: words.group},
        "linux": {
            "cgroupsPath": words.cgroup,
            "namespaces": [
                {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                {"type": "network", "path": words.netns},
            ],
            "resources": words.resources,
            "seccomp": seccomp::filter(words.programs),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
                "/sys/firmware", "/sys/devices/virtual/powercap",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// A host's name has at most 63 bytes, and so has a function's.
fn hostname(function: &FunctionId) -> String {
    function.name().chars().take(63).collect()
}

/// The image's own words: a function's process is for the watchdog in it, by `fprocess`.
fn args(deployment: &Deployment, image: &ProcessConfig) -> Result<Vec<String>, Failure> {
    let words = [&image.entrypoint, &image.cmd].into_iter().flatten().flatten();
    let args: Vec<String> = words.cloned().collect();
    if args.is_empty() {
        return Err(Failure::Told(format!(
            "image {} does not say what to run: it has neither ENTRYPOINT nor CMD",
            deployment.image
        )));
    }
    Ok(args)
}

/// The variables of an image, and those that every program may count on.
pub(crate) fn env_of(image: &ProcessConfig, user: &User) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    if let Some(home) = &user.home {
        env.insert("HOME".to_owned(), home.clone());
    }
    let of_image = image.env.iter().flatten().filter_map(|pair| pair.split_once('='));
    env.extend(of_image.map(|(name, text)| (name.to_owned(), text.to_owned())));
    env
}

fn env(container: &Container<'_>) -> Vec<String> {
    let deployment = container.deployment;
    let mut env = env_of(container.image, container.user);
    env.entry("healthcheck_interval".to_owned()).or_insert_with(|| LAST_CALLS.to_owned());
    env.extend(deployment.env.to_map());
    if !deployment.process.is_empty() {
        env.insert("fprocess".to_owned(), deployment.process.clone());
    }
    env.insert("OPENFAAS_NAME".to_owned(), deployment.function.name().to_owned());
    env.insert("TIDEGATE_LOCAL".to_owned(), format!("@{LOCAL}"));
    env.insert("OPENFAAS_NAMESPACE".to_owned(), deployment.function.namespace().to_owned());
    env.into_iter().map(|(name, text)| format!("{name}={text}")).collect()
}

fn mount(kind: &str, to: &str, options: &[&str]) -> Value {
    json!({"type": kind, "source": kind, "destination": to, "options": options})
}

fn bind(from: PathBuf, to: &str) -> Value {
    json!({
        "type": "bind", "source": from, "destination": to,
        "options": ["rbind", "ro", "nosuid", "nodev", "noexec"],
    })
}

/// What every container sees beside its own files, `hosts` and `resolv.conf` among it.
pub(crate) fn mounts_of_all(hosts: PathBuf, resolv: PathBuf) -> Vec<Value> {
    vec![
        mount("proc", "/proc", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "devpts",
            "/dev/pts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        ),
        mount("tmpfs", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
        mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        bind(hosts, "/etc/hosts"),
        bind(resolv, "/etc/resolv.conf"),
    ]
}

/// A `/tmp` of its own for a container whose root cannot be written.
pub(crate) fn tmp(bytes: u64) -> Value {
    let size = format!("size={}k", bytes >> 10);
    mount("tmpfs", "/tmp", &["nosuid", "nodev", "mode=1777", &size])
}

fn mounts(container: &Container<'_>) -> Vec<Value> {
    let mut mounts =
        mounts_of_all(container.names.join("hosts"), container.names.join("resolv.conf"));
    if container.deployment.read_only_root {
        mounts.push(tmp(container.tmp_bytes));
    }
    if let Some(secrets) = &container.secrets {
        mounts.push(bind(secrets.clone(), SECRETS));
    }
    mounts
}

/// The amounts that a container gets of the machine, in the words of the OCI.
pub(crate) fn resources(limits: Limits, requests: Limits, pids: u64) -> Value {
    let mut resources = json!({
        "devices": [{"allow": false, "access": "rwm"}],
        "pids": {"limit": pids},
    });
    if let Some(bytes) = limits.memory {
        // As much swap as memory means none beyond it.
        resources["memory"] = json!({"limit": bytes, "swap": bytes});
    }
    if let Some(bytes) = requests.memory {
        resources["memory"]["reservation"] = json!(bytes);
    }
    let mut cpu = serde_json::Map::new();
    if let Some(millis) = limits.cpu {
        cpu.insert("quota".to_owned(), json!((millis * PERIOD / 1000).max(LEAST_QUOTA)));
        cpu.insert("period".to_owned(), json!(PERIOD));
    }
    if let Some(millis) = requests.cpu {
        // A whole core is 1024 shares.
        cpu.insert("shares".to_owned(), json!((millis * 1024 / 1000).max(LEAST_SHARES)));
    }
    if !cpu.is_empty() {
        resources["cpu"] = Value::Object(cpu);
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_provider::Resources;

    fn deployment() -> Deployment {
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        Deployment {
            function: FunctionId::parse("fn").expect("a name"),
            image: "app".to_owned(),
            process: "cat".to_owned(),
            env: [pair("A", "b=c"), pair("FROM_IMAGE", "changed")].into(),
            labels: [].into(),
            annotations: [].into(),
            secrets: Vec::new(),
            constraints: Vec::new(),
            limits: Some(Resources {
                memory: Some("64Mi".to_owned()),
                cpu: Some("250m".to_owned()),
            }),
            requests: Some(Resources { memory: None, cpu: Some("1".to_owned()) }),
            read_only_root: true,
        }
    }

    fn of(deployment: &Deployment, image: &ProcessConfig) -> Result<Value, Failure> {
        spec(&Container {
            deployment,
            image,
            user: &User {
                uid: 100,
                gid: 101,
                groups: vec![44],
                home: Some("/home/app".to_owned()),
            },
            limits: Limits::read(deployment.limits.as_ref()).expect("good limits"),
            requests: Limits::read(deployment.requests.as_ref()).expect("good requests"),
            cgroup: "/ns/id".to_owned(),
            netns: "/run/netns/x".into(),
            names: Path::new("/run/names"),
            secrets: Some("/run/secrets/fn".into()),
            pids: 100,
            tmp_bytes: 1 << 20,
            own_open_files: 2048,
            group: "fn".to_owned(),
        })
    }

    #[test]
    fn a_container_is_what_image_and_deployment_say_together() {
        let image = ProcessConfig {
            env: Some(vec!["PATH=/bin".to_owned(), "FROM_IMAGE=1".to_owned()]),
            entrypoint: Some(vec!["fwatchdog".to_owned()]),
            cmd: None,
            working_dir: Some("/app".to_owned()),
            ..ProcessConfig::default()
        };
        let spec = of(&deployment(), &image).expect("a good container");
        let process = &spec["process"];
        assert_eq!(process["args"], json!(["fwatchdog"]));
        assert_eq!(process["cwd"], "/app");
        assert_eq!(process["user"], json!({"uid": 100, "gid": 101, "additionalGids": [44]}));
        assert_eq!(process["rlimits"][0]["hard"], 2048);
        assert_eq!(process["oomScoreAdj"], 500, "whatever containerd's own is");
        let env = json!([
            "A=b=c",
            "FROM_IMAGE=changed",
            "HOME=/home/app",
            "OPENFAAS_NAME=fn",
            "OPENFAAS_NAMESPACE=openfaas-fn",
            "PATH=/bin",
            "TIDEGATE_LOCAL=@tidegate",
            "fprocess=cat",
            "healthcheck_interval=100ms"
        ]);
        assert_eq!(process["env"], env);
        let resources = &spec["linux"]["resources"];
        assert_eq!(resources["memory"], json!({"limit": 64 << 20, "swap": 64 << 20}));
        assert_eq!(resources["cpu"], json!({"quota": 25_000, "period": 100_000, "shares": 1024}));
        assert_eq!(spec["root"]["readonly"], true);
        let to: Vec<_> = spec["mounts"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| &it["destination"])
            .collect();
        assert!(to.contains(&&json!("/tmp")) && to.contains(&&json!(SECRETS)), "{to:?}");
    }

    #[test]
    fn an_image_that_runs_nothing_is_refused() {
        assert!(of(&deployment(), &ProcessConfig::default()).is_err());
    }
}
