//! The files by which replicas find names: `hosts` and `resolv.conf`, shared by all of them.
//!
//! They are bound into running containers and so written in place, never replaced. Beside them is which service
//! has which address, for `hosts` and for whoever answers questions for names.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::Config;

/// Where systemd-resolved keeps the servers it asks itself.
const BEHIND_SYSTEMD: &str = "/run/systemd/resolve/resolv.conf";

/// Names and addresses of services, the one file here that is replaced and not bound into containers.
const SERVICES: &str = "services";

/// Who answers replicas' questions for names.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answering {
    /// We do, on the bridge.
    Ourselves,
    /// Others do, whom replicas reach themselves.
    Others,
}

/// What the machine's own `resolv.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Whom it asks, those too that answer only the machine itself.
    pub(crate) servers: Vec<IpAddr>,
    /// What it appends to short names, in lower case.
    pub(crate) search: Vec<String>,
}

impl Machine {
    /// Reads it. What is not understood is passed over.
    pub(crate) fn read(text: &str) -> Self {
        let mut machine = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    machine
                        .servers
                        .extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
                }
                // Of several such lines the last one counts.
                Some("search" | "domain") => {
                    let clean = |word: &str| word.trim_end_matches('.').to_ascii_lowercase();
                    machine.search = words.map(clean).filter(|zone| !zone.is_empty()).collect();
                }
                _ => {}
            }
        }
        machine
    }
}

/// Writes both files. Blocks.
pub(crate) fn write(folder: &Path, config: &Config, answering: Answering) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    write_hosts(folder, config)?;
    write_resolv(&folder.join("resolv.conf"), config, answering)
}

/// Writes a `resolv.conf` alone. Blocks.
pub(crate) fn write_resolv(path: &Path, config: &Config, answering: Answering) -> io::Result<()> {
    let machine = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let text = match answering {
        Answering::Ourselves => resolv_ourselves(config.subnet.gateway(), &machine),
        Answering::Others => {
            let behind = fs::read_to_string(BEHIND_SYSTEMD).unwrap_or_default();
            resolv(&config.name_servers, &machine, &behind)
        }
    };
    in_place(path, &text)
}

/// Writes `hosts` alone, with the services that `services` names now. Blocks.
pub(crate) fn write_hosts(folder: &Path, config: &Config) -> io::Result<()> {
    let services = fs::read_to_string(folder.join(SERVICES)).unwrap_or_default();
    in_place(&folder.join("hosts"), &(hosts(config) + &services))
}

/// Writes which service has which address, `ADDRESS NAME` a line: the new file takes the place of the old one,
/// so that readers see one or the other, whole. Without services there is no file. Blocks.
pub(crate) fn write_services(
    folder: &Path,
    config: &Config,
    services: &BTreeMap<String, Ipv4Addr>,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let path = folder.join(SERVICES);
    if services.is_empty() {
        match fs::remove_file(&path) {
            Err(failure) if failure.kind() != io::ErrorKind::NotFound => return Err(failure),
            _ => {}
        }
    } else {
        let lines = services.iter().map(|(name, address)| format!("{address} {name}\n"));
        let aside = folder.join(format!(".{SERVICES}.new"));
        in_place(&aside, &lines.collect::<String>())?;
        fs::rename(&aside, &path)?;
    }
    write_hosts(folder, config)
}

/// Which service had which address when they were last written. Blocks.
pub(crate) fn read_services(folder: &Path) -> BTreeMap<String, Ipv4Addr> {
    let text = fs::read_to_string(folder.join(SERVICES)).unwrap_or_default();
    let line = |line: &str| {
        let (address, name) = line.split_once(' ')?;
        Some((name.to_owned(), address.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
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

/// Us, with what else the machine says, such as the domains it appends to short names.
fn resolv_ourselves(bridge: Ipv4Addr, machine: &str) -> String {
    let kept = |line: &&str| {
        let word = line.split_whitespace().next();
        matches!(word, Some("search" | "domain" | "options"))
    };
    let rest = machine.lines().filter(kept).map(|line| format!("{line}\n"));
    std::iter::once(format!("nameserver {bridge}\n")).chain(rest).collect()
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
    // Not emptied first: whoever reads meanwhile finds the old names or the new ones.
    let mut file = options.write(true).create(true).truncate(false).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_in_their_file_and_in_hosts_until_they_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::new("/nowhere");
        let services = [("db".to_owned(), Ipv4Addr::new(10, 62, 0, 9))].into();
        write_services(folder.path(), &config, &services).expect("a folder");
        let read = |name: &str| fs::read_to_string(folder.path().join(name));
        assert_eq!(read("services").expect("a file"), "10.62.0.9 db\n");
        assert_eq!(read_services(folder.path()), services);
        write_hosts(folder.path(), &config).expect("a folder");
        let hosts = read("hosts").expect("a file");
        assert!(hosts.contains("10.62.0.1 gateway") && hosts.ends_with("10.62.0.9 db\n"));
        write_services(folder.path(), &config, &BTreeMap::new()).expect("a folder");
        assert!(read("services").is_err() && !read("hosts").expect("a file").contains("db"));
    }

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

    #[test]
    fn we_are_asked_alone_with_the_machines_domains_and_options() {
        let machine = "# by hand\nnameserver 127.0.0.53\nsearch lan\noptions edns0 trust-ad\n";
        assert_eq!(
            resolv_ourselves(Ipv4Addr::new(10, 62, 0, 1), machine),
            "nameserver 10.62.0.1\nsearch lan\noptions edns0 trust-ad\n"
        );
        let read = Machine::read(
            "nameserver 127.0.0.53\nnameserver x\ndomain old\nsearch Lan corp.example.\n",
        );
        let servers = vec![IpAddr::from([127, 0, 0, 53])];
        let search = vec!["lan".to_owned(), "corp.example".to_owned()];
        assert_eq!(read, Machine { servers, search });
    }
}
