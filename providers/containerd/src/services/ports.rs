//! Ports of the machine that lead to services: each connection is passed on to the address that the service has
//! at that moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_core::service::Port;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::names::Names;
use crate::error::Failure;

/// Most connections of one port at once; more wait to be accepted.
const MOST: usize = 1024;
/// Longest wait for a service to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// After a failure to accept, which mostly means that files are used up.
const PAUSE: Duration = Duration::from_millis(100);

/// Where a port leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    service: String,
    port: u16,
}

/// Ports that are wanted, the new ones bound.
#[derive(Debug, Default)]
pub(super) struct Bound {
    wanted: BTreeMap<SocketAddr, Target>,
    new: Vec<(SocketAddr, TcpListener)>,
}

/// All ports that lead to services.
#[derive(Debug)]
pub(super) struct Published {
    names: Arc<Names>,
    open: Mutex<BTreeMap<SocketAddr, Entry>>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Entry {
    target: watch::Sender<Target>,
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Published {
    pub(super) fn new(names: Arc<Names>, tasks: TaskTracker) -> Self {
        Self { names, open: Mutex::default(), tasks }
    }

    /// Binds the ports that are not open yet, and changes nothing else.
    pub(super) async fn bind(&self, wanted: Vec<(Port, String)>) -> Result<Bound, Failure> {
        let mut bound = Bound::default();
        for (port, service) in wanted {
            let address = SocketAddr::from((port.address, port.outside));
            if !self.lock().contains_key(&address) {
                let listener = TcpListener::bind(address).await;
                let listener = listener
                    .map_err(Failure::io(format!("publish port {address} of service {service}")))?;
                bound.new.push((address, listener));
            }
            bound.wanted.insert(address, Target { service, port: port.inside });
        }
        Ok(bound)
    }

    /// Makes these the ports that are open.
    pub(super) async fn set(&self, bound: Bound) {
        let gone: Vec<Entry> = {
            let mut open = self.lock();
            let gone = open.extract_if(.., |address, _| !bound.wanted.contains_key(address));
            gone.map(|(_, entry)| entry).collect()
        };
        for entry in gone {
            entry.end.cancel();
            // It never panics; and if it did, the port is closed.
            let _ = entry.task.await;
        }
        let mut open = self.lock();
        for (address, entry) in open.iter() {
            if let Some(target) = bound.wanted.get(address) {
                entry.target.send_replace(target.clone());
            }
        }
        for (address, listener) in bound.new {
            let Some(target) = bound.wanted.get(&address) else { continue };
            let (target, leads_to) = watch::channel(target.clone());
            let end = CancellationToken::new();
            let serving = Serving {
                names: self.names.clone(),
                target: leads_to,
                end: end.clone(),
                tasks: self.tasks.clone(),
            };
            let task = self.tasks.spawn(serving.run(listener));
            open.insert(address, Entry { target, end, task });
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One port.
struct Serving {
    names: Arc<Names>,
    target: watch::Receiver<Target>,
    end: CancellationToken,
    tasks: TaskTracker,
}

impl Serving {
    async fn run(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(MOST));
        let accepting = async {
            loop {
                let place = room.clone().acquire_owned().await.expect("it is not closed");
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let (passing, end) = (self.pass(stream), self.end.clone());
                        self.tasks.spawn(async move {
                            let _place = place;
                            tokio::select! {
                                () = end.cancelled() => {}
                                () = passing => {}
                            }
                        });
                    }
                    Err(failure) => {
                        warn!("cannot accept a connection: {failure}");
                        sleep(PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = self.end.cancelled() => {}
            () = accepting => {}
        }
    }

    /// Passes a connection on, to where its service is now.
    fn pass(&self, mut stream: TcpStream) -> impl Future<Output = ()> + Send + use<> {
        let Target { service, port } = self.target.borrow().clone();
        let address = self.names.address(&service);
        async move {
            let Some(address) = address else {
                debug!(service, "a connection is closed: the service does not run");
                return;
            };
            let Ok(Ok(mut service)) = timeout(CONNECT, TcpStream::connect((address, port))).await
            else {
                debug!(service, "a connection is closed: the service does not accept it");
                return;
            };
            // Answers of a few bytes must not wait for more.
            let _ = stream.set_nodelay(true).and_then(|()| service.set_nodelay(true));
            // How a connection ends is for its two ends to know.
            let _ = copy_bidirectional(&mut stream, &mut service).await;
        }
    }
}
