//! A shim that runs: it answers containerd, and ends when it serves nobody and is told to.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use containerd_client::tonic::Code;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use prost::Message;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};

use super::events::Events;
use super::exits::{self, Exits};
use super::frame::{self, REQUEST, RESPONSE, Refusal, Request, Response};
use super::messages::SERVICE;
use super::socket;
use super::tasks::{Jobs, Tasks, tell};
use super::words::Words;

/// How long nobody must have come before it ends: who was told where it listens is to find it.
const LINGER: Duration = Duration::from_secs(1);
/// Longest that the last events may take to containerd.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// How long threads for what blocks are kept.
const KEPT: Duration = Duration::from_millis(100);
/// Between two tries when no connection can be taken.
const PAUSE: Duration = Duration::from_millis(100);
/// Most that block at once.
const THREADS: usize = 8;

/// Serves the socket that it was started with as its input, until containerd wants no more of it.
pub(super) fn serve(words: &Words) -> io::Result<()> {
    let own = Some(rustix::process::getpid());
    // Containers come to us when what made them has ended.
    rustix::process::set_child_subreaper(own)?;
    let listener = StdListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let path = listener.local_addr()?.as_pathname().map(PathBuf::from);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(THREADS).thread_keep_alive(KEPT);
    let runtime = runtime.thread_stack_size(128 << 10).build()?;
    runtime.block_on(run(words, listener, path.as_deref()))
}

async fn run(words: &Words, listener: StdListener, path: Option<&Path>) -> io::Result<()> {
    let children = exits::children()?;
    let exits = Rc::new(Exits::default());
    // containerd says where it hears events; older ones do not.
    let told = std::env::var_os("TTRPC_ADDRESS").filter(|it| !it.is_empty());
    let socket = told.map_or_else(|| format!("{}.ttrpc", words.address).into(), PathBuf::from);
    let events = Rc::new(Events::new(words.namespace.clone(), socket));
    let (jobs, mut more) = mpsc::unbounded_channel();
    let tasks = Tasks::new(words.namespace.clone(), exits.clone(), events.clone(), jobs.clone());
    let listener = UnixListener::from_std(listener)?;
    let mut running = FuturesUnordered::new();
    let begin = |job: std::pin::Pin<Box<dyn Future<Output = ()>>>| {
        // The other end is in this function.
        let _ = jobs.send(job);
    };
    begin(Box::pin(async move { exits.tell(children).await }));
    let bringing = events.clone();
    begin(Box::pin(async move { bringing.bring().await }));
    let arrivals = Rc::new(Cell::new(0_u64));
    begin(Box::pin(accept(listener, tasks.clone(), jobs.clone(), arrivals.clone())));
    let mut ending = std::pin::pin!(end(&tasks, &events, &arrivals, path));
    loop {
        tokio::select! {
            Some(job) = more.recv() => running.push(job),
            Some(()) = running.next() => {}
            () = &mut ending => return Ok(()),
        }
    }
}

/// Waits until nobody needs this shim any more, and takes its socket away.
async fn end(tasks: &Tasks, events: &Events, arrivals: &Cell<u64>, path: Option<&Path>) {
    loop {
        tasks.stopped().await;
        while tasks.is_idle() {
            let before = arrivals.get();
            sleep(LINGER).await;
            let _ = timeout(LAST_EVENTS, events.told()).await;
            let is_alone = || tasks.is_idle() && arrivals.get() == before;
            if is_alone() && path.is_none_or(|path| socket::leave(path, is_alone)) {
                return;
            }
        }
    }
}

async fn accept(listener: UnixListener, tasks: Rc<Tasks>, jobs: Jobs, arrivals: Rc<Cell<u64>>) {
    loop {
        let accepted = listener.accept().await;
        arrivals.set(arrivals.get() + 1);
        match accepted {
            Ok((socket, _)) if is_ours(&socket) => {
                let connection = connection(socket, tasks.clone(), jobs.clone());
                let _ = jobs.send(Box::pin(connection));
            }
            Ok(_) => tell("somebody else's connection was refused"),
            Err(failure) => {
                tell(&format!("cannot take a connection: {failure}"));
                sleep(PAUSE).await;
            }
        }
    }
}

/// Whether the user at the other end is ours.
fn is_ours(socket: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    socket.peer_cred().is_ok_and(|it| it.uid() == own || it.uid() == 0)
}

async fn connection(socket: UnixStream, tasks: Rc<Tasks>, jobs: Jobs) {
    let (mut from, to) = socket.into_split();
    let to = Rc::new(Mutex::new(to));
    loop {
        match frame::read(&mut from).await {
            Ok(Some(frame)) if frame.kind == REQUEST => {
                // It goes on when nobody waits for the answer any more: what was begun is to be finished.
                let call = answer(tasks.clone(), to.clone(), frame.stream, frame.message);
                let _ = jobs.send(Box::pin(call));
            }
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(failure) => return tell(&format!("a connection ends: {failure}")),
        }
    }
}

async fn answer(tasks: Rc<Tasks>, to: Rc<Mutex<OwnedWriteHalf>>, stream: u32, message: Vec<u8>) {
    let done = match Request::decode(message.as_slice()) {
        Ok(request) if request.service == SERVICE => {
            tasks.call(&request.method, &request.payload).await
        }
        Ok(request) => Err(Refusal::new(
            Code::Unimplemented,
            format!("service {} is not supported", request.service),
        )),
        Err(failure) => Err(Refusal::new(Code::InvalidArgument, failure.to_string())),
    };
    // Whoever asked may be gone.
    let _ = frame::write(&mut *to.lock().await, stream, RESPONSE, &Response::new(done)).await;
}
