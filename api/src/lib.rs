#![doc = include_str!("../README.md")]

mod check;
pub mod compose;
mod json;
pub mod stack;
mod time;
mod wire;
mod yaml;

pub use check::{Checked, Place, Remark};
pub use compose::Compose;
pub use json::BadJson;
pub use stack::{Diagnostic, Diagnostics, Severity, Stack, StackFunction};
pub use time::{parse_rfc3339, rfc3339};
pub use wire::{
    Alert, AlertLabels, AlertWebhook, DeleteFunctionRequest, FunctionDeployment, FunctionEvent,
    FunctionNamespace, FunctionResources, FunctionStatus, FunctionUsage, GatewayInfo, LogMessage,
    ProviderInfo, ReplicaStatus, ScaleServiceRequest, Secret, VersionInfo,
};
