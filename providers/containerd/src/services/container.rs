//! The container of a service: found, made, started, stopped and removed. Each step may be repeated.

use std::collections::HashMap;

use containerd_client::services::v1::Container;
use containerd_client::types::Mount;
use containerd_client::types::v1::{Process, Status};
use prost_types::Any;
use serde_json::Value;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::base::{self, Base};
use super::plan::Known;
use super::spec::{self, Surroundings};
use super::{Definition, volumes};
use crate::collector;
use crate::connection::Scope;
use crate::containers::{self, NewContainer, SIGKILL, SIGTERM};
use crate::error::Failure;
use crate::events::Ending;
use crate::ground::labels;
use crate::image::Image;
use crate::lease::Lease;
use crate::network::Network;
use crate::replica::{STATE, insist};
use crate::signals;
use crate::users::{Files, User};

/// Marks containers of services, and is the name of their definition in them.
pub(super) const SERVICE: &str = "tidegate/service";
pub(super) const RECORD: &str = "tidegate/v1/service";

/// A container that is there.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) name: String,
    /// None when it cannot be read.
    pub(super) definition: Option<Definition>,
    /// The process of its program, while that runs.
    pub(super) pid: Option<u32>,
    pub(super) network: Option<Network>,
}

/// A program that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) ending: Ending,
    pub(super) network: Network,
}

impl Found {
    pub(super) fn known(&self) -> Known<'_> {
        // What runs without a network is reached by nobody.
        let reached = self.pid.is_none() || self.network.is_some();
        Known { name: &self.name, definition: self.definition.as_ref().filter(|_| reached) }
    }
}

/// The definition in a container.
pub(super) fn definition(container: &Container) -> Option<Definition> {
    serde_json::from_slice(&container.extensions.get(RECORD)?.value).ok()
}

/// Tasks by the id of their container, which they tell in one of two places.
pub(super) async fn tasks(scope: &Scope) -> Result<HashMap<String, Process>, Failure> {
    let tasks = containers::tasks(scope).await?.into_iter();
    let id = |task: &Process| match task.container_id.as_str() {
        "" => task.id.clone(),
        id => id.to_owned(),
    };
    Ok(tasks.map(|task| (id(&task), task)).collect())
}

/// All containers of our services. What somebody else made in the same namespace is left alone.
pub(super) async fn found(base: &Base) -> Result<Vec<Found>, Failure> {
    let tasks = tasks(&base.scope).await?;
    let mut all = Vec::new();
    for container in containers::list(&base.scope, SERVICE).await? {
        if container.labels.get(STATE).map(String::as_str) != Some(base.state()) {
            continue;
        }
        let runs = |task: &&Process| matches!(task.status(), Status::Running | Status::Paused);
        all.push(Found {
            name: container.labels.get(SERVICE).cloned().unwrap_or_default(),
            definition: definition(&container),
            pid: tasks.get(&container.id).filter(runs).map(|task| task.pid),
            network: base.networks.find(&container.id).await,
            id: container.id,
        });
    }
    Ok(all)
}

/// Takes over a program that runs.
pub(super) fn running(base: &Base, found: &Found) -> Option<Running> {
    let (pid, network) = (found.pid?, found.network.clone()?);
    let ending = base.board.listen(base.scope.namespace(), &found.id, pid);
    Some(Running { ending, network })
}

/// Writes down a definition that differs only in how its service is looked after.
pub(super) async fn redefine(base: &Base, definition: &Definition) {
    let id = base.id(&definition.service.name);
    if let Err(failure) = containers::change(&base.scope, &id, [].into(), record(definition)).await
    {
        warn!(service = definition.service.name, "{failure}");
    }
}

fn record(definition: &Definition) -> HashMap<String, Any> {
    let value = serde_json::to_vec(definition).expect("texts and numbers are JSON");
    [(RECORD.to_owned(), Any { type_url: RECORD.to_owned(), value })].into()
}

/// Starts a service's program. Its container is made when it is not `recorded`, and has the files it had before
/// when it is. What is half done when this fails is made whole, or removed, by whoever comes next.
pub(super) async fn start(
    base: &Base,
    definition: &Definition,
    recorded: &mut bool,
) -> Result<Running, Failure> {
    let id = base.id(&definition.service.name);
    let image = base.images.get(base.scope.namespace(), &definition.image).await?;
    // What is left of a start that was broken off.
    containers::end_task(&base.scope, &id, None, false).await?;
    let network = base.networks.named(&id, true).await?;
    let lease = Lease::take(&base.scope).await?;
    let mounts = make(base, lease.scope(), definition, &image, recorded).await;
    drop(lease);
    let log = base.log(&definition.service.name);
    let output = collector::address(&base.collector, &log, base.config.settings.log_bytes);
    let pid = containers::create_task(&base.scope, &id, mounts?, &output, None).await?;
    let ending = base.board.listen(base.scope.namespace(), &id, pid);
    // Before its program looks for names, its own among them.
    base.names.tell(&definition.service.name, Some(network.address)).await?;
    containers::start(&base.scope, &id).await?;
    Ok(Running { ending, network })
}

/// Makes file system and record, under a lease.
async fn make(
    base: &Base,
    scope: &Scope,
    definition: &Definition,
    image: &Image,
    recorded: &mut bool,
) -> Result<Vec<Mount>, Failure> {
    let service = &definition.service;
    let id = base.id(&service.name);
    let snapshotter = &base.config.snapshotter;
    if !*recorded {
        // Not that of a container which was broken off.
        containers::remove(scope, snapshotter, &id, None).await?;
    }
    let mounts = containers::prepare(scope, snapshotter, &id, &image.snapshot).await;
    let mounts = mounts.inspect_err(|failure| {
        if failure.is_not_found() {
            base.images.doubt(base.scope.namespace(), &image.name);
        }
    })?;
    let user = prepare(base, definition, image, mounts.clone()).await?;
    if *recorded {
        return Ok(mounts);
    }
    let spec = spec::spec(
        service,
        &Surroundings {
            image: &image.config,
            user: &user,
            cgroup: &format!("/{}/{id}", base.scope.namespace()),
            netns: base.networks.path(&id),
            hosts: base.config.run_dir.join("names").join("hosts"),
            resolv: base::resolv(&base.config),
            volumes: &base.volumes(),
            pids: base.config.pids,
            tmp_bytes: base.config.tmp_bytes,
            own_open_files: base.open_files,
            id: &id,
        },
    )?;
    let new = NewContainer {
        image: image.name.clone(),
        shim: base.config.shim_for(&base.collector),
        runtime: base.config.oci_runtime.clone(),
        snapshotter: snapshotter.clone(),
        snapshot: id.clone(),
        spec,
        labels: labels([(SERVICE, service.name.clone()), (STATE, base.state().to_owned())]),
        extensions: record(definition),
        id,
    };
    containers::record(scope, new).await?;
    *recorded = true;
    Ok(mounts)
}

/// Finds out who the service runs as, and makes folders for them.
async fn prepare(
    base: &Base,
    definition: &Definition,
    image: &Image,
    mounts: Vec<Mount>,
) -> Result<User, Failure> {
    let service = definition.service.clone();
    let of_image = image.config.user.clone().unwrap_or_default();
    let home = base.volumes();
    let work = move || {
        let user = Files::read(&mounts).find(service.user.as_deref().unwrap_or(&of_image))?;
        volumes::make(&service.volumes, &home, &user)?;
        Ok(user)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|stopped| Failure::io("make folders")(std::io::Error::other(stopped)))?
}

/// The specification of a container as it is recorded.
pub(super) async fn recorded_spec(base: &Base, id: &str) -> Result<Value, Failure> {
    let all = containers::list(&base.scope, SERVICE).await?;
    let spec = all.into_iter().find(|it| it.id == id).and_then(|it| it.spec);
    let read = spec.and_then(|spec| serde_json::from_slice(&spec.value).ok());
    read.ok_or_else(|| Failure::Told(format!("container {id} has no specification")))
}

/// Asks a program to end, kills it after its grace, and removes its task.
pub(super) async fn stop(base: &Base, definition: &Definition, ending: &mut Ending) {
    let service = &definition.service;
    let id = base.id(&service.name);
    let written = match &service.stop_signal {
        Some(written) => Some(written.clone()),
        None => {
            let image = base.images.get(base.scope.namespace(), &definition.image).await;
            image.ok().and_then(|image| image.config.stop_signal.clone())
        }
    };
    let number = written.as_deref().and_then(signals::named).unwrap_or(SIGTERM);
    if let Err(failure) = containers::kill(&base.scope, &id, number, false).await {
        debug!(service = service.name, "{failure}");
    }
    if timeout(service.stop_grace, ending.exit()).await.is_err() {
        let grace = tidegate_core::format_duration(service.stop_grace);
        warn!(service = service.name, "did not end within {grace}, killing it");
        let _ = containers::kill(&base.scope, &id, SIGKILL, true).await;
    }
    end_task(base, &id).await;
}

/// The same for one that nobody looks after.
pub(super) async fn stop_found(base: &Base, found: &Found) {
    if let (Some(definition), Some(mut running)) = (&found.definition, running(base, found)) {
        stop(base, definition, &mut running.ending).await;
    }
}

/// Removes the task of a program that has ended, or kills it.
pub(super) async fn end_task(base: &Base, id: &str) {
    insist(&base.board, id, || containers::end_task(&base.scope, id, None, false)).await;
}

/// Removes a container with all it has, but for its network.
pub(super) async fn remove(base: &Base, id: &str) {
    let removing = || containers::remove(&base.scope, &base.config.snapshotter, id, None);
    insist(&base.board, id, removing).await;
}
