//! How tasks end: heard from containerd's events, and looked up after each time the events were not heard.
//!
//! ```text
//! events ──► Board ──► Ending of each task       one stream for all of them
//! lists  ──►┘                                    after each (re)connection: events are never repeated
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use containerd_client::events::{TaskExit, TaskOom};
use containerd_client::services::v1::{PublishRequest, SubscribeRequest};
use containerd_client::tonic::{Response, Streaming};
use containerd_client::types::Envelope;
use containerd_client::types::v1::Status;
use prost::Message;
use prost_types::Any;
use tidegate_provider::CrashReason;
use tidegate_provider_machine::exit::{self, Cause};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::connection::{Connection, call};
use crate::containers;
use crate::error::Failure;

/// What is published to see that events are heard.
const HELLO: &str = "/tidegate/hello";
/// Between two tries to hear events.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between two looks at what nobody told.
const LOOK: Duration = Duration::from_secs(30);

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this status; above 128 it is 128 and the number of a signal.
    Status(u32),
    /// It is gone, and nobody knows how.
    Lost,
}

impl Exit {
    /// Why it ended.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Status(status) => exit::by_status(*status),
            Self::Lost => {
                Cause::new(CrashReason::Unknown, "is gone, and containerd does not know why")
            }
        }
    }
}

/// What is known of one task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// How often processes in it were killed for want of memory.
    pub(crate) memory_kills: u32,
    /// How it ended, once it did.
    pub(crate) exit: Option<Exit>,
}

/// What is heard of a task that somebody waits for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It ended.
    Ended(Exit),
    /// So many of its processes were killed for want of memory by now.
    MemoryKills(u32),
}

/// All tasks somebody wants to know the end of.
#[derive(Debug, Default)]
pub(crate) struct Board {
    tasks: Mutex<HashMap<Arc<Key>, Arc<Task>>>,
    away: watch::Sender<Option<String>>,
}

/// The namespace, and the container's id.
type Key = (String, String);

/// One task. One listens to it or two, so that a tokio watch, which is made for hundreds, would only take room.
#[derive(Debug)]
struct Task {
    pid: u32,
    known: Mutex<Known>,
    news: Notify,
}

/// What will be known of one task; nobody listens for it any more when this is dropped.
#[derive(Debug)]
pub(crate) struct Ending {
    board: Arc<Board>,
    key: Arc<Key>,
    task: Arc<Task>,
}

impl Task {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, exit: Exit) {
        self.known().exit.get_or_insert(exit);
        self.news.notify_waiters();
    }

    /// Waits until what is wanted is known.
    #[expect(clippy::manual_async_fn, reason = "a block has one place for what it takes")]
    fn until<T: Send>(
        &self,
        wanted: impl Fn(&Known) -> Option<T> + Send,
    ) -> impl Future<Output = T> + Send {
        async move {
            loop {
                // Before the look, so that nothing is missed in between.
                let news = self.news.notified();
                let found = wanted(&self.known());
                match found {
                    Some(found) => return found,
                    None => news.await,
                }
            }
        }
    }
}

impl Board {
    /// Listens for the end of a task that has been created.
    pub(crate) fn listen(self: &Arc<Self>, namespace: &str, id: &str, pid: u32) -> Ending {
        let key = Arc::new((namespace.to_owned(), id.to_owned()));
        let task = Arc::new(Task { pid, known: Mutex::default(), news: Notify::new() });
        if let Some(earlier) = self.lock().insert(key.clone(), task.clone()) {
            // Another life of the same container is listened for.
            earlier.ended(Exit::Lost);
        }
        Ending { board: self.clone(), key, task }
    }

    /// Why containerd is away, if it is.
    pub(crate) fn away(&self) -> Option<String> {
        self.away.borrow().clone()
    }

    /// Waits until containerd is there.
    pub(crate) async fn back(&self) {
        // The board itself holds the other end.
        let _ = self.away.subscribe().wait_for(Option::is_none).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<Key>, Arc<Task>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, key: &Key, pid: Option<u32>, exit: Exit) {
        if let Some(task) = self.lock().get(key)
            // The end of a life before this one is no news.
            && pid.is_none_or(|pid| pid == task.pid)
        {
            task.ended(exit);
        }
    }

    fn heard(&self, envelope: Envelope) {
        let Some(event) = envelope.event else { return };
        match envelope.topic.as_str() {
            "/tasks/exit" => {
                let Ok(exit) = TaskExit::decode(event.value.as_slice()) else { return };
                // Otherwise it is the end of a command run inside.
                if exit.id == exit.container_id {
                    let key = (envelope.namespace, exit.container_id);
                    self.ended(&key, Some(exit.pid), Exit::Status(exit.exit_status));
                }
            }
            "/tasks/oom" => {
                let Ok(oom) = TaskOom::decode(event.value.as_slice()) else { return };
                if let Some(task) = self.lock().get(&(envelope.namespace, oom.container_id)) {
                    task.known().memory_kills += 1;
                    task.news.notify_waiters();
                }
            }
            _ => {}
        }
    }

    /// Hears events until told to end.
    pub(crate) async fn run(
        self: Arc<Self>,
        connection: Connection,
        namespace: String,
        end: CancellationToken,
    ) {
        let hearing = async {
            loop {
                let failure = self.hear(&connection, &namespace).await;
                let why = failure
                    .map_or_else(|failure| failure.to_string(), |()| "its events ended".to_owned());
                if self.away().is_none() {
                    warn!("containerd is away ({why}); functions that run go on");
                }
                self.away.send_replace(Some(why));
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = end.cancelled() => {}
            () = hearing => {}
        }
    }

    async fn hear(&self, connection: &Connection, namespace: &str) -> Result<(), Failure> {
        let mut events = subscribe(connection, namespace).await?;
        self.look(connection).await?;
        if self.away.send_replace(None).is_some() {
            info!("containerd is back");
        }
        loop {
            let next = tokio::time::timeout(LOOK, events.message()).await;
            match next {
                Ok(Ok(Some(envelope))) => self.heard(envelope),
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(status)) => return Err(Failure::new("hear events", status)),
                // Nothing was said for a while.
                Err(_) => self.look(connection).await?,
            }
        }
    }

    /// Looks for tasks that ended while nobody heard.
    async fn look(&self, connection: &Connection) -> Result<(), Failure> {
        let keys: Vec<(Arc<Key>, u32)> =
            self.lock().iter().map(|(key, task)| (key.clone(), task.pid)).collect();
        let mut namespaces: Vec<&String> = keys.iter().map(|(key, _)| &key.0).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        for namespace in namespaces {
            let tasks = containers::tasks(&connection.within(namespace)).await?;
            for (key, pid) in keys.iter().filter(|(key, _)| key.0 == *namespace) {
                match tasks.iter().find(|task| task.id == key.1 || task.container_id == key.1) {
                    Some(task) if task.status() == Status::Stopped => {
                        self.ended(key, Some(*pid), Exit::Status(task.exit_status));
                    }
                    Some(_) => {}
                    None => self.ended(key, Some(*pid), Exit::Lost),
                }
            }
        }
        Ok(())
    }
}

/// A stream of events that is known to flow. The call itself returns only when the first event comes.
async fn subscribe(
    connection: &Connection,
    namespace: &str,
) -> Result<Streaming<Envelope>, Failure> {
    let scope = connection.within(namespace);
    let filters = vec!["topic~=\"^/tasks/(exit|oom)$\"".to_owned(), format!("topic==\"{HELLO}\"")];
    let mut client = scope.events();
    let subscribing = client.subscribe(SubscribeRequest { filters });
    tokio::pin!(subscribing);
    loop {
        let event = Any { type_url: "tidegate.hello".to_owned(), value: Vec::new() };
        let hello = PublishRequest { topic: HELLO.to_owned(), event: Some(event) };
        let mut publisher = scope.events();
        let publishing = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let said = call("publish an event", publisher.publish(hello)).await;
            match said {
                Ok(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(())
                }
                Err(failure) => Err(failure),
            }
        };
        tokio::select! {
            biased;
            events = &mut subscribing => {
                let events = events.map(Response::into_inner);
                return events.map_err(|status| Failure::new("hear events", status));
            }
            said = publishing => {
                if let Err(failure) = said {
                    debug!("events cannot be published: {failure}");
                    return Err(failure);
                }
            }
        }
    }
}

impl Ending {
    /// The task's process.
    pub(crate) fn pid(&self) -> u32 {
        self.task.pid
    }

    /// Whether the task's end was told.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.known().exit.is_some()
    }

    /// Waits for the task's end.
    pub(crate) async fn exit(&mut self) -> Exit {
        self.task.until(|known| known.exit.clone()).await
    }

    /// How often processes in it were killed for want of memory.
    pub(crate) fn memory_kills(&self) -> u32 {
        self.task.known().memory_kills
    }

    /// Waits for the task's end, or until more than `told` processes in it were killed for want of memory.
    pub(crate) fn news(&mut self, told: u32) -> impl Future<Output = News> + Send + '_ {
        let news = move |known: &Known| {
            let kills =
                (known.memory_kills > told).then_some(News::MemoryKills(known.memory_kills));
            known.exit.clone().map(News::Ended).or(kills)
        };
        self.task.until(news)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut tasks = self.board.lock();
        if tasks.get(&self.key).is_some_and(|task| Arc::ptr_eq(task, &self.task)) {
            tasks.remove(&self.key);
        }
    }
}
