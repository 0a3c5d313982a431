//! The gateway as one value: what invocations, management handlers and metrics share.

use std::io;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::response::IntoResponse;
use http::{Request, Response};
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use tidegate_provider::Provider;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower::ServiceExt;

use crate::body::Body;
use crate::door::Door;
use crate::drain::Drain;
use crate::error::ManageError;
use crate::invoke::Way;
use crate::metrics::{Counters, FunctionMetrics};
use crate::server::{Client, Server, ServerSettings};
use crate::system::ManageMetrics;
use crate::workers::Workers;
use crate::{Clock, Config, Scaling, Table, metrics, system};

/// The gateway.
pub struct Gateway {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) table: Arc<Table>,
    pub(crate) scaling: Arc<dyn Scaling>,
    pub(crate) counters: Arc<Counters>,
    /// Connections and what has been upgraded from them.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when upgraded connections have to end.
    pub(crate) cut: CancellationToken,
    /// Cancelled when it is told to stop.
    pub(crate) stopping: CancellationToken,
    pub(crate) manage_metrics: ManageMetrics,
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
        mut registry: Registry,
    ) -> Arc<Self> {
        let counters = Arc::new(Counters::default());
        let functions = FunctionMetrics::new(Arc::clone(&table), Arc::clone(&counters));
        registry.register_collector(Box::new(functions));
        let manage_metrics = ManageMetrics::register(&mut registry);
        Arc::new(Self {
            config,
            clock,
            provider,
            table,
            scaling,
            counters,
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
            stopping: CancellationToken::new(),
            manage_metrics,
            registry,
        })
    }

    /// Serves invocations and the management API until `shutdown`, then drains: no accepted call is
    /// dropped within the grace.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        self.serve_all(vec![listener], None, shutdown).await
    }

    /// The same at several addresses, one of which may be the functions' own door.
    ///
    /// # Errors
    /// As for [`Gateway::serve`].
    pub async fn serve_all(
        self: Arc<Self>,
        listeners: Vec<TcpListener>,
        door: Option<Door>,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let workers = Workers::start(self.config.threads)?;
        // Management is for the caller's runtime: what a handler starts may outlast the workers.
        let home = (!workers.is_empty()).then(Handle::current);
        let mut server = self.server(self.tasks.clone(), workers);
        server.door = door;
        let router = system::router(Arc::clone(&self));
        let gateway = Arc::clone(&self);
        let handle = move |client: Arc<Client>, request: Request<Incoming>| {
            let gateway = Arc::clone(&gateway);
            let called = Way::of(&client, &request).ok_or_else(|| (router.clone(), home.clone()));
            async move {
                match called {
                    Ok(way) => gateway.invoke(&client, request, way).await,
                    Err((router, home)) => Box::pin(manage(home, router, client, request)).await,
                }
            }
        };
        let stop = shutdown.clone();
        let told = self.watch_shutdown(&stop);
        let sweep = || {
            self.clock.follow_wall();
            self.table.sweep(self.clock.now());
        };
        let (served, ()) = tokio::join!(server.run(listeners, shutdown, handle, sweep), told);
        served
    }

    /// Serves `/metrics` and `/healthz` until `shutdown`.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve_metrics(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let server = self.server(TaskTracker::new(), Workers::default());
        let handle = move |_client: Arc<Client>, request: Request<Incoming>| {
            let gateway = Arc::clone(&self);
            async move { metrics::respond(&gateway.registry, &request) }
        };
        server.run(vec![listener], shutdown, handle, || {}).await
    }

    /// Whether it was told to stop; the health route answers 503 then.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    async fn watch_shutdown(&self, shutdown: &CancellationToken) {
        shutdown.cancelled().await;
        self.stopping.cancel();
    }

    fn server(&self, tasks: TaskTracker, workers: Workers) -> Server {
        Server {
            settings: ServerSettings {
                header_timeout: self.config.header_timeout,
                lame_duck: self.config.lame_duck,
                grace: self.config.shutdown_grace,
            },
            drain: Arc::new(Drain::default()),
            tasks,
            cut: self.cut.clone(),
            door: None,
            workers,
        }
    }
}

/// Everything but invocations, on the runtime `home` if there is one; given up when the client leaves.
async fn manage(
    home: Option<Handle>,
    router: axum::Router,
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Response<Body> {
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(ConnectInfo(client.peer));
    let answered = router.oneshot(request);
    let Some(home) = home else {
        let Ok(response) = answered.await;
        return response.map(Body::Handler);
    };
    let response = match AbortOnDropHandle::new(home.spawn(answered)).await {
        Ok(Ok(response)) => response,
        Err(_) => ManageError::Panicked.into_response(),
    };
    response.map(Body::Handler)
}
