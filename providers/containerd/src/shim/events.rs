//! What a shim tells containerd about its tasks, in order: kept while containerd is away, and told when it is back.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use containerd_client::types::Envelope;
use prost::Message;
use prost_types::Any;
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::frame::{self, REQUEST, RESPONSE, Request, Response};
use super::messages::{EVENTS, Forward};

/// Most that is kept; after that the oldest are forgotten.
const MOST: usize = 4096;
/// Longest that containerd may take for one.
const LONGEST: Duration = Duration::from_secs(5);
/// Between two tries while it is away.
const PAUSE: Duration = Duration::from_millis(200);

/// Events on their way to containerd.
#[derive(Debug)]
pub(super) struct Events {
    namespace: String,
    socket: PathBuf,
    /// Each with its number.
    queue: RefCell<VecDeque<(u64, Envelope)>>,
    next: Cell<u64>,
    more: Notify,
    left: watch::Sender<usize>,
}

impl Events {
    /// For containerd's ttrpc socket.
    pub(super) fn new(namespace: String, socket: PathBuf) -> Self {
        let (queue, next) = (RefCell::default(), Cell::new(0));
        let (more, left) = (Notify::new(), watch::Sender::new(0));
        Self { namespace, socket, queue, next, more, left }
    }

    /// Tells of something; `kind` is the message's name. It is on its way when this returns.
    pub(super) fn tell(&self, topic: &str, kind: &str, event: &impl Message) {
        let type_url = format!("containerd.events.{kind}");
        let event = Any { type_url, value: event.encode_to_vec() };
        let mut queue = self.queue.borrow_mut();
        if queue.len() == MOST {
            queue.pop_front();
        }
        let number = self.next.replace(self.next.get() + 1);
        let envelope = Envelope {
            timestamp: Some(crate::clock::wall().into()),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: Some(event),
        };
        queue.push_back((number, envelope));
        self.left.send_replace(queue.len());
        self.more.notify_one();
    }

    /// Waits until all were told.
    pub(super) async fn told(&self) {
        // The sender is right here.
        let _ = self.left.subscribe().wait_for(|left| *left == 0).await;
    }

    /// Brings them to containerd, for ever.
    pub(super) async fn bring(&self) {
        let mut connection = None;
        loop {
            let next = self.queue.borrow().front().cloned();
            let Some((number, next)) = next else {
                self.more.notified().await;
                continue;
            };
            let told = timeout(LONGEST, self.forward(&mut connection, next)).await;
            if !matches!(told, Ok(Ok(()))) {
                connection = None;
                sleep(PAUSE).await;
                continue;
            }
            let mut queue = self.queue.borrow_mut();
            // It may have been too many meanwhile.
            queue.pop_front_if(|(first, _)| *first == number);
            self.left.send_replace(queue.len());
        }
    }

    async fn forward(
        &self,
        connection: &mut Option<(UnixStream, u32)>,
        envelope: Envelope,
    ) -> io::Result<()> {
        let (service, method) = EVENTS;
        let request = Request {
            service: service.to_owned(),
            method: method.to_owned(),
            payload: Forward { envelope: Some(envelope) }.encode_to_vec(),
        };
        if connection.is_none() {
            *connection = Some((UnixStream::connect(&self.socket).await?, 1));
        }
        let (socket, stream) = connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        frame::write(socket, *stream, REQUEST, &request).await?;
        loop {
            let frame = frame::read(socket).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if frame.stream != *stream || frame.kind != RESPONSE {
                continue;
            }
            // Those of callers are odd.
            *stream += 2;
            // What it refuses it would refuse again.
            let _ = Response::decode(frame.message.as_slice())?.done();
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use containerd_client::events::{TaskExit, TaskStart};
    use tokio::net::UnixListener;

    use super::*;

    async fn answer(listener: &UnixListener, number: usize) -> Vec<Envelope> {
        let (mut socket, _) = listener.accept().await.expect("a caller");
        let mut heard = Vec::new();
        for _ in 0..number {
            let frame = frame::read(&mut socket).await.expect("whole").expect("one");
            let request = Request::decode(frame.message.as_slice()).expect("a request");
            assert_eq!((request.service.as_str(), request.method.as_str()), EVENTS);
            let forward = Forward::decode(request.payload.as_slice()).expect("an event");
            heard.extend(forward.envelope);
            let answer = Response::new(Ok(Vec::new()));
            frame::write(&mut socket, frame.stream, RESPONSE, &answer).await.expect("open");
        }
        heard
    }

    #[tokio::test]
    async fn events_are_told_in_order_also_after_containerd_was_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("s");
        let events = Events::new("fn".to_owned(), socket.clone());
        let exit = |id: &str| TaskExit { container_id: id.to_owned(), ..TaskExit::default() };
        events.tell(
            "/tasks/start",
            "TaskStart",
            &TaskStart { container_id: "a".to_owned(), pid: 7 },
        );
        events.tell("/tasks/exit", "TaskExit", &exit("a"));
        let telling = async {
            let listener = UnixListener::bind(&socket).expect("a socket");
            let first = answer(&listener, 1).await;
            // The connection ended with the second one under way.
            let second = answer(&listener, 1).await;
            events.told().await;
            [first, second].concat()
        };
        let heard = tokio::select! {
            () = events.bring() => unreachable!("for ever"),
            heard = telling => heard,
        };
        let topics: Vec<&str> = heard.iter().map(|it| it.topic.as_str()).collect();
        assert_eq!(topics, ["/tasks/start", "/tasks/exit"]);
        let event = heard[1].event.as_ref().expect("an event");
        assert_eq!(event.type_url, "containerd.events.TaskExit");
        assert_eq!(TaskExit::decode(event.value.as_slice()), Ok(exit("a")));
        assert_eq!(heard[1].namespace, "fn");
    }
}
