//! What `tidegate up` needs of a machine: a place for its state, free ports, room for connections, and
//! for hard limits on functions root with cgroups.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::process::{Resource, geteuid, getrlimit};

use super::{Check, State};
use crate::cli::Context;
use crate::client::GatewayUrl;
use tidegate::kernel::Proc;

const GROUP: &str = "this machine";

/// Open files below which many calls at once may fail.
const FILES: u64 = 4096;

/// Looks at the machine; with a running gateway its ports are rightly taken.
pub fn checks(context: &Context, url: &GatewayUrl, running: bool, checks: &mut Vec<Check>) {
    match context.state_dir() {
        Some(dir) => {
            checks.push(state_dir(&dir));
            checks.extend(password_file(&dir.join("password")));
        }
        None => checks.push(
            Check::new(
                GROUP,
                "state",
                State::Fail,
                "no place for it: neither HOME nor TIDEGATE_STATE_DIR is set",
            )
            .mend("tidegate up --state-dir DIR"),
        ),
    }
    checks.push(ports(context, url, running));
    checks.push(open_files());
    checks.push(memory(&Proc::default()));
    checks.push(cgroups(Path::new("/sys/fs/cgroup"), geteuid().is_root()));
}

/// Whether it can be seen that the machine waits for memory.
fn memory(proc: &Proc) -> Check {
    const NAME: &str = "memory";
    if proc.stalled().is_some() {
        let detail =
            "the kernel tells how much it waits for memory: frozen replicas go when that is much";
        return Check::new(GROUP, NAME, State::Ok, detail);
    }
    let detail =
        "the kernel has no /proc/pressure/memory: frozen replicas go only by limits that you set";
    Check::new(GROUP, NAME, State::Warn, detail)
        .mend("boot with psi=1, or: TIDEGATE_MEMORY_FLOOR=512Mi tidegate up")
}

/// The directory itself may be missing; then what it would be made in counts.
fn state_dir(dir: &Path) -> Check {
    const NAME: &str = "state";
    let shown = dir.display();
    let Some(existing) = dir.ancestors().find(|path| path.exists()) else {
        return Check::new(GROUP, NAME, State::Fail, format!("{shown} cannot be made"))
            .mend("tidegate up --state-dir DIR");
    };
    if !existing.is_dir() {
        let detail = format!("{} is no directory", existing.display());
        return Check::new(GROUP, NAME, State::Fail, detail).mend("tidegate up --state-dir DIR");
    }
    // A relative path's last ancestor is the empty path: the current directory.
    let looked = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    if access(looked, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let detail = format!("{} is not writable", looked.display());
        return Check::new(GROUP, NAME, State::Fail, detail).mend(format!(
            "sudo chown -R \"$USER\" {}   (or: tidegate up --state-dir DIR)",
            looked.display()
        ));
    }
    let detail = if existing == dir {
        format!("{shown} is writable")
    } else {
        format!("{shown} can be made")
    };
    Check::new(GROUP, NAME, State::Ok, detail)
}

/// Whether only its owner may read the password, if there is one.
fn password_file(path: &Path) -> Option<Check> {
    const NAME: &str = "password file";
    let mode = path.metadata().ok()?.mode() & 0o777;
    let shown = path.display();
    if mode & 0o077 == 0 {
        return Some(Check::new(
            GROUP,
            NAME,
            State::Ok,
            format!("{shown} is private ({mode:04o})"),
        ));
    }
    let detail = format!("{shown} can be read by others ({mode:04o})");
    Some(Check::new(GROUP, NAME, State::Fail, detail).mend(format!("chmod 600 {shown}")))
}

fn ports(context: &Context, url: &GatewayUrl, running: bool) -> Check {
    const NAME: &str = "ports";
    if running || !url.is_local() {
        return Check::new(GROUP, NAME, State::Skip, "a gateway is running");
    }
    let of_var = |name: &str| context.vars.get(name).and_then(|text| text.parse().ok());
    let api = of_var("TIDEGATE_PORT").unwrap_or(url.port());
    let metrics = of_var("TIDEGATE_METRICS_PORT").unwrap_or(8082);
    let taken: Vec<u16> = [api, metrics].into_iter().filter(|port| !is_free(*port)).collect();
    match taken.as_slice() {
        [] => Check::new(GROUP, NAME, State::Ok, format!("{api} and {metrics} are free")),
        [port, ..] => {
            let flag = if *port == api { "--port" } else { "--metrics-port" };
            let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
            let detail = format!("{} taken by another program", taken.join(" and "));
            Check::new(GROUP, NAME, State::Fail, detail)
                .mend(format!("tidegate up {flag} 0   (who has it: ss -ltnp 'sport = :{port}')"))
        }
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn open_files() -> Check {
    const NAME: &str = "open files";
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < FILES => {
            let detail = format!("at most {limit}; many calls at once need more");
            Check::new(GROUP, NAME, State::Warn, detail).mend("ulimit -n 65536")
        }
        Some(limit) => Check::new(GROUP, NAME, State::Ok, format!("up to {limit}")),
        None => Check::new(GROUP, NAME, State::Ok, "no limit"),
    }
}

/// Without cgroups functions still run; their memory and CPU are then bounded by rlimits only.
fn cgroups(root: &Path, is_root: bool) -> Check {
    const NAME: &str = "cgroups";
    if !is_root {
        return Check::new(
            GROUP,
            NAME,
            State::Skip,
            "not root: limits of functions are kept by rlimits",
        );
    }
    let v2 = std::fs::read_to_string(root.join("cgroup.controllers")).ok();
    let version = match v2 {
        Some(controllers) if has_both(&controllers) => Some("v2"),
        _ if root.join("memory").is_dir() && root.join("cpu").is_dir() => Some("v1"),
        _ => None,
    };
    match version {
        Some(version) if access(root, Access::WRITE_OK).is_ok() => {
            Check::new(GROUP, NAME, State::Ok, format!("{version} with memory and cpu"))
        }
        Some(version) => {
            let detail =
                format!("{version} is mounted read-only: limits of functions are kept by rlimits");
            Check::new(GROUP, NAME, State::Warn, detail)
                .mend(format!("mount -o remount,rw {}", root.display()))
        }
        None => {
            let detail = "no memory and cpu controllers: limits of functions are kept by rlimits";
            Check::new(GROUP, NAME, State::Warn, detail)
                .mend(format!("mount -t cgroup2 none {}", root.display()))
        }
    }
}

fn has_both(controllers: &str) -> bool {
    ["memory", "cpu"]
        .iter()
        .all(|wanted| controllers.split_whitespace().any(|name| name == *wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_state_directory_that_can_be_made_is_well() {
        let home = tempfile::tempdir().expect("a directory");
        assert_eq!(state_dir(&home.path().join("a/b")).state, State::Ok);
        std::fs::write(home.path().join("file"), "").expect("written");
        let check = state_dir(&home.path().join("file/b"));
        assert_eq!(check.state, State::Fail);
        assert!(check.mend.is_some());
    }

    #[test]
    fn a_password_that_others_can_read_is_a_failure() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("password");
        assert!(password_file(&path).is_none());
        std::fs::write(&path, "x").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
        assert_eq!(password_file(&path).expect("it is there").state, State::Fail);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        assert_eq!(password_file(&path).expect("it is there").state, State::Ok);
    }

    #[test]
    fn cgroups_are_told_apart() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(cgroups(root.path(), false).state, State::Skip);
        assert_eq!(cgroups(root.path(), true).state, State::Warn);
        std::fs::write(root.path().join("cgroup.controllers"), "cpuset cpu io memory\n")
            .expect("written");
        assert!(cgroups(root.path(), true).detail.starts_with("v2"));
    }
}
