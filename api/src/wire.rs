//! The JSON types of the management API.
//!
//! Field order and omissions are those that clients of the API know: a key that is empty is left out,
//! except for the few that clients read without looking.

mod function;
mod requests;
mod system;

pub use function::{
    FunctionDeployment, FunctionEvent, FunctionResources, FunctionStatus, FunctionUsage,
    ReplicaStatus,
};
pub use requests::{
    Alert, AlertLabels, AlertWebhook, DeleteFunctionRequest, FunctionNamespace,
    ScaleServiceRequest, Secret,
};
pub use system::{GatewayInfo, LogMessage, ProviderInfo, VersionInfo};

/// Whether a number is left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Whether a number is left out.
fn is_nought(number: &f64) -> bool {
    *number == 0.0
}
