//! A fake replica: a task that answers HTTP on a loopback port until it is dropped, and its log.

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdTcpListener};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::SECRET;
use super::world::World;
use crate::{
    Address, Deployment, LogLine, LogQuery, LogStream, Phase, Replica, ReplicaId, SecretName,
};

/// One replica.
#[derive(Debug)]
pub(super) struct FakeReplica {
    pub(super) replica: Replica,
    pub(super) revision: u64,
    task: AbortHandle,
}

/// What replicas of a function wrote; the sender tells readers of new lines, and goes with the function.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<watch::Sender<Vec<LogLine>>>);

struct Behaviour {
    id: ReplicaId,
    deployment: Arc<Deployment>,
    log: Weak<watch::Sender<Vec<LogLine>>>,
    world: Weak<Mutex<World>>,
}

impl FakeReplica {
    pub(super) fn start(
        id: ReplicaId,
        revision: u64,
        deployment: Arc<Deployment>,
        log: Log,
        world: &Arc<Mutex<World>>,
    ) -> Self {
        let listener =
            StdTcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a listener need not block");
        let address = listener.local_addr().expect("a bound listener has an address");
        let listener = TcpListener::from_std(listener).expect("the fake runs in a runtime");
        let log = Arc::downgrade(&log.0);
        let behaviour = Behaviour { id: id.clone(), deployment, log, world: Arc::downgrade(world) };
        let task = tokio::spawn(serve(listener, Arc::new(behaviour))).abort_handle();
        let replica = Replica {
            id,
            address: Some(Address::Tcp(address)),
            phase: Phase::Starting,
            restarts: 0,
            detail: String::new(),
        };
        Self { replica, revision, task }
    }
}

impl Drop for FakeReplica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, behaviour: Arc<Behaviour>) {
    while let Ok((stream, _)) = listener.accept().await {
        let behaviour = behaviour.clone();
        // A caller that hangs up is no failure of the replica.
        tokio::spawn(async move { behaviour.answer(stream).await.ok() });
    }
}

impl Behaviour {
    /// One call a connection.
    async fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let body = read_call(&mut stream).await?;
        self.write_log(&body);
        let body = match self.deployment.process.strip_prefix(SECRET) {
            Some(secret) => self.secret(secret),
            None => body,
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.shutdown().await
    }

    fn secret(&self, name: &str) -> Vec<u8> {
        let namespace = self.deployment.function.namespace().to_owned();
        let name = SecretName { namespace, name: name.to_owned() };
        let Some(world) = self.world.upgrade() else { return Vec::new() };
        let world = world.lock().unwrap_or_else(PoisonError::into_inner);
        world.secrets.get(&name).cloned().unwrap_or_default()
    }

    #[expect(clippy::disallowed_methods, reason = "a fake has no clock.rs of its own")]
    fn write_log(&self, body: &[u8]) {
        let Some(log) = self.log.upgrade() else { return };
        let line = LogLine {
            function: self.deployment.function.clone(),
            instance: self.id.clone(),
            at: SystemTime::now(),
            text: String::from_utf8_lossy(body).into_owned(),
        };
        log.send_modify(|lines| lines.push(line));
    }
}

/// The body of a call with a `Content-Length`.
async fn read_call(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut call = Vec::new();
    loop {
        if let Some(end) = call.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&call[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|it| it.trim().parse().ok()).unwrap_or(0);
            let mut body = call.split_off(end + 4);
            let missing = length.saturating_sub(body.len());
            stream.take(missing as u64).read_to_end(&mut body).await?;
            return Ok(body);
        }
        if stream.read_buf(&mut call).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

impl Log {
    pub(super) fn read(self, query: LogQuery) -> LogStream {
        let lines = self.0.subscribe();
        // Only the function keeps the log, so that readers notice when it is gone.
        drop(self);
        let reader = Reader { lines, next: 0, query };
        Box::pin(futures_util::stream::unfold(reader, |mut reader| async {
            let line = reader.next().await?;
            Some((Ok(line), reader))
        }))
    }
}

struct Reader {
    lines: watch::Receiver<Vec<LogLine>>,
    next: usize,
    query: LogQuery,
}

impl Reader {
    async fn next(&mut self) -> Option<LogLine> {
        loop {
            let line = {
                let lines = self.lines.borrow_and_update();
                if let Some(tail) = self.query.tail.take() {
                    let fits = |(_, line): &(usize, &LogLine)| wanted(&self.query, line);
                    let matching: Vec<_> = lines.iter().enumerate().filter(fits).collect();
                    let first = matching.get(matching.len().saturating_sub(tail));
                    self.next = first.map_or(lines.len(), |(index, _)| *index);
                }
                let rest = lines.iter().enumerate().skip(self.next);
                let found = rest
                    .map(|(index, line)| (index, line.clone()))
                    .find(|(_, line)| wanted(&self.query, line));
                self.next = found.as_ref().map_or(lines.len(), |(index, _)| index + 1);
                found
            };
            if let Some((_, line)) = line {
                return Some(line);
            }
            if !self.query.follow {
                return None;
            }
            self.lines.changed().await.ok()?;
        }
    }
}

fn wanted(query: &LogQuery, line: &LogLine) -> bool {
    let of_instance = query.instance.as_ref().is_none_or(|it| *it == *line.instance.as_str());
    of_instance && query.since.is_none_or(|since| line.at >= since)
}
