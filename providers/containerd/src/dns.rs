//! The names of functions and of the gateway, for replicas: a small DNS server on the bridge's own address.
//!
//! ```text
//! replica ──question──► sockets ──► answer: a pure function of question and names ──► answered at once
//!                                      └─ of names elsewhere ──► forward: the machine's own servers
//! ```
//!
//! A function's name means the bridge's address, where the gateway listens: replicas do not reach each other,
//! and a call through the gateway is counted, balanced and wakes. The parser is `simple-dns`: it needs one small
//! crate, where `hickory-server` brings a resolver, a network stack and zones, and would not pass on what it
//! does not know byte for byte.

mod answer;
mod forward;
mod names;
mod sockets;
mod watched;

pub(crate) use names::Names;
pub(crate) use sockets::Sockets;
