//! One replica: its container, its network, and one life of it from start to end.
//!
//! ```text
//! network ──────────attached──┐
//! file system ► record ► task ┴► start ► probe ──► ready ──► end ► task removed
//! ```

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use containerd_client::types::Mount;
use nix::sys::signal::Signal;
use tidegate_provider::CrashReason;
use tidegate_provider_machine::exit::Cause;
use tidegate_provider_machine::{End, Life, Limits, Live, Used, exit};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::cgroup::Cgroup;
use crate::connection::Scope;
use crate::containers::{self, NewContainer, SIGKILL, SIGTERM};
use crate::error::Failure;
use crate::events::{Board, Ending, Exit};
use crate::ground::{Ground, labels};
use crate::image::Image;
use crate::network::{Network, Place};
use crate::runtime::ContainerdRuntime;
use crate::spec::{self, Container};
use crate::users::{Files, User};
use crate::{collector, probe};

/// Labels of a replica's container.
pub(crate) const REPLICA: &str = "tidegate/replica";
pub(crate) const FUNCTION: &str = "tidegate/function";
pub(crate) const GENERATION: &str = "tidegate/generation";
pub(crate) const NETWORK: &str = "tidegate/network";
pub(crate) const PORT: &str = "tidegate/port";
pub(crate) const STATE: &str = "tidegate/state";
/// `1` once it was ready in this life.
pub(crate) const READY: &str = "tidegate/ready";
pub(crate) const RESTARTS: &str = "tidegate/restarts";

/// Between two tries of what containerd's absence keeps from being done.
const AWAY_PAUSE: Duration = Duration::from_millis(100);
/// How often something that containerd refuses to remove is tried, and the longest pause in between.
const REFUSED_TRIES: u32 = 60;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A start that meets a shim which is just ending is tried this often.
const SHIM_TRIES: u32 = 20;
const SHIM_PAUSE: Duration = Duration::from_millis(50);

/// What a replica keeps from one life to the next.
#[derive(Debug, Default)]
pub struct Seat {
    /// Its network, once it has one.
    pub(crate) network: Option<Network>,
    /// Where its container is, once it is recorded.
    pub(crate) scope: Option<Scope>,
    /// What its container is called, when not as the replica.
    pub(crate) container: Option<String>,
    /// How often it was started.
    pub(crate) lives: u32,
    /// What runs in it already, found at the opening.
    pub(crate) found: Option<Task>,
}

/// A task that is there already.
#[derive(Debug)]
pub(crate) enum Task {
    Created(Created),
    Running(Running),
}

/// A task that was made, and whose program has not started.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) live: Arc<Replica>,
    pub(crate) ending: Ending,
    pub(crate) place: Place,
}

/// A task that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) live: Arc<Replica>,
    pub(crate) ending: Ending,
    pub(crate) place: Place,
    /// Whether it was ready.
    pub(crate) ready: bool,
}

/// What goes on beside a program that runs.
type Beside<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A replica that runs, for who freezes, thaws and measures it.
#[derive(Debug)]
pub struct Replica {
    pub(crate) cgroup: Option<Cgroup>,
}

impl Live for Replica {
    fn freeze(&self) -> std::io::Result<()> {
        self.cgroup()?.freeze()
    }

    fn thaw(&self) -> std::io::Result<()> {
        self.cgroup()?.thaw()
    }

    fn usage(&self) -> Used {
        let used = self.cgroup.as_ref().map(Cgroup::usage).unwrap_or_default();
        Used { cpu_millis: used.cpu_millis, memory_bytes: used.memory_bytes }
    }
}

impl Replica {
    pub(crate) fn new(ground: &Ground, scope: &Scope, container: &str) -> Arc<Self> {
        let path = ground.cgroup(scope, container);
        let cgroup = ground.hierarchy.as_ref().map(|hierarchy| Cgroup::new(hierarchy, &path));
        Arc::new(Self { cgroup })
    }

    fn cgroup(&self) -> std::io::Result<&Cgroup> {
        self.cgroup.as_ref().ok_or_else(|| std::io::Error::other("no control groups are mounted"))
    }
}

/// One life of a replica. What talks to containerd is boxed where it is awaited: it is large, and a replica that
/// serves or rests for days is not to carry the room for its start and its end.
pub(crate) struct Stage<'a> {
    pub(crate) ground: &'a Arc<Ground>,
    pub(crate) life: &'a Life<ContainerdRuntime>,
    pub(crate) scope: Scope,
    pub(crate) container: String,
}

impl Stage<'_> {
    /// From start to end.
    pub(crate) async fn live(&self, seat: &mut Seat) -> End {
        match self.start(seat).await {
            Ok(running) => self.watch(running).await,
            Err(end) => Box::pin(self.end(end)).await,
        }
    }

    /// Up to a program that runs, or an end before that. What is half done is for [`Stage::end`].
    ///
    /// Told to end, it stops between steps and never within one: containerd goes on with what it was asked
    /// for when nobody waits any more, and would make what nobody removes.
    async fn start(&self, seat: &mut Seat) -> Result<Running, End> {
        let failed = |failure| {
            let why = format!("cannot be started: {failure}");
            End::Crash(Cause::new(CrashReason::CannotStart, why))
        };
        let mut created = match seat.found.take() {
            Some(Task::Running(running)) => return Ok(running),
            Some(Task::Created(created)) => created,
            None => Box::pin(self.create(seat)).await.map_err(failed)?.ok_or(End::Told)?,
        };
        self.life.started(created.live.clone());
        tokio::select! {
            biased;
            () = self.life.told_to_end() => return Err(End::Told),
            exit = created.ending.exit() => {
                let end = End::Crash(self.words(&created.ending, &exit));
                self.lost(&end);
                return Err(end);
            }
            () = self.life.wanted() => {}
        }
        Box::pin(self.begin(created)).await.map_err(failed)
    }

    /// Up to a task whose program has not started; none when told to end before.
    async fn create(&self, seat: &mut Seat) -> Result<Option<Created>, Failure> {
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
            containers::remove(&scope, snapshotter, &self.container).await?;
        }
        // A network is attached while the container is made.
        let (id, taken) = match &seat.network {
            Some(network) => (network.id.clone(), None),
            None => {
                let taken = self.ground.networks.take().await?;
                (taken.id().to_owned(), Some(taken))
            }
        };
        let seated = &mut seat.network;
        let attach = async move {
            if let Some(taken) = taken {
                // In the seat at once: from there it is removed, whatever becomes of the rest.
                *seated = Some(taken.attached().await?);
            }
            Ok(())
        };
        let mut recorded = seat.scope.is_some();
        let making = self.make(&mut recorded, seat.lives, &image, &id);
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
        Ok(Some(Created { live, ending, place }))
    }

    /// Gives the container another name for its next life. What is in the way of this one goes with the next looks
    /// for strays, or when containerd starts anew.
    async fn rename(&self, seat: &mut Seat) {
        let snapshotter = &self.ground.config.snapshotter;
        if let Err(failure) = containers::remove(&self.scope, snapshotter, &self.container).await {
            debug!(container = %self.container, "left behind: {failure}");
        }
        let name = self.ground.container(self.life.replica());
        seat.container = Some(format!("{name}-{}", seat.lives));
        seat.scope = None;
    }

    /// Starts the program of a task that was made.
    async fn begin(&self, created: Created) -> Result<Running, Failure> {
        let Created { live, ending, place } = created;
        containers::start(&self.scope, &self.container).await?;
        Ok(Running { live, ending, place, ready: false })
    }

    /// Makes container and task; returns the task's process.
    async fn make(
        &self,
        recorded: &mut bool,
        lives: u32,
        image: &Image,
        network: &str,
    ) -> Result<u32, Failure> {
        let mounts = self.record(recorded, lives, image, network).await?;
        let output = collector::address(
            &self.ground.collector,
            self.life.log_path(),
            self.life.settings().log_bytes,
        );
        let mut tries = 0;
        loop {
            let created =
                containers::create_task(&self.scope, &self.container, mounts.clone(), &output)
                    .await;
            match created {
                Err(failure) if failure.is_of_a_start_cut_off() => return Err(failure),
                // The process that is shared by the function's replicas was just ending with the last of them.
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
    async fn record(
        &self,
        recorded: &mut bool,
        lives: u32,
        image: &Image,
        network: &str,
    ) -> Result<Vec<Mount>, Failure> {
        let scope = self.ground.leases.under(&self.scope).await?;
        let snapshotter = &self.ground.config.snapshotter;
        if *recorded {
            // Each life starts from the image as it is.
            containers::remove_snapshot(&scope, snapshotter, &self.container).await?;
            let fresh = labels([(READY, String::new()), (RESTARTS, lives.to_string())]);
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
            containers::record(&scope, self.new_container(image, user, network)?).await?;
            *recorded = true;
            return Ok(mounts);
        };
        let new = self.new_container(image, user, network)?;
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

    fn new_container(
        &self,
        image: &Image,
        user: &User,
        network: &str,
    ) -> Result<NewContainer, Failure> {
        let (ground, revision) = (self.ground, self.life.revision());
        let function = self.life.function();
        let generation = revision.generation.to_string();
        let amounts = |written| Limits::read(written).unwrap_or_default();
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
            group: ground.group(function),
        })?;
        Ok(NewContainer {
            id: self.container.clone(),
            image: image.name.clone(),
            snapshotter: ground.config.snapshotter.clone(),
            snapshot: self.container.clone(),
            spec,
            labels: labels([
                (REPLICA, self.life.replica().to_string()),
                (FUNCTION, function.to_string()),
                (GENERATION, generation),
                (NETWORK, network.to_owned()),
                (PORT, revision.spec.port.to_string()),
                (STATE, ground.state.name().to_owned()),
            ]),
            extensions: [].into(),
        })
    }

    /// From a program that runs to its end.
    async fn watch(&self, running: Running) -> End {
        let Running { live, mut ending, place, ready } = running;
        self.life.started(live);
        let end = if ready {
            self.life.ready(Some(place.address()), "");
            self.until_end(&mut ending, None).await
        } else {
            match Box::pin(self.until_ready(&mut ending, place)).await {
                Some(end) => end,
                None => self.until_end(&mut ending, Some(Box::pin(self.note_ready()))).await,
            }
        };
        self.lost(&end);
        Box::pin(self.end(end)).await
    }

    /// Tells of a crash at once, before anything is cleaned up.
    fn lost(&self, end: &End) {
        if let End::Crash(cause) = end {
            self.life.lost(&cause.why);
        }
    }

    /// None when it is ready.
    async fn until_ready(&self, ending: &mut Ending, place: Place) -> Option<End> {
        let path = &self.life.revision().spec.ready_path;
        tokio::select! {
            biased;
            () = self.life.told_to_end() => return Some(self.stop(ending).await),
            exit = ending.exit() => return Some(End::Crash(self.words(ending, &exit))),
            () = probe::ready(place.socket, path) => {}
            cause = self.life.too_late() => return Some(End::Crash(cause)),
        }
        self.life.ready(Some(place.address()), "");
        None
    }

    /// So that the next opening need not ask whether it is ready.
    async fn note_ready(&self) {
        let ready = labels([(READY, "1".to_owned())]);
        let noted = containers::change(&self.scope, &self.container, ready, [].into()).await;
        if let Err(failure) = noted {
            debug!(container = %self.container, "a later opening will ask again whether it is ready: {failure}");
        }
    }

    /// `beside` goes on meanwhile.
    async fn until_end(&self, ending: &mut Ending, mut beside: Option<Beside<'_>>) -> End {
        let mut told = 0;
        loop {
            let kills = ending.memory_kills();
            if kills > told {
                told = kills;
                let text = self.out_of_memory(kills);
                self.life.say(&text);
                self.life.detail(text);
            }
            let listener = ending.clone_listener();
            tokio::select! {
                biased;
                () = self.life.told_to_end() => return Box::pin(self.stop(ending)).await,
                exit = ending.exit() => return End::Crash(self.words(ending, &exit)),
                () = listener.more_kills(told) => {}
                () = done(&mut beside) => beside = None,
            }
        }
    }

    fn out_of_memory(&self, kills: u32) -> String {
        let limits = self.life.revision().deployment.limits.as_ref();
        let limit = limits.and_then(|limits| limits.memory.as_deref()).unwrap_or("the machine");
        exit::out_of_memory(kills.into(), limit)
    }

    /// Why it ended, in words for users.
    fn words(&self, ending: &Ending, ended: &Exit) -> Cause {
        let how = ended.cause();
        match ending.memory_kills() {
            0 => how,
            kills => how.after_memory_kills(&self.out_of_memory(kills)),
        }
    }

    /// Asks it to end, and kills it after the grace.
    async fn stop(&self, ending: &mut Ending) -> End {
        let grace = self.life.revision().grace;
        let signal = self.stop_signal().await;
        let asked = async {
            self.persist(|| containers::kill(&self.scope, &self.container, signal, false)).await;
            ending.exit().await
        };
        if timeout(grace, asked).await.is_err() {
            info!(
                function.name = %self.life.function(),
                replica = %self.life.replica(),
                "replica did not end within {}, killing it",
                tidegate_core::format_duration(grace)
            );
            self.persist(|| containers::kill(&self.scope, &self.container, SIGKILL, true)).await;
        }
        End::Told
    }

    /// The signal by which the image wants to be asked.
    async fn stop_signal(&self) -> u32 {
        let image = &self.life.revision().spec.image;
        let image = self.ground.images.get(self.scope.namespace(), image).await;
        let written = image.ok().and_then(|image| image.config.stop_signal.clone());
        written.as_deref().and_then(signal).unwrap_or(SIGTERM)
    }

    /// Makes sure that nothing runs any more.
    async fn end(&self, end: End) -> End {
        let ending = || {
            self.ground.thaw(&self.scope, &self.container);
            containers::end_task(&self.scope, &self.container)
        };
        insist(&self.ground.board, &self.container, ending).await;
        end
    }

    async fn persist<F: Future<Output = Result<(), Failure>>>(&self, step: impl FnMut() -> F) {
        persist(self.ground, &self.container, step).await;
    }
}

/// Waits for it, if there is any.
async fn done(beside: &mut Option<Beside<'_>>) {
    match beside {
        Some(beside) => beside.await,
        None => pending().await,
    }
}

/// A signal as images write it: `SIGQUIT`, `QUIT` or `3`.
pub(crate) fn signal(written: &str) -> Option<u32> {
    if let Ok(number) = written.parse() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name =
        if written.starts_with("SIG") { written.to_owned() } else { format!("SIG{written}") };
    name.parse::<Signal>().ok().map(|signal| (signal as i32).cast_unsigned())
}

/// Does a step that nothing may be left of: again also when it is refused, with growing pauses, for some minutes.
/// Whether it was done in the end.
pub(crate) async fn insist<F: Future<Output = Result<(), Failure>>>(
    board: &Board,
    container: &str,
    mut step: impl FnMut() -> F,
) -> bool {
    let mut pause = AWAY_PAUSE;
    for _ in 0..REFUSED_TRIES {
        match step().await {
            Ok(()) => return true,
            Err(failure) if failure.is_away() => board.back().await,
            Err(failure) => debug!(container, "another try: {failure}"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    warn!(container, "cannot be removed; left to the next opening");
    false
}

/// Does a step, again and again while containerd is away. What it refuses is left to the next opening.
async fn persist<F: Future<Output = Result<(), Failure>>>(
    ground: &Ground,
    container: &str,
    mut step: impl FnMut() -> F,
) {
    loop {
        match step().await {
            Err(failure) if failure.is_away() => {
                tokio::time::sleep(AWAY_PAUSE).await;
                ground.board.back().await;
            }
            Err(failure) => {
                debug!(container, "{failure}");
                return;
            }
            Ok(()) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_as_images_write_them() {
        assert_eq!(["SIGQUIT", "QUIT", "3"].map(signal), [Some(3); 3]);
        assert_eq!(["", "SIGNOTHING", "0", "99"].map(signal), [None; 4]);
    }
}
