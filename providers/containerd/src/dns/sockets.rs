//! The sockets of the server: datagrams and connections, both bounded in size, time and number.

use std::io;
use std::net::{
    IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener as StdListener, UdpSocket as StdUdp,
};
use std::sync::Arc;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::net::sockopt::{set_ip_freebind, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::answer::{Verdict, answer, failed};
use super::forward::{self, framed};
use super::names::Names;
use crate::subnet::Subnet;

/// Where names are asked for.
pub(super) const PORT: u16 = 53;
/// Largest question that is looked at.
const LARGEST: usize = 4096;
/// Most questions that wait for others' answers.
const MOST_FORWARDS: usize = 256;
/// Most connections at once.
const MOST_CONNECTIONS: usize = 64;
/// Longest wait for the next question on a connection, and for room for its answer.
const SILENCE: Duration = Duration::from_secs(10);
/// Longest that a connection lasts, so that nobody holds all of them for good.
const CONNECTION: Duration = Duration::from_secs(60);
/// Pause after a socket failed: what fails at once would fail again.
const PAUSE: Duration = Duration::from_millis(20);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// Sockets that wait for questions; nobody answers yet.
#[derive(Debug)]
pub(crate) struct Sockets {
    datagrams: StdUdp,
    connections: StdListener,
}

impl Sockets {
    /// Takes the port of names at `address`, which the machine may get later: the bridge comes with the first
    /// container.
    ///
    /// # Errors
    /// When the port is taken, or is not for us to take.
    pub(crate) fn bind(address: Ipv4Addr) -> io::Result<Self> {
        let address = SocketAddrV4::new(address, PORT);
        let datagrams = socket(SocketType::DGRAM)?;
        bind(&datagrams, &address)?;
        let connections = socket(SocketType::STREAM)?;
        // After a restart, connections of the run before may still be about to end.
        set_socket_reuseaddr(&connections, true)?;
        bind(&connections, &address)?;
        listen(&connections, BACKLOG)?;
        Ok(Self { datagrams: datagrams.into(), connections: connections.into() })
    }

    /// Answers by `names` whoever asks from within `subnet`, until `end`.
    pub(crate) fn serve(
        self,
        names: Arc<Names>,
        subnet: Subnet,
        tasks: &TaskTracker,
        end: &CancellationToken,
    ) -> io::Result<()> {
        let server = Arc::new(Server {
            names,
            subnet,
            tasks: tasks.clone(),
            end: end.clone(),
            forwards: Arc::new(Semaphore::new(MOST_FORWARDS)),
            connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        });
        let datagrams = Arc::new(UdpSocket::from_std(self.datagrams)?);
        let connections = TcpListener::from_std(self.connections)?;
        server.spawn(server.clone().answer_datagrams(datagrams));
        server.spawn(server.clone().accept(connections));
        Ok(())
    }
}

fn socket(kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, kind, flags, None)?;
    set_ip_freebind(&socket, true)?;
    Ok(socket)
}

/// What all tasks of the server share.
struct Server {
    names: Arc<Names>,
    subnet: Subnet,
    tasks: TaskTracker,
    end: CancellationToken,
    forwards: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// How a question came, and so how others are asked.
#[derive(Copy, Clone)]
enum Way {
    Datagram,
    Stream,
}

impl Server {
    /// Runs `task` to its end, or until the server's.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = task => {}
            }
        });
    }

    async fn answer_datagrams(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut buffer = vec![0; LARGEST];
        loop {
            let (length, asker) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    debug!(%error, "cannot read a question");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            if !self.is_inside(asker) {
                continue;
            }
            let question = &buffer[..length];
            match answer(question, |name| self.names.find(name, asker.ip())) {
                // An asker without room for the answer asks again.
                Verdict::Answer(reply) => drop(socket.try_send_to(&reply, asker)),
                Verdict::Forward => self.pass_on(&socket, question, asker),
                Verdict::Nothing => {}
            }
        }
    }

    /// Asks others in the background, and passes their answer back.
    fn pass_on(self: &Arc<Self>, socket: &Arc<UdpSocket>, question: &[u8], asker: SocketAddr) {
        let (server, socket, question) = (self.clone(), socket.clone(), question.to_vec());
        let Ok(permit) = self.forwards.clone().try_acquire_owned() else {
            let _ = socket.try_send_to(&failed(&question), asker);
            return;
        };
        self.spawn(async move {
            let reply = server.ask_others(&question, Way::Datagram).await;
            let _ = socket.try_send_to(&reply, asker);
            drop(permit);
        });
    }

    async fn ask_others(&self, question: &[u8], way: Way) -> Vec<u8> {
        let servers = self.names.servers();
        let reply = match way {
            Way::Datagram => forward::by_datagram(&servers, question).await,
            Way::Stream => forward::by_stream(&servers, question).await,
        };
        reply.unwrap_or_else(|| failed(question))
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, asker) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept a connection of who asks for names");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = self.connections.clone().try_acquire_owned() else { continue };
            if !self.is_inside(asker) {
                continue;
            }
            let server = self.clone();
            self.spawn(async move {
                let answered = timeout(CONNECTION, server.answer_stream(stream, asker.ip())).await;
                debug!(%asker, ?answered, "a connection ended");
                drop(permit);
            });
        }
    }

    /// One question after the other, until the asker closes.
    async fn answer_stream(&self, mut stream: TcpStream, asker: IpAddr) -> io::Result<()> {
        loop {
            let question = timeout(SILENCE, read(&mut stream)).await??;
            let reply = match answer(&question, |name| self.names.find(name, asker)) {
                Verdict::Answer(reply) => reply,
                Verdict::Forward => match self.forwards.try_acquire() {
                    Ok(_permit) => self.ask_others(&question, Way::Stream).await,
                    Err(_) => failed(&question),
                },
                Verdict::Nothing => return Ok(()),
            };
            timeout(SILENCE, stream.write_all(&framed(&reply))).await??;
        }
    }

    /// Whoever else finds a way to the address is no replica of ours, and gets no answer.
    fn is_inside(&self, asker: SocketAddr) -> bool {
        matches!(asker.ip(), IpAddr::V4(asker) if self.subnet.contains(asker))
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > LARGEST {
        return Err(io::Error::other(format!("a question of {length} bytes")));
    }
    let mut question = vec![0; length];
    stream.read_exact(&mut question).await?;
    Ok(question)
}
