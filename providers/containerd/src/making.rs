//! How a replica's container is made, up to a task whose program was not told to start. When it is wanted already, our shim
//! starts it all the same as it makes it.

use std::time::Duration;

use containerd_client::types::Mount;
use tidegate_provider_machine::Limits;
use tracing::debug;

use crate::collector;
use crate::containers::{self, NewContainer, Options};
use crate::error::Failure;
use crate::ground::labels;
use crate::image::Image;
use crate::network::Taken;
use crate::replica::{
    Created, FUNCTION, GENERATION, NETWORK, PORT, READY, REPLICA, RESTARTS, Replica, SHIM, STATE,
    Seat, Stage,
};
use crate::shims::Member;
use crate::spec::{self, Container};
use crate::users::{Files, User};

/// A start that meets a shim which is just ending is tried this often.
const SHIM_TRIES: u32 = 20;
const SHIM_PAUSE: Duration = Duration::from_millis(50);

/// What of a container is there before it is made.
#[derive(Debug)]
struct Plan<'a> {
    image: &'a Image,
    /// The name of its network.
    network: &'a str,
    shim: &'a Member,
    /// How often it was started before.
    lives: u32,
    /// Whether its program may start as soon as it is made.
    at_once: bool,
}

impl Stage<'_> {
    /// Up to a task whose program was not told to start; none when told to end before.
    pub(crate) async fn create(&self, seat: &mut Seat) -> Result<Option<Created>, Failure> {
        tokio::select! {
            biased;
            () = self.life.told_to_end() => return Ok(None),
            () = self.ground.board.back() => {}
        }
        let revision = self.life.revision();
        let image = self.ground.images.get(self.scope.namespace(), &revision.spec.image).await?;
        if seat.network.is_none()
            && let Some(scope) = seat.scope.take()
        {
            // Its record names a network that never came to be.
            let snapshotter = &self.ground.config.snapshotter;
            containers::remove(&scope, snapshotter, &self.container, seat.shim.as_ref()).await?;
        }
        // A network is attached while the container is made.
        let (id, taken) = match &seat.network {
            Some(network) => (network.id.clone(), None),
            None => {
                let taken = self.ground.networks.take().await?;
                (taken.id().to_owned(), Some(taken))
            }
        };
        let attached = seat.network.as_ref().or_else(|| taken.as_ref().and_then(Taken::network));
        let attached = attached.filter(|_| self.may_start_at_once());
        if let Some(network) = attached {
            // Its program may ask for names before it is known to be made.
            self.ground.names.settle(network.address, self.life.function().namespace());
        }
        let at_once = attached.is_some();
        let seated = &mut seat.network;
        let attach = async move {
            if let Some(taken) = taken {
                // In the seat at once: from there it is removed, whatever becomes of the rest.
                *seated = Some(taken.attached().await?);
            }
            Ok(())
        };
        let mut recorded = seat.scope.is_some();
        if !recorded {
            seat.shim = None;
        }
        let shim = seat.shim.get_or_insert_with(|| {
            let own = self.ground.record(self.life.function());
            self.ground.shims.join(self.scope.namespace(), own)
        });
        let plan = Plan { image: &image, network: &id, shim, lives: seat.lives, at_once };
        let making = self.make(&mut recorded, &plan);
        let (attached, made): (Result<(), Failure>, _) = tokio::join!(attach, making);
        seat.scope = recorded.then(|| self.scope.clone());
        seat.lives += 1;
        attached?;
        if let Some(network) = &seat.network {
            self.ground.names.settle(network.address, self.life.function().namespace());
        }
        if made.as_ref().is_err_and(Failure::is_of_a_start_cut_off) {
            self.rename(seat).await;
        }
        let pid = made?;
        let network = seat.network.as_ref().expect("a network was there or is now");
        let place = self.ground.networks.place(network, revision.spec.port);
        let ending = self.ground.board.listen(self.scope.namespace(), &self.container, pid);
        let live = Replica::new(self.ground, &self.scope, &self.container);
        Ok(Some(Created { live, ending, place, begun: at_once }))
    }

    /// Whether it is wanted already, and our shim makes it: no other one knows how.
    fn may_start_at_once(&self) -> bool {
        self.ground.config.shim.is_none() && self.life.is_wanted()
    }

    /// Gives the container another name for its next life. What is in the way of this one goes with the next looks
    /// for strays, or when containerd starts anew.
    async fn rename(&self, seat: &mut Seat) {
        let snapshotter = &self.ground.config.snapshotter;
        let removed =
            containers::remove(&self.scope, snapshotter, &self.container, seat.shim.as_ref()).await;
        if let Err(failure) = removed {
            debug!(container = %self.container, "left behind: {failure}");
            // What runs in it would be in the way of the next life, which has the same network.
            Replica::new(self.ground, &self.scope, &self.container).kill();
        }
        let name = self.ground.container(self.life.replica());
        seat.container = Some(format!("{name}-{}", seat.lives));
        seat.scope = None;
    }

    /// Makes container and task; returns the task's process.
    async fn make(&self, recorded: &mut bool, plan: &Plan<'_>) -> Result<u32, Failure> {
        let mounts = self.record(recorded, plan).await?;
        let output = collector::address(
            &self.ground.collector,
            self.life.log_path(),
            self.life.settings().log_bytes,
        );
        let binary_name = self.ground.config.oci_runtime.clone().unwrap_or_default();
        let is_ours = self.ground.config.shim.is_none();
        let options = is_ours.then_some(Options { binary_name, at_once: plan.at_once });
        let (scope, id) = (&self.scope, &self.container);
        let mut tries = 0;
        loop {
            let held = plan.shim.making().await;
            let created =
                containers::create_task(scope, id, mounts.clone(), &output, options.as_ref()).await;
            if created.is_ok() {
                plan.shim.made();
            }
            drop(held);
            match created {
                Err(failure) if failure.is_of_a_start_cut_off() => return Err(failure),
                // The shim that it shares with others was just ending with the last of them.
                Err(failure) if tries < SHIM_TRIES && failure.is_of_a_shim() => {
                    debug!(container = %self.container, "another try: {failure}");
                    tries += 1;
                    tokio::time::sleep(SHIM_PAUSE).await;
                }
                done => return done,
            }
        }
    }

    /// Makes the container's file system, and records it unless it is recorded.
    async fn record(&self, recorded: &mut bool, plan: &Plan<'_>) -> Result<Vec<Mount>, Failure> {
        let image = plan.image;
        let scope = self.ground.leases.under(&self.scope).await?;
        let snapshotter = &self.ground.config.snapshotter;
        if *recorded {
            // Each life starts from the image as it is.
            containers::remove_snapshot(&scope, snapshotter, &self.container).await?;
            let fresh = labels([(READY, String::new()), (RESTARTS, plan.lives.to_string())]);
            containers::change(&scope, &self.container, fresh, [].into()).await?;
        }
        let preparing = async {
            let parent = &image.snapshot;
            let prepared = containers::prepare(&scope, snapshotter, &self.container, parent).await;
            prepared.inspect_err(|failure| {
                if failure.is_not_found() {
                    self.ground.images.doubt(self.scope.namespace(), &image.name);
                    self.ground.leases.doubt(self.scope.namespace());
                }
            })
        };
        if *recorded {
            return preparing.await;
        }
        let Some(user) = image.user.get() else {
            let mounts = preparing.await?;
            let user = self.user(image, &mounts).await?;
            let user = image.user.get_or_init(|| user);
            containers::record(&scope, self.new_container(plan, user)?).await?;
            *recorded = true;
            return Ok(mounts);
        };
        let new = self.new_container(plan, user)?;
        // Neither needs the other: the record only names the file system.
        let (mounts, done) = tokio::join!(preparing, containers::record(&scope, new));
        *recorded = done.is_ok();
        done.and(mounts)
    }

    async fn user(&self, image: &Image, mounts: &[Mount]) -> Result<User, Failure> {
        let mounts = mounts.to_vec();
        let reading = tokio::task::spawn_blocking(move || Files::read(&mounts));
        let files = reading.await.map_err(|stopped| {
            Failure::io("read the image's users")(std::io::Error::other(stopped))
        })?;
        files.find(image.config.user.as_deref().unwrap_or_default())
    }

    fn new_container(&self, plan: &Plan<'_>, user: &User) -> Result<NewContainer, Failure> {
        let (ground, revision) = (self.ground, self.life.revision());
        let Plan { image, network, .. } = *plan;
        let function = self.life.function();
        let generation = revision.generation.to_string();
        let amounts = |written| Limits::read(written).unwrap_or_default();
        let group = plan.shim.group().to_owned();
        let has_secrets = !revision.deployment.secrets.is_empty();
        let spec = spec::spec(&Container {
            deployment: &revision.deployment,
            image: &image.config,
            user,
            limits: amounts(revision.deployment.limits.as_ref()),
            requests: amounts(revision.deployment.requests.as_ref()),
            cgroup: ground.cgroup(&self.scope, &self.container),
            netns: ground.networks.path(network),
            names: &ground.name_files(),
            secrets: has_secrets.then(|| ground.secret_folder(function, &generation)),
            pids: ground.config.pids,
            tmp_bytes: ground.config.tmp_bytes,
            own_open_files: ground.open_files,
            group: group.clone(),
        })?;
        Ok(NewContainer {
            id: self.container.clone(),
            image: image.name.clone(),
            shim: ground.config.shim_for(&ground.collector),
            runtime: ground.config.oci_runtime.clone(),
            snapshotter: ground.config.snapshotter.clone(),
            snapshot: self.container.clone(),
            spec,
            labels: labels([
                (REPLICA, self.life.replica().to_string()),
                (FUNCTION, function.to_string()),
                (GENERATION, generation),
                (NETWORK, network.to_owned()),
                (SHIM, group),
                (PORT, revision.spec.port.to_string()),
                (STATE, ground.state.name().to_owned()),
            ]),
            extensions: [].into(),
        })
    }
}
