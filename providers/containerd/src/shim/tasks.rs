//! The service that containerd calls: tasks and the processes in them, from made to removed.
//!
//! Calls about one task wait for each other where they must; those about different tasks never do.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use containerd_client::events::{
    TaskExecAdded, TaskExecStarted, TaskExit, TaskOom, TaskPaused, TaskResumed, TaskStart,
};
use containerd_client::tonic::Code;
use containerd_client::types::v1::ProcessInfo;
use futures_util::future::LocalBoxFuture;
use prost::Message;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::time::timeout;

use super::bundle;
use super::copy::Copies;
use super::events::Events;
use super::exits::{Ended, Exits};
use super::frame::Refusal;
use super::messages::{Connected, Deleted, Exec, Exited, Kill, Pids, Started, State, Which};
use super::oci::Oci;
use super::oom::Oom;
use super::output::Log;
use super::process::{Phase, Process};
use crate::cgroup::{Hierarchy, Roots};
use crate::containers::SIGKILL;

/// Longest that the last words of a container may take to its log: somebody else may hold its output open.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Longest that a killed process may take to end, when it is in the way of its removal.
const LAST_BREATH: Duration = Duration::from_secs(10);

/// What is to go on beside the calls.
pub(super) type Jobs = mpsc::UnboundedSender<LocalBoxFuture<'static, ()>>;

pub(super) type Answer = Result<Vec<u8>, Refusal>;

/// All tasks of one shim.
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) namespace: String,
    pub(super) exits: Rc<Exits>,
    pub(super) events: Rc<Events>,
    jobs: Jobs,
    pub(super) hierarchy: Option<Hierarchy>,
    pub(super) roots: Roots,
    pub(super) copies: Copies,
    pub(super) tasks: RefCell<HashMap<String, Rc<Task>>>,
    /// Those that are being made; each is locked until it is made.
    pub(super) making: RefCell<HashMap<String, Arc<Mutex<()>>>>,
    stop: Notify,
}

/// One container.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) oci: Oci,
    pub(super) bundle: bundle::Config,
    pub(super) has_rootfs: bool,
    /// Whether its program starts when it is made, and was not told to yet.
    pub(super) untold: Cell<bool>,
    pub(super) init: Process,
    pub(super) oom: RefCell<Option<Rc<Oom>>>,
    pub(super) execs: RefCell<HashMap<String, Rc<Execution>>>,
}

/// A command in it.
#[derive(Debug)]
pub(super) struct Execution {
    spec: Vec<u8>,
    process: Process,
}

impl Task {
    fn process(&self, exec: &str) -> Result<Found, Refusal> {
        if exec.is_empty() {
            return Ok(Found::Init);
        }
        let found = self.execs.borrow().get(exec).cloned();
        found.map(Found::Execution).ok_or_else(|| not_found("process", exec))
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.oci.bundle().join("rootfs")
    }
}

/// The first process of a task, or another one.
enum Found {
    Init,
    Execution(Rc<Execution>),
}

impl Found {
    fn of<'a>(&'a self, task: &'a Task) -> &'a Process {
        match self {
            Self::Init => &task.init,
            Self::Execution(execution) => &execution.process,
        }
    }
}

impl Tasks {
    pub(super) fn new(
        namespace: String,
        exits: Rc<Exits>,
        events: Rc<Events>,
        jobs: Jobs,
    ) -> Rc<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let copies = Copies::default();
        // It is taken for as long as the shim lives.
        let _ = jobs.send(Box::pin(copies.clone().tend()));
        Rc::new(Self {
            namespace,
            exits,
            events,
            jobs,
            hierarchy: Hierarchy::find(&mounts),
            roots: Roots::find(&mounts),
            copies: copies.clone(),
            tasks: RefCell::default(),
            making: RefCell::default(),
            stop: Notify::new(),
        })
    }

    /// Waits until containerd wants this shim to end, and it serves nobody.
    pub(super) async fn stopped(&self) {
        loop {
            self.stop.notified().await;
            if self.is_idle() {
                return;
            }
        }
    }

    /// Whether there are no tasks, and none is being made.
    pub(super) fn is_idle(&self) -> bool {
        self.making.borrow().is_empty() && self.tasks.borrow().is_empty()
    }

    /// Answers one call.
    pub(super) async fn call(self: &Rc<Self>, method: &str, payload: &[u8]) -> Answer {
        match method {
            "State" => self.state(&read(payload)?),
            "Create" => self.create(read(payload)?).await,
            "Start" => self.start(&read(payload)?).await,
            "Delete" => self.delete(&read(payload)?).await,
            "Pids" => self.pids(&read(payload)?),
            "Pause" => self.pause(&read(payload)?).await,
            "Resume" => self.resume(&read(payload)?).await,
            "Kill" => self.kill(&read(payload)?).await,
            "Exec" => self.exec(read(payload)?),
            // Nobody of ours reads from a terminal.
            "CloseIO" => Ok(Vec::new()),
            "Wait" => self.wait(&read(payload)?).await,
            "Connect" => self.connect(&read(payload)?),
            "Shutdown" => {
                self.stop.notify_one();
                Ok(Vec::new())
            }
            _ => Err(Refusal::new(Code::Unimplemented, format!("{method} is not supported"))),
        }
    }

    pub(super) fn task(&self, id: &str) -> Result<Rc<Task>, Refusal> {
        self.tasks.borrow().get(id).cloned().ok_or_else(|| not_found("container", id))
    }

    /// The same, after it is made when it is just being made: whoever asked for it may have given up, and would not
    /// ask again.
    async fn made(&self, id: &str) -> Result<Rc<Task>, Refusal> {
        let making = self.making.borrow().get(id).cloned();
        if let Some(making) = making {
            drop(making.lock().await);
        }
        self.task(id)
    }

    pub(super) fn begin(&self, job: impl Future<Output = ()> + 'static) {
        // It is taken for as long as the shim lives.
        let _ = self.jobs.send(Box::pin(job));
    }

    fn state(&self, which: &Which) -> Answer {
        let task = self.task(&which.id)?;
        let found = task.process(&which.exec_id)?;
        let process = found.of(&task);
        let [stdin, stdout, stderr] = process.stdio.clone();
        let Deleted { pid, exit_status, exited_at } = process.deleted();
        answer(&State {
            id: which.id.clone(),
            bundle: task.oci.bundle().display().to_string(),
            pid,
            status: process.status() as i32,
            stdin,
            stdout,
            stderr,
            exit_status,
            exited_at,
            exec_id: which.exec_id.clone(),
        })
    }

    /// Writes a process's log while it goes on.
    pub(super) fn write(&self, process: &Process, log: Option<Log>) {
        if let Some(log) = log {
            let (sender, receiver) = oneshot::channel();
            *process.written.borrow_mut() = Some(receiver);
            self.begin(async move {
                log.write().await;
                let _ = sender.send(());
            });
        }
    }

    /// Tells of a process's end, once it has ended.
    pub(super) fn mind(
        self: &Rc<Self>,
        task: Rc<Task>,
        execution: Option<(String, Rc<Execution>)>,
        end: oneshot::Receiver<Ended>,
    ) {
        let tasks = self.clone();
        self.begin(async move {
            let Ok(ended) = end.await else { return };
            let process = execution.as_ref().map_or(&task.init, |(_, it)| &it.process);
            let turn = process.turn.lock().await;
            let oom = task.oom.borrow().clone();
            // It may have come a moment before.
            if execution.is_none() && oom.is_some_and(|it| it.news()) {
                tasks.tell_of_oom(&task.id);
            }
            let id = execution.as_ref().map_or(&task.id, |(id, _)| id);
            tasks.tell_of_end(&task, id, process, ended);
            process.ended.send_replace(Some(ended));
            drop(turn);
        });
    }

    fn tell_of_end(&self, task: &Task, id: &str, process: &Process, ended: Ended) {
        let event = TaskExit {
            container_id: task.id.clone(),
            id: id.to_owned(),
            pid: process.pid.get(),
            exit_status: ended.status,
            exited_at: Some(ended.at.into()),
        };
        self.events.tell("/tasks/exit", "TaskExit", &event);
    }

    /// Answers for a program that started as it was made. Of its end may have been told when nobody knew it yet, so that it
    /// is told again.
    fn started_at_once(&self, task: &Task) -> Answer {
        let (container_id, pid) = (task.id.clone(), task.init.pid.get());
        self.events.tell("/tasks/start", "TaskStart", &TaskStart { container_id, pid });
        if let Some(ended) = task.init.end() {
            if task.oom.borrow().as_ref().is_some_and(|oom| oom.has_told()) {
                self.tell_of_oom(&task.id);
            }
            self.tell_of_end(task, &task.id, &task.init, ended);
        }
        answer(&Started { pid })
    }

    pub(super) fn tell_of_oom(&self, id: &str) {
        let event = TaskOom { container_id: id.to_owned() };
        self.events.tell("/tasks/oom", "TaskOOM", &event);
    }

    async fn start(self: &Rc<Self>, which: &Which) -> Answer {
        let task = self.task(&which.id)?;
        let found = task.process(&which.exec_id)?;
        let process = found.of(&task);
        let _turn = process.turn.lock().await;
        if which.exec_id.is_empty() && task.untold.take() {
            return self.started_at_once(&task);
        }
        if process.end().is_some() || process.phase.get() != Phase::Created {
            let why = format!("{} was started already", which.id);
            return Err(Refusal::new(Code::FailedPrecondition, why));
        }
        match &found {
            Found::Init => self.start_init(&task).await?,
            Found::Execution(execution) => {
                let started = self.start_exec(&task, &which.exec_id, execution).await;
                started.inspect_err(|_| execution.process.never_ran())?;
            }
        }
        process.phase.set(Phase::Running);
        let (container_id, pid) = (which.id.clone(), process.pid.get());
        if which.exec_id.is_empty() {
            self.events.tell("/tasks/start", "TaskStart", &TaskStart { container_id, pid });
        } else {
            let exec_id = which.exec_id.clone();
            let event = TaskExecStarted { container_id, exec_id, pid };
            self.events.tell("/tasks/exec-started", "TaskExecStarted", &event);
        }
        answer(&Started { pid })
    }

    async fn start_exec(
        self: &Rc<Self>,
        task: &Rc<Task>,
        id: &str,
        execution: &Rc<Execution>,
    ) -> Result<(), Refusal> {
        let failed = |why: String| Refusal::failed("OCI runtime exec failed", why);
        let [spec, pid_file] = exec_files(task, id);
        let output = execution.process.output().map_err(|failure| failed(failure.to_string()))?;
        fs::write(&spec, &execution.spec).map_err(|failure| failed(failure.to_string()))?;
        let mut step = task.oci.step("exec");
        step.command.args(["--detach", "--process"]).arg(spec);
        step.command.arg("--pid-file").arg(&pid_file).arg(&task.id);
        self.write(&execution.process, output.give(&mut step.command));
        let starting = task.oci.run(&self.exits, step).await.map_err(failed)?;
        let pid = bundle::read_pid(&pid_file);
        let pid = pid.ok_or_else(|| failed("it wrote no process id".to_owned()))?;
        execution.process.pid.set(pid);
        self.mind(task.clone(), Some((id.to_owned(), execution.clone())), starting.end_of(pid));
        Ok(())
    }

    async fn delete(&self, which: &Which) -> Answer {
        let task = self.made(&which.id).await?;
        let found = task.process(&which.exec_id)?;
        let process = found.of(&task);
        let refusal =
            || Err(Refusal::new(Code::FailedPrecondition, "cannot delete a running process"));
        // One that nobody told to start goes like one that does not run: containerd asks so when who made it is gone.
        let is_untold = matches!(found, Found::Init) && task.untold.get();
        if process.runs() && !is_untold {
            return refusal();
        }
        if process.end().is_none() && process.pid.get() != 0 {
            // It may have ended by itself: its end is what counts.
            let _ = self.signal(process, SIGKILL);
            if timeout(LAST_BREATH, process.wait()).await.is_err() {
                return Err(Refusal::failed("delete", "its process does not end"));
            }
        }
        let _turn = process.turn.lock().await;
        if process.runs() {
            // Its start was under way.
            return refusal();
        }
        if let Found::Execution(_) = &found {
            process.never_ran();
            for file in exec_files(&task, &which.exec_id) {
                let _ = fs::remove_file(file);
            }
            self.written(process).await;
            task.execs.borrow_mut().remove(&which.exec_id);
            return answer(&process.deleted());
        }
        // Another call may have been first.
        self.task(&which.id)?;
        self.remove(&task).await?;
        answer(&process.deleted())
    }

    pub(super) async fn written(&self, process: &Process) {
        let written = process.written.take();
        if let Some(written) = written {
            let _ = timeout(LAST_WORDS, written).await;
        }
    }

    fn pids(&self, which: &Which) -> Answer {
        let task = self.task(&which.id)?;
        let execs: Vec<u32> = task.execs.borrow().values().map(|it| it.process.pid.get()).collect();
        let roots = [task.init.pid.get()].into_iter().chain(execs);
        let all = roots.filter(|pid| self.exits.is_alive(*pid)).flat_map(bundle::family);
        let processes = all.map(|pid| ProcessInfo { pid, info: None }).collect();
        answer(&Pids { processes })
    }

    async fn pause(&self, which: &Which) -> Answer {
        let task = self.task(&which.id)?;
        self.step(&task, "pause").await?;
        task.init.phase.set(Phase::Paused);
        let event = TaskPaused { container_id: which.id.clone() };
        self.events.tell("/tasks/paused", "TaskPaused", &event);
        Ok(Vec::new())
    }

    async fn resume(&self, which: &Which) -> Answer {
        let task = self.task(&which.id)?;
        self.step(&task, "resume").await?;
        task.init.phase.set(Phase::Running);
        let event = TaskResumed { container_id: which.id.clone() };
        self.events.tell("/tasks/resumed", "TaskResumed", &event);
        Ok(Vec::new())
    }

    async fn step(&self, task: &Task, word: &str) -> Result<(), Refusal> {
        let mut step = task.oci.step(word);
        step.command.arg(&task.id);
        let done = task.oci.run(&self.exits, step).await;
        done.map(drop).map_err(|why| Refusal::failed(&format!("OCI runtime {word} failed"), why))
    }

    async fn kill(&self, kill: &Kill) -> Answer {
        let task = self.made(&kill.id).await?;
        let found = task.process(&kill.exec_id)?;
        let process = found.of(&task);
        // With the first process of its own numbering all others end.
        let all = kill.all && !(kill.signal == SIGKILL && task.bundle.numbers_its_own());
        let is_simple = signal_named(kill.signal).is_some() && process.phase.get() != Phase::Paused;
        if !kill.exec_id.is_empty() || is_simple && !all {
            return self.signal(process, kill.signal).map(|()| Vec::new());
        }
        let mut step = task.oci.step("kill");
        if all {
            step.command.arg("--all");
        }
        step.command.arg(&task.id).arg(kill.signal.to_string());
        match task.oci.run(&self.exits, step).await {
            Ok(_) => Ok(Vec::new()),
            Err(_) if process.end().is_some() => Err(finished()),
            Err(why) => Err(Refusal::failed("OCI runtime kill failed", why)),
        }
    }

    fn signal(&self, process: &Process, signal: u32) -> Result<(), Refusal> {
        let pid = process.pid.get();
        // Until it was reaped its number is nobody else's.
        if process.end().is_some() || !self.exits.is_alive(pid) {
            return Err(finished());
        }
        let signal = signal_named(signal);
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let (Some(signal), Some(pid)) = (signal, pid) else {
            return Err(Refusal::new(Code::InvalidArgument, "there is no such signal"));
        };
        kill_process(pid, signal).map_err(|failure| Refusal::failed("signal", failure))
    }

    fn exec(&self, new: Exec) -> Answer {
        let task = self.task(&new.id)?;
        if new.terminal {
            return Err(Refusal::new(Code::Unimplemented, "terminals are not supported"));
        }
        if new.exec_id.is_empty() || new.exec_id.contains('/') {
            return Err(Refusal::new(Code::InvalidArgument, "a process needs a plain name"));
        }
        let mut execs = task.execs.borrow_mut();
        if execs.contains_key(&new.exec_id) {
            return Err(Refusal::new(Code::AlreadyExists, format!("id {}", new.exec_id)));
        }
        let process = Process::new([new.stdin, new.stdout, new.stderr]);
        let spec = new.spec.unwrap_or_default().value;
        execs.insert(new.exec_id.clone(), Rc::new(Execution { spec, process }));
        let event = TaskExecAdded { container_id: new.id, exec_id: new.exec_id };
        self.events.tell("/tasks/exec-added", "TaskExecAdded", &event);
        Ok(Vec::new())
    }

    async fn wait(&self, which: &Which) -> Answer {
        let task = self.task(&which.id)?;
        let found = task.process(&which.exec_id)?;
        let ended = found.of(&task).wait().await;
        answer(&Exited { exit_status: ended.status, exited_at: Some(ended.at.into()) })
    }

    fn connect(&self, which: &Which) -> Answer {
        let task_pid = self.task(&which.id).map_or(0, |task| task.init.pid.get());
        answer(&Connected { shim_pid: std::process::id(), task_pid, version: String::new() })
    }
}

/// Not those for real time, which only what makes containers can send.
fn signal_named(number: u32) -> Option<Signal> {
    Signal::from_named_raw(i32::try_from(number).ok()?)
}

/// What to do, and the process that it becomes.
fn exec_files(task: &Task, id: &str) -> [PathBuf; 2] {
    let bundle: &Path = task.oci.bundle();
    [bundle.join(format!("{id}.process.json")), bundle.join(format!("{id}.pid"))]
}

pub(super) async fn blocking<T: Send + 'static>(
    does: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(does).await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
}

/// To containerd's log.
pub(super) fn tell(what: &str) {
    use std::io::Write as _;
    // Nobody may read it.
    let _ = writeln!(io::stderr(), "tidegate shim: {what}");
}

fn finished() -> Refusal {
    Refusal::new(Code::NotFound, "process already finished")
}

fn not_found(what: &str, id: &str) -> Refusal {
    Refusal::new(Code::NotFound, format!("{what} {id:?} does not exist: not found"))
}

fn read<M: Message + Default>(payload: &[u8]) -> Result<M, Refusal> {
    M::decode(payload).map_err(|failure| Refusal::new(Code::InvalidArgument, failure.to_string()))
}

#[expect(clippy::unnecessary_wraps, reason = "the last step of calls that can fail")]
pub(super) fn answer(message: &impl Message) -> Answer {
    Ok(message.encode_to_vec())
}
