//! What this machine lacks for the containerd backend, each with the command that mends it.

use std::path::PathBuf;

use crate::cgroup::Hierarchy;
use crate::connection::Connection;
use crate::programs::find;
use crate::{Config, oci_runtime};

/// Plugins that networks are made with.
const PLUGINS: [&str; 2] = ["bridge", "host-local"];
/// Controllers that hold limits and freeze, as version 1 and version 2 call them.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// Something that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What, in words for users.
    pub what: String,
    /// The command that mends it.
    pub mend: String,
}

impl Missing {
    pub(crate) fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), mend: mend.into() }
    }
}

/// All that is missing for these settings; empty when the backend can be opened.
pub async fn doctor(config: &Config) -> Vec<Missing> {
    let mut missing = Vec::new();
    missing.extend(root());
    if let Err(failure) = Connection::new(&config.socket, "doctor").version().await {
        let what = format!("{} does not answer: {failure}", config.socket.display());
        missing.push(Missing::new(
            what,
            "apt-get install containerd && systemctl enable --now containerd",
        ));
    }
    missing.extend(oci_runtime::missing(config).await);
    if find("iptables").is_none() {
        missing.push(Missing::new("iptables is not installed", "apt-get install iptables"));
    }
    missing.extend(plugins(&config.plugin_dirs, config.firewall == Some(true)));
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    missing.extend(forwarding(&read("/proc/sys/net/ipv4/ip_forward")));
    missing.extend(control_groups(
        &read("/proc/self/mounts"),
        &read("/sys/fs/cgroup/cgroup.controllers"),
        &read("/proc/cgroups"),
    ));
    missing.extend(overlay(&config.snapshotter, &read("/proc/filesystems")));
    missing
}

fn root() -> Option<Missing> {
    let is_root = rustix::process::geteuid().is_root();
    (!is_root).then(|| {
        Missing::new("networks can only be made by root", "sudo tidegate up --provider containerd")
    })
}

fn plugins(folders: &[PathBuf], firewall: bool) -> Option<Missing> {
    let there = |name: &str| folders.iter().any(|folder| folder.join(name).exists());
    let wanted = PLUGINS.iter().chain(firewall.then_some(&"firewall"));
    let absent: Vec<&str> = wanted.copied().filter(|name| !there(name)).collect();
    (!absent.is_empty()).then(|| {
        let folders: Vec<String> = folders.iter().map(|it| it.display().to_string()).collect();
        let what = format!("CNI plugins {} are not in {}", absent.join(", "), folders.join(" or "));
        Missing::new(what, "apt-get install containernetworking-plugins")
    })
}

/// The bridge plugin switches it on, unless something holds it down; then functions cannot call out.
fn forwarding(ip_forward: &str) -> Option<Missing> {
    (ip_forward.trim() == "0").then(|| {
        let what = "the machine does not forward packets yet, and functions need it to call out";
        Missing::new(what, "sysctl -w net.ipv4.ip_forward=1")
    })
}

fn control_groups(mounts: &str, version_two: &str, version_one: &str) -> Option<Missing> {
    let Some(hierarchy) = Hierarchy::find(mounts) else {
        let what = "no control groups are mounted: replicas could not be limited or frozen";
        return Some(Missing::new(what, "mount -t cgroup2 none /sys/fs/cgroup"));
    };
    let has = |controller: &str| match hierarchy {
        Hierarchy::Two(_) => version_two.split_whitespace().any(|it| it == controller),
        // NAME HIERARCHY GROUPS ENABLED
        Hierarchy::One { .. } => version_one
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .any(|fields| fields.first() == Some(&controller) && fields.get(3) == Some(&"1")),
    };
    let absent: Vec<&str> = CONTROLLERS.into_iter().filter(|name| !has(name)).collect();
    (!absent.is_empty()).then(|| {
        let what =
            format!("the kernel does not control {}: limits would not hold", absent.join(", "));
        Missing::new(what, "add cgroup_enable=memory to the kernel's command line, and reboot")
    })
}

fn overlay(snapshotter: &str, filesystems: &str) -> Option<Missing> {
    let needed = snapshotter == "overlayfs";
    let there = filesystems.lines().any(|line| line.split_whitespace().last() == Some("overlay"));
    (needed && !there).then(|| {
        let what = "the kernel has no overlayfs, in which images are unpacked";
        Missing::new(what, "modprobe overlay")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_that_is_missing_is_named_with_what_mends_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let folders = [folder.path().to_owned()];
        let told = plugins(&folders, true).expect("an empty folder");
        assert!(told.what.contains("bridge, host-local, firewall"), "{told:?}");
        for name in PLUGINS {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        assert_eq!(plugins(&folders, false), None);
        assert!(forwarding("0\n").is_some_and(|it| it.mend.contains("ip_forward")));
        assert_eq!(forwarding("1\n"), None);
        assert!(overlay("overlayfs", "nodev\tproc\n\text4\n").is_some());
        assert_eq!(overlay("overlayfs", "nodev\toverlay\n"), None);
        assert_eq!(overlay("native", ""), None);
    }

    #[test]
    fn controllers_are_looked_for_in_both_versions() {
        let two = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        assert_eq!(control_groups(two, "cpuset cpu io memory pids\n", ""), None);
        assert!(control_groups(two, "cpu pids\n", "").is_some_and(|it| it.what.contains("memory")));
        let one = "cgroup /c/freezer cgroup rw,freezer 0 0\n";
        let table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t2\t1\t0\npids\t3\t1\t1\n";
        assert!(control_groups(one, "", table).is_some_and(|it| it.what.contains("memory")));
        assert!(control_groups("", "", "").is_some());
    }
}
