//! What is asked of the kernel's network directly, for want of a CNI plugin or for speed: to set an interface
//! up, to keep the ports of a bridge from each other, and to know a neighbour by its new hardware address.
//!
//! Source of all numbers: `linux/netlink.h`, `linux/rtnetlink.h`, `linux/if_link.h`,
//! `linux/neighbour.h`.

use std::io;
use std::net::Ipv4Addr;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const NEW_LINK: u16 = 16;
const SET_LINK: u16 = 19;
const NEW_NEIGHBOUR: u16 = 28;
const REQUEST_AND_ACK: u16 = 1 | 4;
const CREATE_OR_REPLACE: u16 = 0x400 | 0x100;
const ERROR: u16 = 2;
const HEADER: usize = 16;
const FAMILY_BRIDGE: u8 = 7;
const UP: u32 = 1;
const PORT_INFO: u16 = 12 | 0x8000;
const ISOLATED: u16 = 33;
const FAMILY_IPV4: u8 = 2;
const REACHABLE: u16 = 2;
const DESTINATION: u16 = 1;
const HARDWARE: u16 = 2;

/// Sets the loopback interface of this thread's network up; it is the first of each network.
pub(crate) fn loopback_up() -> io::Result<()> {
    ask(NEW_LINK, 0, &link(0, 1, UP, UP))
}

/// Keeps a bridge port from talking to other such ports; the host still reaches it, and it the host.
pub(crate) fn isolate(interface: u32) -> io::Result<()> {
    let mut message = link(FAMILY_BRIDGE, interface, 0, 0);
    // A value of one byte, padded to four, inside an attribute.
    message.extend(12_u16.to_ne_bytes());
    message.extend(PORT_INFO.to_ne_bytes());
    message.extend(5_u16.to_ne_bytes());
    message.extend(ISOLATED.to_ne_bytes());
    message.extend([1, 0, 0, 0]);
    ask(SET_LINK, 0, &message)
}

/// Tells the machine who has an address now. Addresses are used again, and what the machine learnt of the one
/// before would send packets nowhere for half a minute.
pub(crate) fn introduce(interface: u32, address: Ipv4Addr, hardware: [u8; 6]) -> io::Result<()> {
    let mut message = vec![FAMILY_IPV4, 0, 0, 0];
    message.extend(interface.to_ne_bytes());
    message.extend(REACHABLE.to_ne_bytes());
    message.extend([0, 0]);
    message.extend(8_u16.to_ne_bytes());
    message.extend(DESTINATION.to_ne_bytes());
    message.extend(address.octets());
    // Six bytes, padded to eight.
    message.extend(10_u16.to_ne_bytes());
    message.extend(HARDWARE.to_ne_bytes());
    message.extend(hardware);
    message.extend([0, 0]);
    ask(NEW_NEIGHBOUR, CREATE_OR_REPLACE, &message)
}

/// The part that says which interface is meant, and its flags.
fn link(family: u8, interface: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut bytes = vec![family, 0, 0, 0];
    for word in [interface, flags, change] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

/// Sends one request and waits for the kernel's word on it.
fn ask(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // Its first protocol, that of routes and links.
        None,
    )?;
    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST_AND_ACK | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0_u8; 1024];
    let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let word = |from: usize| <[u8; 4]>::try_from(answer.get(from..from + 4)?).ok();
    let is_error = answer[4..6] == ERROR.to_ne_bytes();
    match word(HEADER).map(i32::from_ne_bytes) {
        Some(0) if is_error && length >= HEADER + 4 => Ok(()),
        Some(code) if is_error => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(io::Error::other("the kernel's answer was not understood")),
    }
}
