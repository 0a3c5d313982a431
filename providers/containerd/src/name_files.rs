//! The files by which replicas find names: `hosts` and `resolv.conf`, shared by all of them.
//!
//! They are bound into running containers and so written in place, never replaced.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::Config;

/// Where systemd-resolved keeps the servers it asks itself.
const BEHIND_SYSTEMD: &str = "/run/systemd/resolve/resolv.conf";

/// Writes both files. Blocks.
pub(crate) fn write(folder: &Path, config: &Config) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    in_place(&folder.join("hosts"), &hosts(config))?;
    let machine = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let behind = fs::read_to_string(BEHIND_SYSTEMD).unwrap_or_default();
    in_place(&folder.join("resolv.conf"), &resolv(&config.name_servers, &machine, &behind))
}

fn hosts(config: &Config) -> String {
    let gateway = config.subnet.gateway();
    let mut text = format!(
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{gateway} gateway gateway.openfaas\n"
    );
    for (address, name) in &config.hosts {
        text += &format!("{address} {name}\n");
    }
    text
}

/// The machine's servers, unless they only answer the machine itself.
fn resolv(servers: &[IpAddr], machine: &str, behind: &str) -> String {
    if !servers.is_empty() {
        return servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    }
    let usable = |text: &str| {
        let mut servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
        servers.any(|server| server.trim().parse::<IpAddr>().is_ok_and(|it| !it.is_loopback()))
    };
    let chosen = [machine, behind].into_iter().find(|text| usable(text)).unwrap_or_default();
    let kept = |line: &&str| {
        let server =
            line.trim().strip_prefix("nameserver").and_then(|it| it.trim().parse::<IpAddr>().ok());
        !line.trim_start().starts_with(['#', ';']) && server.is_none_or(|it| !it.is_loopback())
    };
    chosen.lines().filter(kept).map(|line| format!("{line}\n")).collect()
}

fn in_place(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_only_the_machine_can_ask_are_passed_over() {
        let local = "# by systemd\nnameserver 127.0.0.53\nsearch lan\n";
        let real = "nameserver 192.0.2.1\nsearch lan\n";
        assert_eq!(resolv(&[], real, ""), real);
        assert_eq!(resolv(&[], local, real), real);
        assert_eq!(
            resolv(&[], "nameserver 127.0.0.1\nnameserver 192.0.2.1\n", ""),
            "nameserver 192.0.2.1\n"
        );
        // Never a stranger's server in silence.
        assert_eq!(resolv(&[], local, ""), "");
        let own = ["192.0.2.9".parse().expect("an address")];
        assert_eq!(resolv(&own, real, ""), "nameserver 192.0.2.9\n");
    }
}
