//! Kept connections to the http child.
//!
//! The last one used is the first to be used again; one unused for half a second is closed, before
//! a child's own idle limit can close it under a request.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::clock;
use crate::config::Upstream;
use crate::fault::Fault;
use crate::request_body::RequestBody;

const IDLE_LIMIT: Duration = Duration::from_millis(500);
const MOST_IDLE: usize = 100;

/// Connections to one child.
#[derive(Debug)]
pub struct Pool {
    upstream: Upstream,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// Oldest first.
    connections: Vec<(Connection, Instant)>,
    /// Whether a task is looking for old ones.
    swept: bool,
}

/// A connection in use; dropped, it is closed, which tells the child that the caller is gone.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    connection: Connection,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<RequestBody>,
    /// The socket once more, for [`Lease::hurry`].
    socket: OwnedFd,
}

impl Pool {
    /// A pool without connections.
    pub fn new(upstream: Upstream) -> Arc<Self> {
        Arc::new(Self { upstream, idle: Mutex::default() })
    }

    /// Where the child listens.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Connects to the child, in whichever way its host name leads to.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        let Upstream { host, port, .. } = &self.upstream;
        let stream = if host == "localhost" {
            // Both are tried without asking a resolver, which would cost a thread.
            match TcpStream::connect(("127.0.0.1", *port)).await {
                Err(_) => TcpStream::connect(("::1", *port)).await?,
                Ok(stream) => stream,
            }
        } else {
            TcpStream::connect((host.as_str(), *port)).await?
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Sends a request on a kept connection, or on a new one.
    ///
    /// # Errors
    /// When the child cannot be reached or breaks off. A child may close a kept connection just when
    /// it is used again: then the request is sent once more, if no byte of it was sent, or if it may
    /// be repeated and nothing was answered.
    pub async fn send(
        self: &Arc<Self>,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lease), Fault> {
        while let Some(mut connection) = self.take() {
            let again = repeatable(&request);
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, self.lease(connection))),
                Err(mut failed) => match failed.take_message().or(again) {
                    Some(once_more) => request = once_more,
                    None => return Err(broken(failed.into_error())),
                },
            }
        }
        let mut connection = self.open().await?;
        let response = connection.sender.send_request(request).await.map_err(broken)?;
        Ok((response, self.lease(connection)))
    }

    fn lease(self: &Arc<Self>, connection: Connection) -> Lease {
        Lease { pool: Arc::clone(self), connection }
    }

    async fn open(&self) -> Result<Connection, Fault> {
        let stream = self.connect().await.map_err(Fault::Unreachable)?;
        let socket = stream.as_fd().try_clone_to_owned().map_err(Fault::Unreachable)?;
        let (sender, connection) = http1::Builder::new()
            .max_headers(256)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Fault::Broken)?;
        // It ends with its last sender; its errors reach whoever waits for an answer.
        tokio::spawn(connection.with_upgrades());
        Ok(Connection { sender, socket })
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.lock();
        idle.connections.retain(|(idle, _)| !idle.sender.is_closed());
        let ready = idle.connections.iter().rposition(|(idle, _)| idle.sender.is_ready())?;
        Some(idle.connections.remove(ready).0)
    }

    fn put(self: &Arc<Self>, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.lock();
        if idle.connections.len() >= MOST_IDLE {
            return;
        }
        idle.connections.push((connection, clock::now()));
        if !std::mem::replace(&mut idle.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes what was unused for too long; says when to look again.
    fn close_old(&self) -> Option<Instant> {
        let mut idle = self.lock();
        let now = clock::now();
        idle.connections.retain(|(_, since)| now - *since < IDLE_LIMIT);
        let next = idle.connections.first().map(|(_, since)| *since + IDLE_LIMIT);
        idle.swept = next.is_some();
        next
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after a pool for as long as there is something in it; an idle watchdog has no timer.
async fn sweep(pool: Weak<Pool>) {
    let mut next = clock::now() + IDLE_LIMIT;
    loop {
        tokio::time::sleep_until(next).await;
        match pool.upgrade().and_then(|pool| pool.close_old()) {
            Some(at) => next = at,
            None => return,
        }
    }
}

/// A copy of a request that has no body and may reach the child twice (RFC 9110, 9.2.2).
fn repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// An error of our own request body is the caller's, not the child's.
fn broken(error: hyper::Error) -> Fault {
    use std::error::Error as _;

    use crate::fault::BodyFault;

    match error.source().and_then(|source| source.downcast_ref::<BodyFault>()) {
        Some(BodyFault::TooSlow) => BodyFault::TooSlow.into(),
        Some(BodyFault::Broken(_)) => BodyFault::Broken(error).into(),
        None => Fault::Broken(error),
    }
}

impl Lease {
    /// Acknowledges at once what has arrived.
    ///
    /// A child that writes its headers and its body apart, as Python's `http.server` does, waits
    /// with the second for the first to be acknowledged, which the kernel puts off for 40 ms.
    pub fn hurry(&self) {
        // A hint: without it the answer is late, not wrong.
        let _ = rustix::net::sockopt::set_tcp_quickack(&self.connection.socket, true);
    }

    /// Keeps the connection for another request; its answer was read to the end.
    pub fn give_back(self) {
        self.pool.put(self.connection);
    }
}
