#![doc = include_str!("../README.md")]

mod archive;
mod cgroup;
mod clock;
mod cni;
mod collector;
mod config;
mod connection;
mod containers;
mod content;
mod deployed;
mod digest;
mod dns;
mod doctor;
mod error;
mod events;
mod firewall;
mod found;
mod ground;
mod image;
mod images;
mod lease;
mod making;
mod manifest;
mod name_files;
mod namespaces;
mod netlink;
mod netns;
mod network;
mod oci_runtime;
mod probe;
mod programs;
mod pull;
mod reference;
mod replica;
mod runtime;
mod seccomp;
mod secrets;
mod services;
mod shim;
mod shims;
mod signals;
mod spec;
mod stock;
mod strays;
mod subnet;
mod unpack;
mod users;

pub use collector::{WORD as LOG_COLLECTOR, collect_logs};
pub use config::Config;
pub use deployed::Spec;
pub use doctor::{Missing, doctor};
pub use error::Failure;
pub use pull::{
    Progress, Proxies, PullError, PullEvent, PullPolicy, Pulled, Registries, UnknownPolicy,
    pull_image,
};
pub use reference::Reference;
pub use replica::{Replica, Seat};
pub use runtime::{ContainerdProvider, ContainerdRuntime, import_images};
pub use services::{
    Asked, ServiceState, ServiceStatus, Services, ask_services, look_at_services, service_logs,
};
pub use shim::{SHIM_VERSION, is_shim, run_shim};
pub use stock::{StoredImage, list_images, prune_images};
pub use subnet::Subnet;
pub use tidegate_provider_machine::logs::Wish as LogWish;
pub use tidegate_provider_machine::{OpenError, Settings};
