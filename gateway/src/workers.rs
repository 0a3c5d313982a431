//! The threads that serve connections, each with a runtime and connections to replicas of its own.
//!
//! A connection stays on the thread it was given to: nothing moves between cores while a call is served,
//! and no thread has to wake another. A new one goes to the thread with the fewest, which a listener
//! for each thread could not promise. Management, loops and metrics stay on the runtime of the caller.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

thread_local! {
    /// Zero on threads that are none of these.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The number of the thread this runs on, from 1; zero on any thread that is no worker.
pub(crate) fn number() -> usize {
    NUMBER.get()
}

/// All threads of a listener. They end when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    each: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Connections it serves.
    open: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
    /// Ends the thread, whatever still runs on it.
    _stop: DropGuard,
}

/// A connection's count among those of its thread.
#[derive(Debug)]
pub(crate) struct Open(Arc<AtomicUsize>);

/// Where a connection is to be served.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) stream: TcpStream,
    pub(crate) runtime: Handle,
    pub(crate) open: Option<Open>,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// When the system gives none.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let each = (1..=count).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(Self { each })
    }

    /// Whether there are none, and connections are served on the caller's runtime.
    pub(crate) fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Gives a connection a place: on the thread with the fewest, or here when there are no threads.
    ///
    /// # Errors
    /// When the socket cannot be moved.
    pub(crate) fn seat(&self, stream: TcpStream) -> io::Result<Seat> {
        let fewest = self.each.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed));
        let Some(worker) = fewest else {
            return Ok(Seat { stream, runtime: Handle::current(), open: None });
        };
        let stream = stream.into_std()?;
        let stream = {
            let _there = worker.runtime.enter();
            TcpStream::from_std(stream)?
        };
        worker.open.fetch_add(1, Ordering::Relaxed);
        let open = Some(Open(Arc::clone(&worker.open)));
        Ok(Seat { stream, runtime: worker.runtime.clone(), open })
    }

    /// Ends the threads and waits until they have ended.
    pub(crate) async fn end(self) {
        let threads: Vec<_> = self.each.into_iter().map(|worker| worker.thread).collect();
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A panic was told when it happened.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread =
            std::thread::Builder::new().name(format!("serve-{number}")).spawn(move || {
                NUMBER.set(number);
                runtime.block_on(stopped.cancelled());
            })?;
        Ok(Self { runtime: handle, open: Arc::default(), thread, _stop: stop.drop_guard() })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn accepted() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let _client = TcpStream::connect(address).await.expect("it listens");
        listener.accept().await.expect("one has come").0
    }

    async fn number_there(seat: &Seat) -> usize {
        seat.runtime.spawn(async { number() }).await.expect("it does not panic")
    }

    #[tokio::test]
    async fn a_connection_goes_to_the_thread_with_the_fewest() {
        let workers = Workers::start(3).expect("threads");
        let mut seats = Vec::new();
        for _ in 0..6 {
            seats.push(workers.seat(accepted().await).expect("a place"));
        }
        let mut numbers = Vec::new();
        for seat in &seats {
            numbers.push(number_there(seat).await);
        }
        assert_eq!(numbers, [1, 2, 3, 1, 2, 3]);

        seats.remove(1);
        let next = workers.seat(accepted().await).expect("a place");
        assert_eq!(number_there(&next).await, 2);
        workers.end().await;
    }

    #[tokio::test]
    async fn without_threads_the_caller_serves() {
        let workers = Workers::default();
        let seat = workers.seat(accepted().await).expect("a place");
        assert_eq!((number_there(&seat).await, seat.open.is_none()), (0, true));
    }
}
