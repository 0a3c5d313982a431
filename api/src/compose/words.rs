//! Single values as compose files write them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tidegate_core::parse_duration;
use tidegate_core::service::{Port, Pull, Restart, Source, Volume};

/// Everything that Linux calls a capability. Source: `linux/capability.h`.
const CAPABILITIES: &str = "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN \
    DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN \
    MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID \
    SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE \
    SYS_TIME SYS_TTY_CONFIG WAKE_ALARM";
/// Longest span that can be said.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// `[ADDRESS:]OUTSIDE:INSIDE[/tcp]`; without an address it is loopback.
pub(super) fn port(text: &str) -> Result<Port, String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let Some((before, inside)) = ports.rsplit_once(':') else {
        return Err(format!(
            "{text:?} does not say which port of the machine leads to it; write OUTSIDE:INSIDE"
        ));
    };
    let (address, outside) = match before.rsplit_once(':') {
        Some((address, outside)) => (Some(address), outside),
        None => (None, before),
    };
    port_of(address, outside, inside, protocol)
}

/// The same from its parts.
pub(super) fn port_of(
    address: Option<&str>,
    outside: &str,
    inside: &str,
    protocol: &str,
) -> Result<Port, String> {
    if protocol != "tcp" {
        return Err(format!("{protocol} ports cannot be published, only tcp"));
    }
    let number = |text: &str| {
        let number = text.parse::<u16>().ok().filter(|number| *number > 0);
        number
            .ok_or_else(|| format!("{text:?} is no port from 1 to 65535; ranges are not supported"))
    };
    let address = match address {
        None => Ipv4Addr::LOCALHOST.into(),
        Some(text) => text
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .map_err(|_| format!("{text:?} is not an IP address"))?,
    };
    Ok(Port { address, outside: number(outside)?, inside: number(inside)? })
}

/// `SOURCE:TARGET[:ro]`.
pub(super) fn volume(text: &str) -> Result<Volume, String> {
    let mut words = text.split(':');
    let (Some(source), Some(target)) = (words.next(), words.next()) else {
        return Err(format!(
            "{text:?} has no place outside, and would be lost with its container; write SOURCE:TARGET"
        ));
    };
    let read_only = match (words.next(), words.next()) {
        (None, _) | (Some("rw"), None) => false,
        (Some("ro"), None) => true,
        _ => return Err(format!("{text:?}: after the second colon only ro or rw can stand")),
    };
    Ok(Volume { source: source_of(source)?, target: target_of(target)?, read_only })
}

/// A path, when it looks like one; else the name of a volume.
pub(super) fn source_of(text: &str) -> Result<Source, String> {
    if text.starts_with(['/', '.']) && !text.contains('\0') {
        return Ok(Source::Path(text.into()));
    }
    volume_name(text).map(Source::Named)
}

/// The name of a volume, which becomes that of a folder.
pub(super) fn volume_name(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(good)
    {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is neither a path (those begin with / or .) nor the name of a volume (letters, digits, _ . -)"
    ))
}

/// Where a volume is inside.
pub(super) fn target_of(text: &str) -> Result<String, String> {
    let parts_are_good = text.split('/').all(|part| part != "..");
    if text.len() > 1 && text.starts_with('/') && parts_are_good && !text.contains('\0') {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not a full path inside the container, such as /data"))
}

/// A size: a number of bytes, or with `k`, `m` or `g` (of 1024) and perhaps a `b` behind.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a size such as 512m or 2g");
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let shift = match unit {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(bad()),
    };
    let number: f64 = number.parse().map_err(|_| bad())?;
    let bytes = number * f64::from(1_u32 << shift);
    // The kernel takes no less than a page, and no container starts with so little.
    if (4096.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err(bad()) }
}

/// A number of cores, as thousandths.
pub(super) fn cpus(text: &str) -> Result<u64, String> {
    let cores: Option<f64> = text.trim().parse().ok();
    match cores.filter(|cores| (0.01..=4096.0).contains(cores)) {
        Some(cores) => Ok((cores * 1000.0).round() as u64),
        None => Err(format!("{text:?} is not a number of cores from 0.01, such as 0.5")),
    }
}

/// A duration.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let span = parse_duration(text).ok().filter(|span| *span <= LONGEST);
    span.ok_or_else(|| format!("{text:?} is not a duration up to 24h, such as 30s or 1m30s"))
}

/// `no`, `always`, `unless-stopped` or `on-failure[:TIMES]`.
pub(super) fn restart(text: &str) -> Result<Restart, String> {
    match text.split_once(':').unwrap_or((text, "")) {
        ("no" | "false", "") => Ok(Restart::No),
        // Nothing stops a single service for good but the file.
        ("always" | "unless-stopped", "") => Ok(Restart::Always),
        ("on-failure", "") => Ok(Restart::OnFailure(None)),
        ("on-failure", times) if times.parse::<u32>().is_ok_and(|times| times > 0) => {
            Ok(Restart::OnFailure(times.parse().ok()))
        }
        _ => Err(format!(
            "restart {text:?} is not known; use no, always, unless-stopped, on-failure or on-failure:TIMES"
        )),
    }
}

/// When the registry is asked.
pub(super) fn pull(text: &str) -> Result<Pull, String> {
    match text {
        "always" => Ok(Pull::Always),
        "missing" | "if_not_present" => Ok(Pull::Missing),
        "never" => Ok(Pull::Never),
        _ => Err(format!("pull_policy {text:?} is not supported; use always, missing or never")),
    }
}

/// A capability, with or without `CAP_`. `ALL` is allowed where `all` says so.
pub(super) fn capability(text: &str, all: bool) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if name == "ALL" && all {
        return Ok(name.to_owned());
    }
    if CAPABILITIES.split_whitespace().any(|known| known == name) {
        return Ok(format!("CAP_{name}"));
    }
    Err(format!("{text:?} is not the name of a capability; name each, such as NET_RAW"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_those_of_loopback_unless_an_address_is_given() {
        let read = |text| port(text).map(|port| port.to_string());
        assert_eq!(read("9090:80").as_deref(), Ok("127.0.0.1:9090:80"));
        assert_eq!(read("0.0.0.0:9090:80/tcp").as_deref(), Ok("0.0.0.0:9090:80"));
        assert_eq!(read("[::1]:9090:80").as_deref(), Ok("[::1]:9090:80"));
        for bad in ["80", "0:80", "80:", "8000-8010:80", "53:53/udp", "host:80:80", "70000:1", ""] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn volumes_are_paths_or_names() {
        let one = volume("./data:/var/lib:ro").expect("good");
        assert_eq!((one.source, one.read_only), (Source::Path("./data".into()), true));
        let two = volume("data:/var/lib").expect("good");
        assert_eq!((two.source, two.target.as_str()), (Source::Named("data".into()), "/var/lib"));
        for bad in ["/data", "~/x:/x", "a/b:/x", "./x:x", "./x:/", "./x:/y:z", "./x:/../y", ":/x"] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_shares_are_numbers() {
        assert_eq!(bytes("512m"), Ok(512 << 20));
        assert_eq!(bytes("1.5GiB"), Ok(3 << 29));
        assert_eq!(bytes("65536"), Ok(65536));
        assert_eq!((cpus("0.5"), cpus("2")), (Ok(500), Ok(2000)));
        for bad in ["", "m", "1x", "-1", "0", "1e30"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert!(cpus("0").is_err() && cpus("NaN").is_err() && cpus("many").is_err());
    }

    #[test]
    fn restarts_and_capabilities_are_known_words() {
        assert_eq!(restart("on-failure:3"), Ok(Restart::OnFailure(Some(3))));
        assert_eq!(restart("unless-stopped"), Ok(Restart::Always));
        assert!(restart("on-failure:0").is_err() && restart("sometimes").is_err());
        assert_eq!(capability("cap_net_raw", false).as_deref(), Ok("CAP_NET_RAW"));
        assert!(capability("ALL", true).is_ok() && capability("ALL", false).is_err());
    }
}
