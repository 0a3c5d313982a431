//! What a shim reads of a container's specification, and of its processes.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Which containers share a shim. Source: containerd's shim for runc.
const GROUP: &str = "io.containerd.runc.v2.group";

/// Of `config.json`. Source: the runtime specification of the Open Container Initiative.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    annotations: HashMap<String, String>,
    hooks: Option<IgnoredAny>,
    linux: Linux,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Linux {
    cgroups_path: String,
    intel_rdt: Option<IgnoredAny>,
    namespaces: Vec<Namespace>,
}

#[derive(Debug, Deserialize)]
struct Namespace {
    r#type: String,
    path: Option<String>,
}

/// In a bundle: the number of its first process.
pub(super) const INIT_PID: &str = "init.pid";

/// The first process of a bundle's container, once it was made.
pub(super) fn init_pid(bundle: &Path) -> Option<u32> {
    read_pid(&bundle.join(INIT_PID))
}

/// What runc writes into a file when it has made a process.
pub(super) fn read_pid(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

impl Config {
    pub(super) fn read(bundle: &Path) -> io::Result<Self> {
        let text = fs::read(bundle.join("config.json"))?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    }

    /// Whose shim it shares; its own when none is said.
    pub(super) fn group(&self) -> Option<&str> {
        self.annotations.get(GROUP).map(String::as_str).filter(|group| !group.is_empty())
    }

    pub(super) fn cgroup(&self) -> &str {
        &self.linux.cgroups_path
    }

    /// Whether its control groups are all that is left of it when its first process has ended: no other process, and nothing
    /// that only the program knows which made it.
    pub(super) fn leaves_groups_alone(&self) -> bool {
        let is_plain = self.hooks.is_none() && self.linux.intel_rdt.is_none();
        // Otherwise it is systemd that makes them.
        let group = self.linux.cgroups_path.strip_prefix('/');
        let is_name = |part: &str| !matches!(part, "" | "." | "..");
        let makes_them_itself = group.is_some_and(|group| group.split('/').all(is_name));
        is_plain && makes_them_itself && self.numbers_its_own()
    }

    /// Whether its first process is the first of a numbering of its own, so that all end with it.
    pub(super) fn numbers_its_own(&self) -> bool {
        self.linux.namespaces.iter().any(|it| it.r#type == "pid" && it.path.is_none())
    }
}

/// A process and all that came of it.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(parent) = all.get(next) {
        let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        let children = threads.filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
        let children: Vec<u32> = children
            .flat_map(|it| it.split(' ').filter_map(|it| it.parse().ok()).collect::<Vec<_>>())
            .collect();
        all.extend(children);
        next += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_is_read() {
        let text = r#"{"ociVersion":"1.0.2","annotations":{"io.containerd.runc.v2.group":"g"},"linux":{
            "cgroupsPath":"/fn/a","namespaces":[{"type":"pid"},{"type":"network","path":"/run/netns/a"}]}}"#;
        let bundle = tempfile::tempdir().expect("a folder");
        fs::write(bundle.path().join("config.json"), text).expect("written");
        let config = Config::read(bundle.path()).expect("read");
        assert_eq!((config.group(), config.cgroup()), (Some("g"), "/fn/a"));
        assert!(config.numbers_its_own() && config.leaves_groups_alone());
        for (plain, other) in [
            ("\"/fn/a\"", "\"system.slice:tidegate:a\""),
            ("\"/fn/a\"", "\"/\""),
            ("\"/fn/a\"", "\"/fn/../a\""),
            ("\"/fn/a\"", "\"/fn/a\",\"intelRdt\":{}"),
            ("\"linux\":", "\"hooks\":{\"poststop\":[]},\"linux\":"),
            ("{\"type\":\"pid\"}", "{\"type\":\"pid\",\"path\":\"/proc/1/ns/pid\"}"),
        ] {
            fs::write(bundle.path().join("config.json"), text.replace(plain, other))
                .expect("written");
            let config = Config::read(bundle.path()).expect("read");
            assert!(!config.leaves_groups_alone(), "{other}");
        }
        fs::write(bundle.path().join("config.json"), "{}").expect("written");
        let config = Config::read(bundle.path()).expect("read");
        assert_eq!((config.group(), config.numbers_its_own()), (None, false));
    }

    #[test]
    fn a_family_has_children_of_children() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sh -c 'echo go; read word; :'; :"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut said = [0; 3];
        let out = shell.stdout.as_mut().expect("a pipe");
        std::io::Read::read_exact(out, &mut said).expect("it runs");
        assert_eq!(family(shell.id()).len(), 2);
        drop(shell.stdin.take());
        shell.wait().expect("ended");
    }
}
