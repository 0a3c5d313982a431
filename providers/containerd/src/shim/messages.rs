//! What containerd asks of a shim, and the answers.
//!
//! Source: containerd's `api/runtime/task/v2/shim.proto`, `api/services/ttrpc/events/v1/events.proto` and
//! `api/types/runc/options/oci.proto`. Of messages that are only read the fields that nobody here looks at are left out.

use containerd_client::types::v1::ProcessInfo;
use containerd_client::types::{Envelope, Mount};
use prost::Message;
use prost_types::{Any, Timestamp};

/// The service that containerd calls.
pub(super) const SERVICE: &str = "containerd.task.v2.Task";
/// The service of containerd that events are given to, and its one method.
pub(super) const EVENTS: (&str, &str) = ("containerd.services.events.ttrpc.v1.Events", "Forward");

/// A task or, with `exec_id`, another process in it: what most methods ask about.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Which {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) exec_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Create {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) bundle: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) rootfs: Vec<Mount>,
    #[prost(bool, tag = "4")]
    pub(super) terminal: bool,
    #[prost(string, tag = "5")]
    pub(super) stdin: String,
    #[prost(string, tag = "6")]
    pub(super) stdout: String,
    #[prost(string, tag = "7")]
    pub(super) stderr: String,
    #[prost(string, tag = "8")]
    pub(super) checkpoint: String,
    #[prost(message, optional, tag = "10")]
    pub(super) options: Option<Any>,
}

/// Of a task that was made or started.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Started {
    #[prost(uint32, tag = "1")]
    pub(super) pid: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Deleted {
    #[prost(uint32, tag = "1")]
    pub(super) pid: u32,
    #[prost(uint32, tag = "2")]
    pub(super) exit_status: u32,
    #[prost(message, optional, tag = "3")]
    pub(super) exited_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Exec {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) exec_id: String,
    #[prost(bool, tag = "3")]
    pub(super) terminal: bool,
    #[prost(string, tag = "4")]
    pub(super) stdin: String,
    #[prost(string, tag = "5")]
    pub(super) stdout: String,
    #[prost(string, tag = "6")]
    pub(super) stderr: String,
    #[prost(message, optional, tag = "7")]
    pub(super) spec: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct State {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) bundle: String,
    #[prost(uint32, tag = "3")]
    pub(super) pid: u32,
    /// [`containerd_client::types::v1::Status`].
    #[prost(int32, tag = "4")]
    pub(super) status: i32,
    #[prost(string, tag = "5")]
    pub(super) stdin: String,
    #[prost(string, tag = "6")]
    pub(super) stdout: String,
    #[prost(string, tag = "7")]
    pub(super) stderr: String,
    #[prost(uint32, tag = "9")]
    pub(super) exit_status: u32,
    #[prost(message, optional, tag = "10")]
    pub(super) exited_at: Option<Timestamp>,
    #[prost(string, tag = "11")]
    pub(super) exec_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Kill {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) exec_id: String,
    #[prost(uint32, tag = "3")]
    pub(super) signal: u32,
    #[prost(bool, tag = "4")]
    pub(super) all: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Pids {
    #[prost(message, repeated, tag = "1")]
    pub(super) processes: Vec<ProcessInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Exited {
    #[prost(uint32, tag = "1")]
    pub(super) exit_status: u32,
    #[prost(message, optional, tag = "2")]
    pub(super) exited_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Connected {
    #[prost(uint32, tag = "1")]
    pub(super) shim_pid: u32,
    #[prost(uint32, tag = "2")]
    pub(super) task_pid: u32,
    #[prost(string, tag = "3")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Forward {
    #[prost(message, optional, tag = "1")]
    pub(super) envelope: Option<Envelope>,
}
