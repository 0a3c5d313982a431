//! The machine's firewall: whether it must be told of each replica, and that replicas may call out.

use std::process::Stdio;

use tokio::process::Command;
use tracing::warn;

use crate::subnet::Subnet;

const NOTE: &str = "tidegate: functions call out";

/// Whether forwarded packets are filtered, so that each replica needs a rule.
pub(crate) async fn is_needed() -> bool {
    let rules = iptables(&["-S", "FORWARD"]).await;
    // Without the program there are no rules of its kind.
    rules.is_ok_and(|rules| filters(&rules))
}

fn filters(rules: &str) -> bool {
    rules.lines().any(|line| {
        let open = line == "-P FORWARD ACCEPT" || line.contains("-j ACCEPT");
        !open && !line.contains("CNI-FORWARD") && !line.trim().is_empty()
    })
}

/// Lets replicas call out under the machine's address, by one rule for all of them.
pub(crate) async fn masquerade(subnet: Subnet) {
    let range = subnet.to_string();
    let rule = |verb| {
        [
            "-t",
            "nat",
            verb,
            "POSTROUTING",
            "-s",
            &range,
            "!",
            "-d",
            &range,
            "-m",
            "comment",
            "--comment",
            NOTE,
            "-j",
            "MASQUERADE",
        ]
        .map(str::to_owned)
    };
    let (check, add) = (rule("-C"), rule("-A"));
    if iptables(&check.each_ref().map(String::as_str)).await.is_ok() {
        return;
    }
    if let Err(why) = iptables(&add.each_ref().map(String::as_str)).await {
        warn!(
            "functions cannot call out of this machine: {why}; install it with `apt-get install iptables`"
        );
    }
}

async fn iptables(words: &[&str]) -> Result<String, String> {
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let output = Command::new("iptables")
        .env("PATH", PATH)
        .arg("--wait")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|failure| format!("iptables cannot be run: {failure}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("iptables: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_machine_needs_no_rules() {
        assert!(!filters("-P FORWARD ACCEPT\n"));
        assert!(!filters("-P FORWARD ACCEPT\n-A FORWARD -m comment -j CNI-FORWARD\n"));
        assert!(filters("-P FORWARD DROP\n"));
        assert!(filters("-P FORWARD ACCEPT\n-A FORWARD -j DOCKER-USER\n"));
    }
}
