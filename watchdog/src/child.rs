//! The long-lived child of http mode: started once, waited for until it listens, ended with its
//! whole process group.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::config::{Config, Upstream};
use crate::fork;
use crate::fprocess::Fprocess;
use crate::group::{Group, Groups};
use crate::lines::relay;
use crate::log::{Log, Stream};
use crate::pool::Pool;
use crate::request_body::RequestBody;

/// How long a child has to end by itself once it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// First and longest pause between two looks at a child that does not listen yet.
const LOOKS: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(25));
/// Ports given to children: below those that Linux hands out for outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A running http child.
#[derive(Debug)]
pub struct HttpChild {
    child: Child,
    group: Option<Group>,
    _port: Option<PortClaim>,
}

/// A port that no other watchdog of this machine gives to its child.
#[derive(Debug)]
pub struct PortClaim {
    port: u16,
    _name: UnixDatagram,
}

impl PortClaim {
    /// Finds a port that is free and claims it.
    ///
    /// A child binds only later, and may do so without success. The claim, an abstract socket's name
    /// that the kernel gives to one process at a time, keeps two watchdogs from picking the same
    /// port and then taking each other's child for their own.
    pub fn find() -> io::Result<Self> {
        let count = u32::from(PORTS.end - PORTS.start);
        // Replicas have neighbouring ids; a stride spreads them.
        let first = std::process::id().wrapping_mul(7919) % count;
        for step in 0..count {
            let offset = u16::try_from((first + step) % count).unwrap_or_default();
            let port = PORTS.start + offset;
            let name = SocketAddr::from_abstract_name(format!("tidegate-port-{port}"))?;
            let Ok(claim) = UnixDatagram::bind_addr(&name) else { continue };
            if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Ok(Self { port, _name: claim });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no port is free for the child"))
    }
}

impl HttpChild {
    /// Starts the child; under control it gets a port of its own, which `upstream` then names.
    pub fn start(
        config: &Config,
        fprocess: &Fprocess,
        upstream: &mut Upstream,
        groups: &Groups,
        log: &Log,
    ) -> io::Result<Self> {
        let mut command = fork::command(fprocess);
        let mut claim = None;
        if config.control {
            let found = PortClaim::find()?;
            upstream.port = found.port;
            upstream.host = "127.0.0.1".into();
            command.env("PORT", found.port.to_string()).env("upstream_url", upstream.url());
            claim = Some(found);
        }
        command.stdin(Stdio::null());
        let mut pipes = Vec::new();
        // Raw lines need nobody in between.
        if config.lines.prefix {
            let (out, out_writer) = io::pipe()?;
            let (err, err_writer) = io::pipe()?;
            command.stdout(out_writer).stderr(err_writer);
            pipes = vec![(out, Stream::Out), (err, Stream::Err)];
        }
        let child = command.spawn()?;
        for (pipe, stream) in pipes {
            tokio::spawn(relay(pipe.into(), stream, config.lines, log.clone()));
        }
        let group = groups.adopt(child.id());
        Ok(Self { child, group, _port: claim })
    }

    /// Waits for the child to end by itself.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks the child's group to end, and kills what is left of it after a while.
    pub async fn stop(mut self) {
        if let Some(group) = &self.group {
            group.terminate();
        }
        // Too late or not, the group's drop kills the rest.
        let _ = timeout(GRACE, self.child.wait()).await;
        drop(self.group.take());
    }
}

/// Returns when the child accepts connections, and answers `ready_path` if there is one.
pub async fn listening(pool: &Arc<Pool>, ready_path: Option<&str>) {
    let (mut pause, longest) = LOOKS;
    // The connection is closed at once: a child that serves one at a time must not wait on it.
    while !accepts(pool).await {
        sleep(pause).await;
        pause = (pause * 5 / 4).min(longest);
    }
    let Some(path) = ready_path else { return };
    while !answers(pool, path).await {
        sleep(longest).await;
    }
}

/// Whether something else than our own socket answers: a connection to a free port of the range for
/// outgoing ones can, by chance, meet itself.
async fn accepts(pool: &Pool) -> bool {
    let Ok(stream) = pool.connect().await else { return false };
    !matches!((stream.local_addr(), stream.peer_addr()), (Ok(ours), Ok(theirs)) if ours == theirs)
}

async fn answers(pool: &Arc<Pool>, path: &str) -> bool {
    let Ok(mut request) = Request::get(path).body(RequestBody::empty()) else { return false };
    request.headers_mut().insert(http::header::HOST, HeaderValue::from_static("localhost"));
    match timeout(Duration::from_secs(5), pool.send(request)).await {
        Ok(Ok((response, _lease))) => response.status().is_success(),
        _ => false,
    }
}
