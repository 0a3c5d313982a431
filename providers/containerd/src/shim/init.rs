//! How a shim makes, starts and removes containers.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use containerd_client::events::{TaskCreate, TaskDelete, TaskIo};
use containerd_client::tonic::Code;
use prost::Message;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::sleep;

use super::bundle;
use super::frame::Refusal;
use super::messages::{Create, Deleted, Started};
use super::oci::Oci;
use super::oom::Oom;
use super::process::{Phase, Process};
use super::rootfs;
use super::tasks::{Answer, Task, Tasks, answer, blocking, tell};
use crate::containers::Options;

/// How often what is left of a container is tried to be removed here.
const CLEAR_TRIES: u32 = 50;
const CLEAR_PAUSE: Duration = Duration::from_millis(2);

impl Tasks {
    pub(super) async fn create(self: &Rc<Self>, new: Create) -> Answer {
        if new.terminal || !new.checkpoint.is_empty() {
            let why = "neither terminals nor checkpoints are supported";
            return Err(Refusal::new(Code::Unimplemented, why));
        }
        let is_there = self.tasks.borrow().contains_key(&new.id);
        let making = (!is_there).then(|| Making::new(self, &new.id)).flatten();
        let Some(_making) = making else {
            return Err(Refusal::new(Code::AlreadyExists, format!("task {}: exists", new.id)));
        };
        let options = new.options.as_ref().map(|any| Options::decode(any.value.as_slice()));
        let options = options.and_then(Result::ok).unwrap_or_default();
        let folder = PathBuf::from(&new.bundle);
        let oci = Oci::new(&options.binary_name, &self.namespace, folder.clone());
        let oci = oci.with(&self.copies);
        oci.note().map_err(|failure| Refusal::failed("write to the bundle", failure))?;
        let config = bundle::Config::read(&folder)
            .map_err(|failure| Refusal::failed("read the container's config.json", failure))?;
        let (mounts, rootfs) = (new.rootfs.clone(), folder.join("rootfs"));
        let target = rootfs.clone();
        blocking(move || rootfs::mount_all(&mounts, &target))
            .await
            .map_err(|failure| Refusal::failed("failed to mount rootfs component", failure))?;
        let task = Rc::new(Task {
            id: new.id.clone(),
            oci,
            bundle: config,
            has_rootfs: !new.rootfs.is_empty(),
            untold: options.at_once.into(),
            init: Process::new([new.stdin.clone(), new.stdout.clone(), new.stderr.clone()]),
            oom: RefCell::default(),
            execs: RefCell::default(),
        });
        if let Err(refusal) = self.make(&task).await {
            if let Err(failure) = blocking(move || rootfs::unmount_all(&rootfs)).await {
                tell(&format!("{}: its file system stays mounted: {failure}", new.id));
            }
            return Err(refusal);
        }
        let pid = task.init.pid.get();
        self.tasks.borrow_mut().insert(new.id.clone(), task);
        let Create { id: container_id, bundle, rootfs, stdin, stdout, stderr, .. } = new;
        let io = Some(TaskIo { stdin, stdout, stderr, terminal: false });
        let checkpoint = String::new();
        let event = TaskCreate { container_id, bundle, rootfs, io, checkpoint, pid };
        self.events.tell("/tasks/create", "TaskCreate", &event);
        answer(&Started { pid })
    }

    /// Makes the container, up to the point where its program would start; beyond it when it is to start at once.
    async fn make(self: &Rc<Self>, task: &Rc<Task>) -> Result<(), Refusal> {
        let failed = |why: String| Refusal::failed("OCI runtime create failed", why);
        let output = task.init.output().map_err(|failure| failed(failure.to_string()))?;
        let folder = task.oci.bundle();
        let (folder, pid_file) = (folder.display().to_string(), folder.join(bundle::INIT_PID));
        let at_once = task.untold.get();
        let mut step = task.oci.step(if at_once { "run" } else { "create" });
        if at_once {
            step.command.arg("--detach");
        }
        step.command.args(["--bundle", &folder, "--pid-file"]).arg(&pid_file).arg(&task.id);
        self.write(&task.init, output.give(&mut step.command));
        let starting = task.oci.run(&self.exits, step).await.map_err(failed)?;
        let pid = bundle::read_pid(&pid_file);
        let Some(pid) = pid else {
            let _ = task.oci.run(&self.exits, task.oci.removal(&task.id)).await;
            return Err(failed("it wrote no process id".to_owned()));
        };
        task.init.pid.set(pid);
        if at_once {
            task.init.phase.set(Phase::Running);
            self.watch_memory(task);
        }
        self.mind(task.clone(), None, starting.end_of(pid));
        Ok(())
    }

    /// Starts the program of a container that was made.
    pub(super) async fn start_init(self: &Rc<Self>, task: &Rc<Task>) -> Result<(), Refusal> {
        self.watch_memory(task);
        let mut step = task.oci.step("start");
        step.command.arg(&task.id);
        let started = task.oci.run(&self.exits, step).await;
        started.map(drop).map_err(|why| Refusal::failed("OCI runtime start failed", why))
    }

    /// Tells from now on when the container lacks memory.
    fn watch_memory(self: &Rc<Self>, task: &Rc<Task>) {
        let oom = self.hierarchy.as_ref().map(|it| Oom::new(it, task.bundle.cgroup()));
        if let Some(Ok(oom)) = oom {
            let oom = Rc::new(oom);
            *task.oom.borrow_mut() = Some(oom.clone());
            let (tasks, of) = (self.clone(), task.clone());
            let watching = async move {
                while oom.changed().await.is_ok() {
                    if oom.soon().await {
                        tasks.tell_of_oom(&of.id);
                    }
                }
            };
            let task = task.clone();
            self.begin(async move {
                // The second version does not tell that the group is gone.
                tokio::select! {
                    () = watching => {}
                    _ = task.init.wait() => {}
                }
            });
        }
    }

    /// Removes what is left of a container whose first process has ended.
    pub(super) async fn remove(&self, task: &Rc<Task>) -> Result<(), Refusal> {
        let process = &task.init;
        let (cleared, unmounted, ()) =
            tokio::join!(self.clear(task), self.unmount(task), self.written(process));
        if let Err(why) = cleared
            && !why.contains("does not exist")
        {
            return Err(Refusal::failed("OCI runtime delete failed", why));
        }
        unmounted.map_err(|failure| Refusal::failed("failed to unmount rootfs", failure))?;
        task.oci.forget();
        self.tasks.borrow_mut().remove(&task.id);
        let Deleted { pid, exit_status, exited_at } = process.deleted();
        let container_id = task.id.clone();
        let id = String::new();
        let event = TaskDelete { container_id, pid, exit_status, exited_at, id };
        self.events.tell("/tasks/delete", "TaskDelete", &event);
        Ok(())
    }

    /// Removes all but its file system: here when that is simple, which saves an execution of the program that made it.
    async fn clear(&self, task: &Task) -> Result<(), String> {
        let mut tries = if task.bundle.leaves_groups_alone() { CLEAR_TRIES } else { 0 };
        while tries > 0 {
            let (oci, id, roots) = (task.oci.clone(), task.id.clone(), self.roots.clone());
            let group = task.bundle.cgroup().to_owned();
            match blocking(move || oci.clear(&id, &group, &roots)).await {
                Ok(true) => return Ok(()),
                Ok(false) => sleep(CLEAR_PAUSE).await,
                Err(_) => break,
            }
            tries -= 1;
        }
        task.oci.run(&self.exits, task.oci.removal(&task.id)).await.map(drop)
    }

    async fn unmount(&self, task: &Task) -> io::Result<()> {
        let rootfs = task.rootfs();
        if !task.has_rootfs {
            return Ok(());
        }
        blocking(move || rootfs::unmount_all(&rootfs)).await
    }
}

/// One that is being made, until this is dropped.
struct Making<'a> {
    tasks: &'a Tasks,
    id: String,
    _locked: OwnedMutexGuard<()>,
}

impl<'a> Making<'a> {
    /// None when it is being made already.
    fn new(tasks: &'a Tasks, id: &str) -> Option<Self> {
        let mut making = tasks.making.borrow_mut();
        if making.contains_key(id) {
            return None;
        }
        let lock = Arc::<Mutex<()>>::default();
        making.insert(id.to_owned(), lock.clone());
        let _locked = lock.try_lock_owned().ok()?;
        Some(Self { tasks, id: id.to_owned(), _locked })
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.tasks.making.borrow_mut().remove(&self.id);
    }
}
