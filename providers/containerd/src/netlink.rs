//! The two things that are asked of the kernel's network directly, for want of a CNI plugin or for speed: to
//! set an interface up, and to keep the ports of a bridge from each other.
//!
//! Source of all numbers: `linux/netlink.h`, `linux/rtnetlink.h`, `linux/if_link.h`.

use std::io;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const NEW_LINK: u16 = 16;
const SET_LINK: u16 = 19;
const REQUEST_AND_ACK: u16 = 1 | 4;
const ERROR: u16 = 2;
const HEADER: usize = 16;
const FAMILY_BRIDGE: u8 = 7;
const UP: u32 = 1;
const PORT_INFO: u16 = 12 | 0x8000;
const ISOLATED: u16 = 33;

/// Sets the loopback interface of this thread's network up; it is the first of each network.
pub(crate) fn loopback_up() -> io::Result<()> {
    ask(NEW_LINK, &link(0, 1, UP, UP))
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
    ask(SET_LINK, &message)
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
fn ask(kind: u16, body: &[u8]) -> io::Result<()> {
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
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
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
