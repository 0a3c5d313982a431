//! Signals for a container's first process: read as images write them, and sent without a detour.

use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

/// Signals from this number on have numbers only. Source: Docker, as images are written for it; it is glibc's.
const FIRST_REAL_TIME: u32 = 34;
const LAST_REAL_TIME: u32 = 64;

/// A signal as images write it: `SIGQUIT`, `QUIT`, `3`, or `SIGRTMIN+3` as systemd wants it.
pub(crate) fn named(written: &str) -> Option<u32> {
    if let Ok(number) = written.parse() {
        return (1..=64).contains(&number).then_some(number);
    }
    if let Some(number) = real_time(written.strip_prefix("SIG").unwrap_or(written)) {
        return (FIRST_REAL_TIME..=LAST_REAL_TIME).contains(&number).then_some(number);
    }
    let name =
        if written.starts_with("SIG") { written.to_owned() } else { format!("SIG{written}") };
    name.parse::<Signal>().ok().map(|signal| (signal as i32).cast_unsigned())
}

fn real_time(name: &str) -> Option<u32> {
    if let Some(after) = name.strip_prefix("RTMIN") {
        let more = if after.is_empty() { "0" } else { after.strip_prefix('+')? };
        return FIRST_REAL_TIME.checked_add(more.parse().ok()?);
    }
    let before = name.strip_prefix("RTMAX")?;
    let less = if before.is_empty() { "0" } else { before.strip_prefix('-')? };
    LAST_REAL_TIME.checked_sub(less.parse().ok()?)
}

/// Sends a signal to process `pid` when it belongs to the control group at `cgroup`, from the root of its hierarchy.
/// Whether it was sent; containerd would start runc for it, which takes 5 ms.
pub(crate) fn send(pid: u32, signal: u32, cgroup: &str) -> bool {
    let Some(process) = pid.try_into().ok().and_then(Pid::from_raw) else { return false };
    let Some(signal) = signal.try_into().ok().and_then(rustix::process::Signal::from_named_raw)
    else {
        return false;
    };
    // From here on it is this process and no later one with its number.
    let Ok(process) = pidfd_open(process, PidfdFlags::empty()) else { return false };
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    is_in(&groups, cgroup) && pidfd_send_signal(process, signal).is_ok()
}

/// Whether `groups`, a process's file `cgroup`, names a group.
fn is_in(groups: &str, cgroup: &str) -> bool {
    // HIERARCHY:CONTROLLERS:PATH
    groups.lines().any(|line| line.splitn(3, ':').nth(2) == Some(cgroup))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_as_images_write_them() {
        assert_eq!(["SIGQUIT", "QUIT", "3"].map(named), [Some(3); 3]);
        assert_eq!(["", "SIGNOTHING", "0", "99"].map(named), [None; 4]);
        let real_time = ["SIGRTMIN+3", "RTMIN", "SIGRTMAX-1", "RTMAX"].map(named);
        assert_eq!(real_time, [37, 34, 63, 64].map(Some));
        assert_eq!(["SIGRTMIN+31", "RTMIN3", "RTMAX-31", "RTMAX+1"].map(named), [None; 4]);
    }

    #[test]
    fn a_signal_reaches_a_process_of_the_group_and_no_other() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("sleep");
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", child.id()));
        let groups = groups.expect("it runs");
        let own = groups.lines().next().and_then(|line| line.splitn(3, ':').nth(2));
        let own = own.expect("every process has a group");
        assert!(!send(child.id(), 15, "/of/another/replica"));
        assert!(child.try_wait().expect("our child").is_none(), "it goes on");
        assert!(!send(child.id(), 64, own), "containerd knows signals without names");
        assert!(send(child.id(), 15, own));
        let status = child.wait().expect("our child");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
        assert!(!send(child.id(), 15, own), "it is gone");
    }
}
