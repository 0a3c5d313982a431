//! Idle connections to one replica, the latest used on top, and the making of new ones.
//!
//! Each thread that serves has a shelf of its own: a connection belongs to the runtime it was made on, and
//! used on another it would have that one's thread woken for each answer.
//!
//! At most [`DIALLING`] connections are being made at a time: when ten thousand waiting calls are let
//! go at once, most find a connection that an earlier one has just given back, instead of overflowing
//! the replica's listen queue.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tidegate_core::Moment;
use tidegate_provider::Address;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::connection::Connection;
use super::inside::NoLocal;
use super::io::Io;
use crate::workers;

/// Connections to one replica being made at the same time.
const DIALLING: usize = 64;

/// What can be set about pools.
#[derive(Copy, Clone, Debug)]
pub(crate) struct PoolSettings {
    /// Most idle connections kept.
    pub(crate) idle: usize,
    /// Threads that serve.
    pub(crate) threads: usize,
    /// How long an idle one is kept.
    pub(crate) idle_timeout: Duration,
    /// Longest wait for a new one.
    pub(crate) connect_timeout: Duration,
}

/// Boxed as they are while in use: a connection is a few hundred bytes.
type Idle = Vec<Box<Connection>>;

/// The idle connections of one thread, alone on its cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shelf(Mutex<Idle>);

/// Connections to one replica.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The first for threads that are no workers, then one for each worker.
    shelves: Box<[Shelf]>,
    dialling: Semaphore,
    no_local: NoLocal,
}

/// Why no connection could be made.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    /// Nobody listens: the replica has gone, or is not there yet.
    #[error("it refuses connections")]
    Refused,
    /// It listens but does not accept.
    #[error("it did not accept a connection within {0:?} (connect_timeout)")]
    TooSlow(Duration),
    /// Anything else.
    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(settings: &PoolSettings) -> Self {
        let shelves = (0..=settings.threads).map(|_| Shelf::default()).collect();
        Self { shelves, dialling: Semaphore::new(DIALLING), no_local: NoLocal::default() }
    }

    /// A connection for a request that has to be answered by `deadline`: an idle one, else a new one.
    ///
    /// # Errors
    /// When a new one could not be made.
    pub(crate) async fn take(
        &self,
        address: &Address,
        settings: &PoolSettings,
        deadline: Instant,
    ) -> Result<Box<Connection>, ConnectError> {
        if let Some(connection) = self.take_idle() {
            return Ok(connection);
        }
        let limit = settings.connect_timeout;
        // Boxed: dialling is rare, and its future would make that of every call larger.
        let dialled = Box::pin(timeout(limit, async {
            let _turn = self.dialling.acquire().await;
            if let Some(connection) = self.take_idle() {
                return Ok(connection);
            }
            Ok(Connection::new(dial(address, &self.no_local).await?, deadline))
        }));
        dialled.await.unwrap_or(Err(ConnectError::TooSlow(limit)))
    }

    /// Gives a connection back.
    pub(crate) fn give(
        &self,
        mut connection: Box<Connection>,
        now: Moment,
        settings: &PoolSettings,
    ) {
        connection.shrink();
        connection.idle_since = now;
        let most = settings.idle.div_ceil(settings.threads.max(1));
        let mut idle = self.shelf().lock();
        if idle.len() < most {
            idle.push(connection);
        }
    }

    /// Closes connections that nobody used for a while.
    pub(crate) fn sweep(&self, now: Moment, settings: &PoolSettings) {
        for shelf in &self.shelves {
            // Closed outside of the lock.
            let stale: Idle = {
                let mut idle = shelf.lock();
                let (keep, stale) = idle.drain(..).partition(|one| {
                    now.since(one.idle_since) < settings.idle_timeout && one.is_quiet()
                });
                *idle = keep;
                stale
            };
            drop(stale);
        }
    }

    /// The replica may have a new life, and listen in other places than before.
    pub(crate) fn forget(&self) {
        self.no_local.forget();
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        for shelf in &self.shelves {
            let all = std::mem::take(&mut *shelf.lock());
            drop(all);
        }
    }

    fn take_idle(&self) -> Option<Box<Connection>> {
        loop {
            let connection = self.shelf().lock().pop()?;
            if connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// Of the thread this runs on.
    fn shelf(&self) -> &Shelf {
        self.shelves.get(workers::number()).unwrap_or(&self.shelves[0])
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn dial(address: &Address, no_local: &NoLocal) -> Result<Io, ConnectError> {
    let mut pause = Duration::from_millis(1);
    loop {
        match Io::connect(address, no_local).await {
            Ok(io) => return Ok(io),
            // A Unix socket whose listen queue is full says so at once instead of letting us wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::NotFound
                        | io::ErrorKind::ConnectionReset
                ) =>
            {
                return Err(ConnectError::Refused);
            }
            Err(error) => return Err(ConnectError::Unreachable(error)),
        }
    }
}
