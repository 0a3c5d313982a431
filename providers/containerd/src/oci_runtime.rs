//! What makes containers when nobody says so: crun, where it is installed and can be used, else runc. It takes a third
//! of runc's time for it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tracing::info;

use crate::Config;
use crate::doctor::{Missing, find};

const CRUN: &str = "crun";
/// The oldest that all tests are run with; much older ones do not read today's specifications.
const OLDEST: (u32, u32) = (1, 8);
/// Where the second version of control groups is mounted beside the first, and what it has to give.
const BOTH: &str = "/sys/fs/cgroup/unified/cgroup.controllers";

/// What makes containers: what was told, or what is best here; none means containerd's own choice, runc.
pub(crate) async fn choose(config: &Config) -> Option<String> {
    let told = config.oci_runtime.clone();
    if told.is_some() || config.shim.is_some() {
        return told;
    }
    let (program, version) = best().await?;
    info!(
        "crun {version} makes containers, as it is installed; TIDEGATE_OCI_RUNTIME=runc has runc make them"
    );
    Some(program.display().to_string())
}

/// crun and its version, when it can be used here.
async fn best() -> Option<(PathBuf, String)> {
    let program = find(CRUN).filter(|_| both_versions(&controllers()).is_none())?;
    let said = Command::new(&program).arg("--version").stdin(Stdio::null()).output().await.ok()?;
    let version = version(&String::from_utf8_lossy(&said.stdout))?;
    Some((program, version))
}

/// Which crun says that it is, if it is not too old.
fn version(said: &str) -> Option<String> {
    let version = said.lines().next()?.strip_prefix("crun version ")?.trim();
    let mut numbers = version.split('.').map(|it| it.parse::<u32>().ok());
    let (major, minor) = (numbers.next()??, numbers.next()??);
    ((major, minor) >= OLDEST).then(|| version.to_owned())
}

/// What keeps containers from being made with the program that was chosen.
pub(crate) async fn missing(config: &Config) -> Option<Missing> {
    let Some(program) = config.oci_runtime.as_deref() else {
        let is_there = find("runc").is_some() || choose(config).await.is_some();
        return (!is_there).then(|| Missing::new("runc is not installed", "apt-get install runc"));
    };
    unusable(program)
}

fn unusable(program: &str) -> Option<Missing> {
    if find(program).is_none() {
        let what = format!("TIDEGATE_OCI_RUNTIME: {program} is no program on this machine");
        return Some(Missing::new(what, "apt-get install crun, or unset TIDEGATE_OCI_RUNTIME"));
    }
    let is_crun = Path::new(program).file_name().is_some_and(|name| name == CRUN);
    is_crun.then(|| both_versions(&controllers())).flatten()
}

fn controllers() -> String {
    std::fs::read_to_string(BOTH).unwrap_or_default()
}

/// crun makes no containers where the second version of control groups, mounted beside the first, has controllers.
fn both_versions(left: &str) -> Option<Missing> {
    let left: Vec<&str> = left.split_whitespace().collect();
    (!left.is_empty()).then(|| {
        let what = format!(
            "crun makes no containers here: both versions of control groups are mounted, and the second one has {}",
            left.join(", ")
        );
        Missing::new(what, "unset TIDEGATE_OCI_RUNTIME, or boot with one version")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_make_containers_is_told_before_it_has_to() {
        let told = |program: &str| unusable(program).map(|it| it.what);
        assert_eq!(told("sh"), None);
        for strange in ["/etc/passwd", "/usr/bin", "/usr/bin/no-such-program", "no-such-program"] {
            assert!(told(strange).is_some_and(|it| it.contains(strange)), "{strange}");
        }
        assert_eq!(both_versions("\n"), None);
        assert!(
            both_versions("hugetlb misc\n").is_some_and(|it| it.what.contains("hugetlb, misc"))
        );
    }

    #[test]
    fn a_crun_of_its_time_is_told_from_old_ones() {
        assert_eq!(version("crun version 1.8.1\ncommit: f8a0\n").as_deref(), Some("1.8.1"));
        assert_eq!(version("crun version 1.21\n").as_deref(), Some("1.21"));
        assert_eq!(version("crun version 2.0-rc1\n"), None, "no number");
        assert_eq!(version("crun version 1.7.2\n"), None);
        assert_eq!(version("crun version 0.17\n"), None);
        assert_eq!(version("runc version 1.9.0\n"), None);
        assert_eq!(version(""), None);
    }

    #[tokio::test]
    async fn what_was_told_is_taken_whatever_there_is() {
        let mut config = Config::new("/nowhere");
        config.oci_runtime = Some("runc".to_owned());
        assert_eq!(choose(&config).await.as_deref(), Some("runc"));
        config.oci_runtime = None;
        config.shim = Some("io.containerd.runc.v2".to_owned());
        assert_eq!(choose(&config).await, None, "another shim chooses for itself");
    }
}
