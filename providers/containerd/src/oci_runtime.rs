//! What makes containers when nobody says so: crun, where it is installed and can be used, else runc. It takes a third
//! of runc's time for it.

use std::path::Path;

use crate::Config;
use crate::doctor::Missing;
use crate::programs::{find, version};

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
    chosen(&find(CRUN)?, &controllers()).await
}

/// This crun, where it is of its time and can be used with these controllers in the second version of control groups.
async fn chosen(program: &Path, left: &str) -> Option<String> {
    if both_versions(left).is_some() {
        return None;
    }
    let said = version(program).await?;
    is_of_its_time(&said).then(|| program.display().to_string())
}

/// Whether it says that it is crun, and not too old.
fn is_of_its_time(said: &str) -> bool {
    let version = said.lines().next().and_then(|line| line.strip_prefix("crun version "));
    let mut numbers = version.unwrap_or_default().split('.').map(|it| it.trim().parse::<u32>());
    let (major, minor) = (numbers.next(), numbers.next());
    matches!((major, minor), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST)
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
    use crate::programs::script;

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
        let new =
            ["crun version 1.8.1\ncommit: f8a0\n", "crun version 1.21\n", "crun version 2.0\n"];
        assert_eq!(new.map(is_of_its_time), [true; 3]);
        let old = ["crun version 1.7.2\n", "crun version 0.17\n", "crun version 2.0-rc1\n"];
        assert_eq!(old.map(is_of_its_time), [false; 3]);
        assert_eq!(["runc version 1.9.0\n", "crun version 1", ""].map(is_of_its_time), [false; 3]);
    }

    #[tokio::test]
    async fn crun_is_taken_where_it_works() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("crun");
        let say = |what: &str| script(&program, what);
        assert_eq!(chosen(&program, "").await, None, "it is not there");
        say("[ $1 = --version ] && echo crun version 1.8.1");
        assert_eq!(chosen(&program, "").await, Some(program.display().to_string()));
        assert_eq!(chosen(&program, "hugetlb\n").await, None, "it makes no containers");
        for other in ["echo crun version 1.7", "echo crun; exit 1", "exit 1"] {
            say(other);
            assert_eq!(chosen(&program, "").await, None, "{other}");
        }
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
