//! Follows the provider: every change of a function goes into the gateway's table, which answers
//! waiting calls, and then to the scale loop.

use std::sync::Arc;

use futures_util::StreamExt;
use tidegate_core::FunctionId;
use tidegate_gateway::{Entry, Table};
use tidegate_provider::{Change, Provider};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// What the scale loop is told of the provider.
pub enum Seen {
    /// The function is deployed, or changed.
    Function(Arc<Entry>),
    /// The function is gone.
    Gone(FunctionId),
    /// All that existed at the start has been told.
    Synced,
}

/// Follows `provider` until it ends its watch; the receiver of `seen` is the scale loop.
pub async fn run(provider: Arc<dyn Provider>, table: Arc<Table>, seen: mpsc::Sender<Seen>) {
    loop {
        let mut changes = provider.watch();
        while let Some(change) = changes.next().await {
            let told = match change {
                Change::Function(status) => Seen::Function(table.upsert(&status)),
                Change::Gone(function) => {
                    table.remove(&function);
                    info!(
                        function.name = function.name(),
                        function.namespace = function.namespace(),
                        "{function} removed"
                    );
                    Seen::Gone(function)
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
