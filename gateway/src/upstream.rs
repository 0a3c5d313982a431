//! The client half of the gateway: HTTP/1.1 to replicas, over pooled connections.
//!
//! Written for this one use instead of a general client, for two reasons. The connection is driven by
//! the task that serves the call, so nothing is handed between tasks; and whether a byte of a request
//! was sent is known exactly, which is what the rules of trying again are about.
//!
//! ```text
//! pool ─► connection ─► exchange: request.rs (head, upload) ⇅ response.rs (head), decode.rs (body)
//! ```

mod connection;
mod decode;
mod exchange;
mod inside;
mod io;
mod pool;
mod request;
mod response;

pub(crate) use connection::Connection;
pub(crate) use decode::{Decoded, Decoder};
pub(crate) use exchange::{Exchange, ExchangeError, Fault};
pub(crate) use pool::{ConnectError, Pool, PoolSettings};
pub(crate) use request::{Framing, Outbound, Target, Upload};
pub(crate) use response::Head;
