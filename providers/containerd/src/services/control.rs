//! The socket by which other commands ask the process that looks after services: one question a connection, and
//! answers, each a line of JSON.
//!
//! ```text
//! run/services/control        only root reaches it: so does its folder
//! ```

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tidegate_core::{FunctionId, Service};
use tidegate_provider::LogStream;
use tidegate_provider_machine::{OpenError, logs};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::base::log_folder;
use super::container::{SERVICE, definition, tasks};
use super::status::{ServiceState, ServiceStatus};
use super::{Definition, Services};
use crate::connection::Connection;
use crate::error::Failure;
use crate::ground::BY_PROCESS;
use crate::namespaces::SERVICES;
use crate::{Config, containers, name_files};

/// Longest question, in bytes.
const LONGEST: u64 = 16 << 20;
/// Longest that asking may take, once connected.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// What the process that looks after services is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// What there is.
    List,
    /// That these are the services from now on.
    Up(Vec<Service>),
    /// That this one is started anew.
    Restart(String),
    /// That all end.
    Down,
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    /// Something changed meanwhile.
    Event(ServiceStatus),
    /// It is done, and this is what there is.
    Done(Vec<ServiceStatus>),
    /// It is not done.
    Failed(String),
}

fn path(config: &Config) -> PathBuf {
    config.run_dir.join("services").join("control")
}

/// Answers until the services are closed.
pub(super) fn serve(services: &Arc<Services>) -> Result<(), OpenError> {
    let path = path(&services.base.config);
    let listener = bind(&path).map_err(OpenError::io("listen at", &path))?;
    let (tasks, end) = (services.base.tasks.clone(), services.base.end.clone());
    // Does not keep them alive.
    let services = Arc::downgrade(services);
    tasks.clone().spawn(async move {
        let accepting = async {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let Some(services) = services.upgrade() else { return };
                        tasks.spawn(async move { answer(&services, stream).await });
                    }
                    Err(failure) => {
                        warn!("cannot accept a question: {failure}");
                        sleep(PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = end.cancelled() => {}
            () = accepting => {}
        }
        let _ = std::fs::remove_file(&path);
    });
    Ok(())
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(failure) if failure.kind() != io::ErrorKind::NotFound => return Err(failure),
        // Of a run that was killed: we have the lock.
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn answer(services: &Services, mut stream: UnixStream) {
    let asked = match timeout(PATIENCE, read(&mut stream)).await {
        Ok(Ok(asked)) => asked,
        _ => return debug!("a question was not understood"),
    };
    let down = matches!(asked, Asked::Down);
    let last = done(services, asked, &mut stream).await;
    let answer = match last {
        Ok(()) => Answer::Done(services.list()),
        Err(why) => Answer::Failed(why.to_string()),
    };
    let is_done = matches!(answer, Answer::Done(_));
    if let Err(failure) = write(&mut stream, &answer).await {
        debug!("whoever asked has gone: {failure}");
    }
    if down && is_done {
        services.down.cancel();
    }
}

/// Does what is asked, and tells of events meanwhile. It is done also when whoever asked goes away.
async fn done(services: &Services, asked: Asked, stream: &mut UnixStream) -> Result<(), Failure> {
    let mut events = services.events();
    let doing = async {
        match asked {
            Asked::List => return Ok(()),
            Asked::Up(all) => services.up(all).await?,
            Asked::Down => services.up(Vec::new()).await?,
            Asked::Restart(name) => {
                services.restart(&name)?;
                restarted(services, &name).await;
            }
        }
        services.settled().await;
        Ok(())
    };
    tokio::pin!(doing);
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Ok(event) => drop(write(stream, &Answer::Event(event)).await),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return doing.await,
            },
            done = &mut doing => return done,
        }
    }
}

/// Waits until a restart that was asked for has begun.
async fn restarted(services: &Services, name: &str) {
    let status = services.lock().get(name).map(|handle| handle.status.clone());
    if let Some(mut status) = status {
        let before = status.borrow().restarts;
        // It ends when the service is not looked after any more.
        let _ = status.wait_for(|now| now.restarts > before).await;
    }
}

async fn read(stream: &mut UnixStream) -> io::Result<Asked> {
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line).await?;
    serde_json::from_str(&line).map_err(io::Error::other)
}

async fn write(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
    line.push(b'\n');
    let sending = timeout(PATIENCE, stream.write_all(&line)).await;
    sending.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Asks the process that looks after services; `None` when there is none. `heard` is told of what changes
/// meanwhile.
///
/// # Errors
/// When it refuses, or ends before it has answered.
pub async fn ask_services(
    config: &Config,
    asked: &Asked,
    heard: impl Fn(&ServiceStatus),
) -> Result<Option<Vec<ServiceStatus>>, Failure> {
    let path = path(config);
    let mut stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        Err(absent) if is_absent(&absent) => return Ok(None),
        Err(failure) => return Err(Failure::io(format!("reach {}", path.display()))(failure)),
    };
    let broken = || Failure::io("ask the process that looks after services");
    write(&mut stream, asked).await.map_err(broken())?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await.map_err(broken())? {
        match serde_json::from_str(&line) {
            Ok(Answer::Event(status)) => heard(&status),
            Ok(Answer::Done(all)) => return Ok(Some(all)),
            Ok(Answer::Failed(why)) => return Err(Failure::Told(why)),
            Err(bad) => {
                let why =
                    format!("the process that looks after services is of another version: {bad}");
                return Err(Failure::Told(why));
            }
        }
    }
    let why = "the process that looks after services has ended; see `tidegate services list`";
    Err(Failure::Told(why.to_owned()))
}

fn is_absent(failure: &io::Error) -> bool {
    matches!(failure.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// What there is in containerd, for when nobody looks after it.
///
/// # Errors
/// When containerd cannot be asked.
pub async fn look_at_services(config: &Config) -> Result<Vec<ServiceStatus>, Failure> {
    let owner = format!("{BY_PROCESS}{}", std::process::id());
    let connection = Connection::new(&config.socket, &owner);
    connection.version().await?;
    let scope = connection.within(&format!("{}{SERVICES}", config.namespace_prefix));
    let tasks = tasks(&scope).await?;
    let addresses = name_files::read_services(&config.run_dir.join("names"));
    let mut all = Vec::new();
    for container in containers::list(&scope, SERVICE).await? {
        let Some(definition) = definition(&container) else { continue };
        let runs = tasks.contains_key(&container.id);
        let state = if runs { ServiceState::Running } else { ServiceState::Exited };
        all.push(unwatched(&definition, state, &addresses));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn unwatched(
    definition: &Definition,
    state: ServiceState,
    addresses: &std::collections::BTreeMap<String, std::net::Ipv4Addr>,
) -> ServiceStatus {
    let mut status = ServiceStatus::new(definition, state);
    status.address = addresses.get(&status.name).copied();
    // They are closed.
    status.ports.clear();
    "nobody looks after it".clone_into(&mut status.detail);
    status
}

/// Streams what a service wrote. Must be called within a tokio runtime.
///
/// # Errors
/// When it has no log.
pub fn service_logs(
    config: &Config,
    name: &str,
    mut wish: logs::Wish,
) -> Result<LogStream, Failure> {
    let none = || Failure::Told(format!("there is no log of a service {name:?}"));
    let owner = FunctionId::new(name, SERVICES).map_err(|_| none())?;
    let folder = log_folder(&config.settings.state_dir);
    let exists = |ending: &str| folder.join(format!("{name}{ending}")).exists();
    if !exists(".log") && !exists(".log.1") {
        return Err(none());
    }
    wish.instance = Some(name.to_owned());
    Ok(logs::of_others(owner, folder, wish).boxed())
}
