//! Follows the provider: every change of a function goes into the gateway's table, which answers
//! waiting calls, and then to the scale loop.

use std::sync::Arc;

use futures_util::StreamExt;
use tidegate_core::FunctionId;
use tidegate_gateway::Table;
use tidegate_provider::{Change, Provider};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::metrics::CrashCounts;

/// What the scale loop is told of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The function came, changed or went: the table says which.
    Changed(FunctionId),
    /// All that existed at the start has been told.
    Synced,
}

/// Follows `provider` until it ends its watch; the receiver of `seen` is the scale loop.
pub async fn run(
    provider: Arc<dyn Provider>,
    table: Arc<Table>,
    seen: mpsc::Sender<Seen>,
    crashes: CrashCounts,
) {
    loop {
        let mut changes = provider.watch();
        while let Some(change) = changes.next().await {
            let told = match change {
                Change::Function(status) => {
                    crashes.seen(status.function(), &status.crashes);
                    Seen::Changed(table.upsert(&status).id().clone())
                }
                Change::Gone(function) => {
                    take_out(&*provider, &table, &function).await;
                    crashes.forget(&function);
                    Seen::Changed(function)
                }
                Change::Synced => {
                    table.set_synced();
                    Seen::Synced
                }
            };
            if seen.send(told).await.is_err() {
                return;
            }
        }
        warn!(provider = provider.name(), "the provider ended its watch; watching anew");
        // A backend that ends its watch at once must not turn this into a busy loop.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

/// By now a function of this name may be deployed again, and stay: only what was in the table before the
/// provider was asked can be the one that is gone.
async fn take_out(provider: &dyn Provider, table: &Table, function: &FunctionId) {
    let Some(entry) = table.get(function) else { return };
    match provider.get(function).await {
        Ok(status) => table.learn(&status),
        Err(_) => drop(table.remove_entry(&entry)),
    }
    info!(
        function.name = function.name(),
        function.namespace = function.namespace(),
        "{function} removed"
    );
}
