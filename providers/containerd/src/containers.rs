//! Containers, their file systems and their tasks: single steps, each of which may be repeated.
//!
//! containerd does not keep its services from hurting each other. The order is always: task, then container,
//! then snapshot.

use std::collections::HashMap;
use std::time::Duration;

use containerd_client::services::v1::container::Runtime;
use containerd_client::services::v1::snapshots::{
    MountsRequest, PrepareSnapshotRequest, RemoveSnapshotRequest,
};
use containerd_client::services::v1::{
    Container, CreateContainerRequest, CreateTaskRequest, DeleteContainerRequest,
    DeleteProcessRequest, DeleteTaskRequest, ExecProcessRequest, GetRequest, KillRequest,
    ListContainersRequest, ListTasksRequest, StartRequest, UpdateContainerRequest, WaitRequest,
};
use containerd_client::types::Mount;
use containerd_client::types::v1::{Process, Status};
use prost::Message as _;
use prost_types::{Any, FieldMask};
use serde_json::Value;

use crate::connection::{Scope, call, within};
use crate::error::{Failure, or_absent};
use crate::shims::Member;

/// containerd's own shim, in its words.
pub(crate) const STOCK_SHIM: &str = "io.containerd.runc.v2";
const SPEC: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const OPTIONS: &str = "containerd.runc.v1.Options";
const PROCESS: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// Longest that the end of a killed task may take.
const LONGEST_END: Duration = Duration::from_secs(30);
/// How often a task that cannot be removed yet is tried again.
const REMOVE_TRIES: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(50);

/// A signal that cannot be refused.
pub(crate) const SIGKILL: u32 = 9;
/// A signal that asks to end.
pub(crate) const SIGTERM: u32 = 15;

/// What a shim for runc is told. Source: `containerd/runtime/v2/runc/options/oci.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Options {
    #[prost(string, tag = "6")]
    pub(crate) binary_name: String,
    /// Ours alone: that the program may start before it is told to, which is about to come. containerd hands it on, and other
    /// shims do not read it. What is changed here changes [`crate::SHIM_VERSION`].
    #[prost(bool, tag = "7001")]
    pub(crate) at_once: bool,
}

impl Options {
    fn wrapped(&self) -> Any {
        Any { type_url: OPTIONS.to_owned(), value: self.encode_to_vec() }
    }
}

/// A container to be recorded.
#[derive(Debug)]
pub(crate) struct NewContainer {
    pub(crate) id: String,
    pub(crate) image: String,
    /// What looks after it, as containerd calls it: [`STOCK_SHIM`], or a program's path.
    pub(crate) shim: String,
    /// The program that makes it, when not the shim's own choice.
    pub(crate) runtime: Option<String>,
    pub(crate) snapshotter: String,
    /// Empty for a container that only keeps a record.
    pub(crate) snapshot: String,
    pub(crate) spec: Value,
    pub(crate) labels: HashMap<String, String>,
    pub(crate) extensions: HashMap<String, Any>,
}

/// Records a container; nothing of it runs yet.
pub(crate) async fn record(scope: &Scope, new: NewContainer) -> Result<(), Failure> {
    let spec = serde_json::to_vec(&new.spec).expect("JSON is JSON");
    let options = new.runtime.map(|binary_name| Options { binary_name, at_once: false }.wrapped());
    let container = Container {
        id: new.id,
        labels: new.labels,
        image: new.image,
        runtime: Some(Runtime { name: new.shim, options }),
        spec: Some(Any { type_url: SPEC.to_owned(), value: spec }),
        snapshotter: new.snapshotter,
        snapshot_key: new.snapshot,
        extensions: new.extensions,
        ..Container::default()
    };
    let request = CreateContainerRequest { container: Some(container) };
    call("record a container", scope.containers().create(request)).await.map(drop)
}

/// Changes labels and extensions of a recorded container, and leaves the others alone.
pub(crate) async fn change(
    scope: &Scope,
    id: &str,
    labels: HashMap<String, String>,
    extensions: HashMap<String, Any>,
) -> Result<(), Failure> {
    let labelled = labels.keys().map(|name| format!("labels.{name}"));
    let extended = extensions.keys().map(|name| format!("extensions.{name}"));
    let paths = labelled.chain(extended).collect();
    let container = Container { id: id.to_owned(), labels, extensions, ..Container::default() };
    let update_mask = Some(FieldMask { paths });
    let request = UpdateContainerRequest { container: Some(container), update_mask };
    call("change a container's record", scope.containers().update(request)).await.map(drop)
}

/// All containers with a label.
pub(crate) async fn list(scope: &Scope, label: &str) -> Result<Vec<Container>, Failure> {
    let filters = vec![format!("labels.\"{label}\"")];
    let request = ListContainersRequest { filters };
    Ok(call("list containers", scope.containers().list(request)).await?.containers)
}

/// All containers of a namespace, whoever's.
pub(crate) async fn all(scope: &Scope) -> Result<Vec<Container>, Failure> {
    let request = ListContainersRequest { filters: Vec::new() };
    Ok(call("list containers", scope.containers().list(request)).await?.containers)
}

/// All tasks of a namespace.
pub(crate) async fn tasks(scope: &Scope) -> Result<Vec<Process>, Failure> {
    let request = ListTasksRequest { filter: String::new() };
    Ok(call("list tasks", scope.tasks().list(request)).await?.tasks)
}

/// A container's task, if it has one.
pub(crate) async fn task(scope: &Scope, id: &str) -> Result<Option<Process>, Failure> {
    let request = GetRequest { container_id: id.to_owned(), exec_id: String::new() };
    match call("look at a task", scope.tasks().get(request)).await {
        Ok(found) => Ok(found.process),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// A fresh file system on top of an image's. `scope` is under a lease, which must last until the container
/// is recorded: nothing else keeps the snapshot until then.
pub(crate) async fn prepare(
    scope: &Scope,
    snapshotter: &str,
    key: &str,
    parent: &str,
) -> Result<Vec<Mount>, Failure> {
    let request = PrepareSnapshotRequest {
        snapshotter: snapshotter.to_owned(),
        key: key.to_owned(),
        parent: parent.to_owned(),
        labels: HashMap::new(),
    };
    match call("prepare a file system", scope.snapshots().prepare(request)).await {
        Err(failure) if failure.is_there_already() => {}
        done => return done.map(|it| it.mounts),
    }
    let request = MountsRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
    Ok(call("prepare a file system", scope.snapshots().mounts(request)).await?.mounts)
}

/// Removes a file system; that it is gone already is fine.
pub(crate) async fn remove_snapshot(
    scope: &Scope,
    snapshotter: &str,
    key: &str,
) -> Result<(), Failure> {
    let request =
        RemoveSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
    or_absent(call("remove a file system", scope.snapshots().remove(request)).await)
}

/// Makes a container's task, up to the point where its program would start unless `options` say that it may start. They
/// stand in place of those that are recorded with it. Returns its process id.
pub(crate) async fn create_task(
    scope: &Scope,
    id: &str,
    rootfs: Vec<Mount>,
    output: &str,
    options: Option<&Options>,
) -> Result<u32, Failure> {
    let request = CreateTaskRequest {
        container_id: id.to_owned(),
        rootfs,
        stdout: output.to_owned(),
        // Never empty while the other is not: old shims crash.
        stderr: output.to_owned(),
        options: options.map(Options::wrapped),
        ..CreateTaskRequest::default()
    };
    Ok(call("create a container", scope.tasks().create(request)).await?.pid)
}

/// Starts a task's program.
pub(crate) async fn start(scope: &Scope, id: &str) -> Result<(), Failure> {
    let request = StartRequest { container_id: id.to_owned(), exec_id: String::new() };
    call("start a container", scope.tasks().start(request)).await.map(drop)
}

/// Sends a signal to a task's first process, or to all; that they are gone already is fine.
pub(crate) async fn kill(scope: &Scope, id: &str, signal: u32, all: bool) -> Result<(), Failure> {
    let request = KillRequest { container_id: id.to_owned(), exec_id: String::new(), signal, all };
    or_absent(call("signal a container", scope.tasks().kill(request)).await)
}

/// Kills a container's task and removes it, whatever it does; that there is none is fine.
///
/// `shim` is the task's place, if it has one. `has_ended` spares containerd the question for one whose end was told.
pub(crate) async fn end_task(
    scope: &Scope,
    id: &str,
    shim: Option<&Member>,
    has_ended: bool,
) -> Result<(), Failure> {
    if has_ended && remove_task(scope, id, shim).await.is_ok() {
        return Ok(());
    }
    let mut tries = 0;
    loop {
        let Some(process) = task(scope, id).await? else {
            // With its shim, perhaps.
            if let Some(shim) = shim {
                shim.gone();
            }
            return Ok(());
        };
        if process.status() != Status::Stopped {
            // What it says is of no matter: the state decides.
            let killed = kill(scope, id, SIGKILL, true).await;
            if let Err(failure) = killed.and(wait(scope, id).await)
                && failure.is_away()
            {
                return Err(failure);
            }
        }
        match remove_task(scope, id, shim).await {
            Ok(()) => return Ok(()),
            Err(failure) if failure.is_away() || tries >= REMOVE_TRIES => return Err(failure),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(REMOVE_PAUSE).await;
    }
}

/// Removes a task that has ended; that there is none is fine.
async fn remove_task(scope: &Scope, id: &str, shim: Option<&Member>) -> Result<(), Failure> {
    let request = DeleteTaskRequest { container_id: id.to_owned() };
    let _held = match shim {
        Some(shim) => Some(shim.removing().await),
        None => None,
    };
    or_absent(call("remove a task", scope.tasks().delete(request)).await)
}

/// Runs a command inside a running container, and waits for its end for at most `limit`; returns its status.
/// `process` is an OCI process; what it writes is lost.
pub(crate) async fn exec(
    scope: &Scope,
    id: &str,
    exec: &str,
    process: &Value,
    limit: Duration,
) -> Result<u32, Failure> {
    let spec = Any {
        type_url: PROCESS.to_owned(),
        value: serde_json::to_vec(process).expect("JSON is JSON"),
    };
    let request = ExecProcessRequest {
        container_id: id.to_owned(),
        exec_id: exec.to_owned(),
        spec: Some(spec),
        ..ExecProcessRequest::default()
    };
    call("prepare a command in a container", scope.tasks().exec(request)).await?;
    let running = async {
        let (container_id, exec_id) = (id.to_owned(), exec.to_owned());
        let request = StartRequest { container_id, exec_id };
        call("run a command in a container", scope.tasks().start(request)).await?;
        let request = WaitRequest { container_id: id.to_owned(), exec_id: exec.to_owned() };
        let mut tasks = scope.tasks();
        let ended = within(limit, "wait for a command in a container", tasks.wait(request));
        Ok(ended.await?.exit_status)
    };
    let status = running.await;
    if status.is_err() {
        let (container_id, exec_id) = (id.to_owned(), exec.to_owned());
        let request = KillRequest { container_id, exec_id, signal: SIGKILL, all: false };
        let _ = call("end a command in a container", scope.tasks().kill(request)).await;
    }
    let request = DeleteProcessRequest { container_id: id.to_owned(), exec_id: exec.to_owned() };
    // With the container it goes in any case.
    let _ = call("forget a command in a container", scope.tasks().delete_process(request)).await;
    status
}

/// Waits until a task has ended.
async fn wait(scope: &Scope, id: &str) -> Result<(), Failure> {
    let request = WaitRequest { container_id: id.to_owned(), exec_id: String::new() };
    or_absent(within(LONGEST_END, "wait for a container's end", scope.tasks().wait(request)).await)
}

/// Forgets a container; that it is forgotten already is fine.
pub(crate) async fn forget(scope: &Scope, id: &str) -> Result<(), Failure> {
    let request = DeleteContainerRequest { id: id.to_owned() };
    or_absent(call("forget a container", scope.containers().delete(request)).await)
}

/// Removes a container with its task and file system, whatever there is of it.
pub(crate) async fn remove(
    scope: &Scope,
    snapshotter: &str,
    id: &str,
    shim: Option<&Member>,
) -> Result<(), Failure> {
    end_task(scope, id, shim, false).await?;
    forget(scope, id).await?;
    remove_snapshot(scope, snapshotter, id).await
}
