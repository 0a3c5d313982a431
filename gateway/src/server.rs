//! The listeners: accept, serve HTTP/1.1, and end without dropping a call.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{Body, BoxError};
use crate::door::{Door, Inside, Leads};
use crate::drain::{Drain, Drainable, Stage};
use crate::timer::HeadTimer;
use crate::workers::{Seat, Workers};

/// Largest head of a request; beyond it 431, as OpenFaaS has it.
const LARGEST_HEAD: usize = 1 << 20;
/// Pause after a failed accept: out of file descriptors is not mended by trying at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How often what is stale is cleared away.
const SWEEP: Duration = Duration::from_secs(10);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its address with the port.
    pub(crate) peer: SocketAddr,
    /// Its address, an IPv4 one as such even on a dual-stack listener.
    pub(crate) address: IpAddr,
    /// The address as it goes into `X-Forwarded-For`.
    pub(crate) forwarded: HeaderValue,
    /// What is known of it when it came in through the functions' door.
    pub(crate) inside: Option<Inside>,
}

/// What a listener needs to know of the configuration.
#[derive(Copy, Clone, Debug)]
pub(crate) struct ServerSettings {
    pub(crate) header_timeout: Duration,
    pub(crate) lame_duck: Duration,
    pub(crate) grace: Duration,
}

/// What serves all connections of some listeners.
pub(crate) struct Server {
    pub(crate) settings: ServerSettings,
    pub(crate) drain: Arc<Drain>,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the grace is over, for what is not a connection any more.
    pub(crate) cut: CancellationToken,
    /// The functions' own door, if they have one.
    pub(crate) door: Option<Door>,
    /// Who serves; when there are none, the caller's runtime does.
    pub(crate) workers: Workers,
}

/// A connection that was made.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    leads: Leads,
}

/// The next connection of any listener.
fn accept(
    listeners: &[(TcpListener, Leads)],
    context: &mut Context<'_>,
) -> Poll<io::Result<Accepted>> {
    let mut accepted = listeners.iter().map(|(listener, leads)| {
        let accepted = |(stream, peer)| Accepted { stream, peer, leads: *leads };
        listener.poll_accept(context).map_ok(accepted)
    });
    accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
}

impl Client {
    pub(crate) fn new(peer: SocketAddr, inside: Option<Inside>) -> Self {
        let address = peer.ip().to_canonical();
        let forwarded = HeaderValue::from_str(&address.to_string())
            .expect("an address is digits, letters, dots and colons");
        Self { peer, address, forwarded, inside }
    }
}

impl Server {
    /// Serves what comes to any of `listeners` with `handle` until `shutdown`, then drains. `sweep` is called now and then.
    pub(crate) async fn run<H, F>(
        self,
        listeners: Vec<TcpListener>,
        shutdown: CancellationToken,
        handle: H,
        mut sweep: impl FnMut(),
    ) -> io::Result<()>
    where
        H: Fn(Arc<Client>, Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let door = self.door.as_ref();
        let known = |listener| {
            let leads = door.map_or(Leads::Elsewhere, |door| door.leads(&listener));
            (listener, leads)
        };
        let listeners: Vec<_> = listeners.into_iter().map(known).collect();
        let mut sweeps = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                accepted = poll_fn(|context| accept(&listeners, context)) => match accepted {
                    Ok(accepted) => self.spawn(accepted, handle.clone()),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                _ = sweeps.tick() => sweep(),
                () = shutdown.cancelled() => break,
            }
        }
        // Connections the kernel has accepted already are served: closing the socket would reset them.
        let waiting = || poll_fn(|context| accept(&listeners, context)).now_or_never();
        while let Some(Ok(accepted)) = waiting() {
            self.spawn(accepted, handle.clone());
        }
        drop(listeners);
        self.end().await;
        self.workers.end().await;
        Ok(())
    }

    async fn end(&self) {
        self.tasks.close();
        self.drain.advance(Stage::LameDuck);
        if timeout(self.settings.lame_duck, self.tasks.wait()).await.is_ok() {
            return;
        }
        self.drain.advance(Stage::Closing);
        if timeout(self.settings.grace, self.tasks.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(connections = self.tasks.len(), grace = ?self.settings.grace, "cutting what is left");
        self.cut.cancel();
        self.drain.advance(Stage::Cut);
        self.tasks.wait().await;
    }

    fn builder(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(HeadTimer::default())
            .header_read_timeout(self.settings.header_timeout)
            .max_buf_size(LARGEST_HEAD)
            // Head and small body leave in one copied piece: measured cheaper than a vectored write.
            .writev(false);
        builder
    }

    fn spawn<H, F>(&self, accepted: Accepted, handle: H)
    where
        H: Fn(Arc<Client>, Request<Incoming>) -> F + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let Accepted { stream, peer, leads } = accepted;
        let inside = self.door.as_ref().and_then(|door| door.enter(leads, &stream, peer));
        // It fails when the client has left already, and reading will tell.
        let _ = stream.set_nodelay(true);
        let Seat { stream, runtime, open } = match self.workers.seat(stream) {
            Ok(seat) => seat,
            Err(error) => {
                tracing::warn!(%error, "cannot serve a connection");
                return;
            }
        };
        let client = Arc::new(Client::new(peer, inside));
        let drain = Arc::clone(&self.drain);
        let stages = Arc::clone(&drain);
        let service = service_fn(move |request| {
            let stages = Arc::clone(&stages);
            // Not an async block: that would hold the handler's future twice, for every connection.
            handle(Arc::clone(&client), request).map(move |mut response| {
                if stages.stage() != Stage::Serving && !response.status().is_informational() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            })
        });
        let connection = self.builder().serve_connection(TokioIo::new(stream), service);
        let served = drain.run(Box::pin(connection.with_upgrades()), open);
        self.tasks.spawn_on(served, &runtime);
    }
}

impl<S> Drainable for http1::UpgradeableConnection<TokioIo<TcpStream>, S>
where
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<BoxError>,
    Self: Future,
{
    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
