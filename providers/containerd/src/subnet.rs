//! The range of addresses that functions get.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A range of IPv4 addresses, such as `10.62.0.0/16`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    base: u32,
    bits: u8,
}

impl Subnet {
    /// A range from its first address and the number of fixed bits, 8 to 30.
    pub const fn new(base: Ipv4Addr, bits: u8) -> Option<Self> {
        if bits < 8 || bits > 30 || base.to_bits() << bits != 0 {
            return None;
        }
        Some(Self { base: base.to_bits(), bits })
    }

    /// The machine's own address in it, the first one.
    pub const fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base + 1)
    }

    /// Whether an address is in it.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        self.overlaps(address, Ipv4Addr::BROADCAST)
    }

    /// Whether the two have an address in common.
    pub const fn overlaps(self, other_base: Ipv4Addr, other_mask: Ipv4Addr) -> bool {
        let mask = (u32::MAX << (32 - self.bits)) & other_mask.to_bits();
        self.base & mask == other_base.to_bits() & mask
    }

    /// The route in `/proc/net/route` that has addresses of this range, if any: not that of `bridge`, and not
    /// the default route.
    pub(crate) fn taken(self, routes: &str, bridge: &str) -> Option<String> {
        routes.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // The kernel writes addresses in the byte order of the machine's words.
            let word = |index: usize| {
                let word = u32::from_str_radix(fields.get(index)?, 16).ok()?;
                Some(Ipv4Addr::from(word.to_ne_bytes()))
            };
            let (interface, base, mask) = (*fields.first()?, word(1)?, word(7)?);
            let other = interface != bridge && !mask.is_unspecified();
            (other && self.overlaps(base, mask))
                .then(|| format!("the route to {base} of {interface}"))
        })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.base), self.bits)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (base, bits) = text.split_once('/')?;
            Self::new(base.parse().ok()?, bits.parse().ok()?)
        };
        read().ok_or_else(|| {
            format!("{text:?} is not a range of addresses; write it like 10.62.0.0/16, with 8 to 30 fixed bits")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_compared() {
        let subnet: Subnet = "10.62.0.0/16".parse().expect("a range");
        assert_eq!(subnet.to_string(), "10.62.0.0/16");
        assert_eq!(subnet.gateway(), Ipv4Addr::new(10, 62, 0, 1));
        let mask = Ipv4Addr::new(255, 255, 255, 0);
        assert!(subnet.overlaps(Ipv4Addr::new(10, 62, 7, 0), mask));
        assert!(subnet.overlaps(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(255, 0, 0, 0)));
        assert!(!subnet.overlaps(Ipv4Addr::new(10, 63, 0, 0), mask));
        assert!(subnet.contains(Ipv4Addr::new(10, 62, 255, 255)));
        assert!(!subnet.contains(Ipv4Addr::new(10, 63, 0, 0)));
        for bad in ["10.62.0.1/16", "10.62.0.0", "10.62.0.0/31", "x/16", "0.0.0.0/0"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_route_in_the_way_is_named() {
        let line = |name: &str, base: [u8; 4], mask: [u8; 4]| {
            let (base, mask) = (u32::from_ne_bytes(base), u32::from_ne_bytes(mask));
            format!("{name}\t{base:08X}\t00000000\t0001\t0\t0\t0\t{mask:08X}\t0\t0\t0\n")
        };
        let routes = format!(
            "Iface\tDestination\n{}{}{}",
            line("eth0", [0, 0, 0, 0], [0, 0, 0, 0]),
            line("br0", [10, 62, 0, 0], [255, 255, 0, 0]),
            line("docker0", [172, 17, 0, 0], [255, 255, 0, 0])
        );
        let free: Subnet = "10.62.0.0/16".parse().expect("a range");
        assert_eq!(free.taken(&routes, "br0"), None);
        let taken: Subnet = "172.16.0.0/12".parse().expect("a range");
        assert!(taken.taken(&routes, "br0").is_some_and(|route| route.contains("docker0")));
        assert!(free.taken(&routes, "br1").is_some_and(|route| route.contains("br0")));
    }
}
