//! One replica: its container, its network, and one life of it from start to end.
//!
//! ```text
//! network ──────────attached──┐
//! file system ► record ► task ┴► start ► probe ──► ready ──► end ► task removed
//! ```

use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tidegate_core::annotations::ALLOW_32_BIT;
use tidegate_provider::CrashReason;
use tidegate_provider_machine::exit::Cause;
use tidegate_provider_machine::{End, Life, Live, Used, exit};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::cgroup::Cgroup;
use crate::connection::Scope;
use crate::containers::{self, SIGKILL, SIGTERM};
use crate::deployed::allows_32_bit;
use crate::error::Failure;
use crate::events::{Board, Ending, Exit, News};
use crate::ground::{Ground, labels};
use crate::network::{Network, Place};
use crate::runtime::ContainerdRuntime;
use crate::shims::Member;
use crate::{probe, signals};

/// Labels of a replica's container.
pub(crate) const REPLICA: &str = "tidegate/replica";
pub(crate) const FUNCTION: &str = "tidegate/function";
pub(crate) const GENERATION: &str = "tidegate/generation";
pub(crate) const NETWORK: &str = "tidegate/network";
pub(crate) const SHIM: &str = "tidegate/shim";
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

/// The status of a program that was killed by SIGSYS: it was built for another kind of machine. Other calls that nobody
/// may make are answered with an error.
const BAD_CALL: u32 = 128 + Signal::SIGSYS as u32;

/// The quickest runtime takes so long until a program runs: before that nobody needs to be asked.
const RUNTIME_TAKES: Duration = Duration::from_millis(2);

/// How long it is ready before that is written down.
const NOTED_AFTER: Duration = Duration::from_secs(1);

/// What a replica keeps from one life to the next.
#[derive(Debug, Default)]
pub struct Seat {
    /// Its network, once it has one.
    pub(crate) network: Option<Network>,
    /// Where its container is, once it is recorded.
    pub(crate) scope: Option<Scope>,
    /// What its container is called, when not as the replica.
    pub(crate) container: Option<String>,
    /// Its container's place at a shim, once that was chosen.
    pub(crate) shim: Option<Member>,
    /// How often it was started.
    pub(crate) lives: u32,
    /// What runs in it already, found at the opening; only until it is watched again.
    pub(crate) found: Option<Box<Task>>,
}

/// A task that is there already.
#[derive(Debug)]
pub(crate) enum Task {
    Created(Created),
    Running(Running),
}

/// A task that was made, and whose program was not told to start.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) live: Arc<Replica>,
    pub(crate) ending: Ending,
    pub(crate) place: Place,
    /// Whether its program runs all the same.
    pub(crate) begun: bool,
}

/// A task that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) live: Arc<Replica>,
    pub(crate) ending: Ending,
    pub(crate) place: Place,
    /// Whether it was ready.
    pub(crate) ready: bool,
    /// Whether its container says so.
    pub(crate) noted: bool,
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

    /// Kills all that runs in it, whatever containerd knows of it.
    pub(crate) fn kill(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
    }

    fn cgroup(&self) -> std::io::Result<&Cgroup> {
        self.cgroup.as_ref().ok_or_else(|| std::io::Error::other("no control groups are mounted"))
    }
}

/// One life of a replica. What talks to containerd is boxed where it is awaited: it is large, and a replica that
/// serves or rests for days is not to carry the room for its start and its end. And what rests is written as blocks: an
/// `async fn` keeps room for what it takes twice.
pub(crate) struct Stage<'a> {
    pub(crate) ground: &'a Arc<Ground>,
    pub(crate) life: &'a Life<ContainerdRuntime>,
    pub(crate) scope: Scope,
    pub(crate) container: String,
}

impl Stage<'_> {
    /// From start to end.
    #[expect(clippy::manual_async_fn, reason = "a block has one place for what it takes")]
    pub(crate) fn live<'b>(&'b self, seat: &'b mut Seat) -> impl Future<Output = End> + Send + 'b {
        async move {
            let (end, has_ended) = match Box::pin(self.start(seat)).await {
                Ok(mut running) => {
                    let end = self.watch(&mut running).await;
                    (end, running.ending.has_ended())
                }
                Err(end) => (end, false),
            };
            Box::pin(self.end(seat, has_ended)).await;
            end
        }
    }

    /// Up to a program that runs, or an end before that. What is half done is for [`Stage::end`].
    ///
    /// Told to end, it stops between steps and never within one: containerd goes on with what it was asked
    /// for when nobody waits any more, and would make what nobody removes.
    async fn start(&self, seat: &mut Seat) -> Result<Box<Running>, End> {
        let failed = |failure| {
            let why = format!("cannot be started: {failure}");
            End::Crash(Cause::new(CrashReason::CannotStart, why))
        };
        let mut created = match seat.found.take().map(|found| *found) {
            Some(Task::Running(running)) => return Ok(Box::new(running)),
            Some(Task::Created(created)) => created,
            None => Box::pin(self.create(seat)).await.map_err(failed)?.ok_or(End::Told)?,
        };
        self.life.started(created.live.clone());
        tokio::select! {
            biased;
            // It may have begun, a moment ago, and was never ready: it has nothing to lose, and might not hear a signal yet.
            () = self.life.told_to_end() => return Err(End::Told),
            exit = created.ending.exit() => {
                let end = End::Crash(self.words(&created.ending, &exit));
                self.lost(&end);
                return Err(end);
            }
            () = self.life.wanted() => {}
        }
        Box::pin(self.begin(created)).await.map(Box::new).map_err(failed)
    }

    /// Starts the program of a task that was made. It may answer a while before containerd tells that it runs.
    async fn begin(&self, created: Created) -> Result<Running, Failure> {
        let Created { live, ending, place, begun } = created;
        let path = &self.life.revision().spec.ready_path;
        let mut starting = pin!(containers::start(&self.scope, &self.container));
        let probing = async {
            if !begun {
                tokio::time::sleep(RUNTIME_TAKES).await;
            }
            probe::ready(place.socket, path).await;
        };
        let ready = tokio::select! {
            biased;
            started = &mut starting => started.map(|()| false)?,
            () = probing => {
                self.life.ready(Some(place.address()), "");
                starting.await.inspect_err(|failure| self.life.lost(&failure.to_string()))?;
                true
            }
        };
        Ok(Running { live, ending, place, ready, noted: false })
    }

    /// From a program that runs to its end.
    #[expect(clippy::manual_async_fn, reason = "a block has one place for what it takes")]
    fn watch<'b>(&'b self, running: &'b mut Running) -> impl Future<Output = End> + Send + 'b {
        async move {
            self.life.started(running.live.clone());
            if running.ready {
                self.life.ready(Some(running.place.address()), "");
            } else if let Some(end) = Box::pin(self.until_ready(running)).await {
                self.lost(&end);
                return end;
            }
            let beside: Option<Beside<'_>> = match running.noted {
                true => None,
                false => Some(Box::pin(self.note_ready())),
            };
            let end = self.until_end(&mut running.ending, beside).await;
            self.lost(&end);
            end
        }
    }

    /// Tells of a crash at once, before anything is cleaned up.
    fn lost(&self, end: &End) {
        if let End::Crash(cause) = end {
            self.life.lost(&cause.why);
        }
    }

    /// None when it is ready.
    async fn until_ready(&self, running: &mut Running) -> Option<End> {
        let Running { ending, place, .. } = running;
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

    /// So that the next opening need not ask whether it is ready. Not at once: many do not live that long.
    async fn note_ready(&self) {
        tokio::time::sleep(NOTED_AFTER).await;
        let ready = labels([(READY, "1".to_owned())]);
        let noted = containers::change(&self.scope, &self.container, ready, [].into()).await;
        if let Err(failure) = noted {
            debug!(container = %self.container, "a later opening will ask again whether it is ready: {failure}");
        }
    }

    /// `beside` goes on meanwhile.
    #[expect(clippy::manual_async_fn, reason = "a block has one place for what it takes")]
    fn until_end<'b>(
        &'b self,
        ending: &'b mut Ending,
        mut beside: Option<Beside<'b>>,
    ) -> impl Future<Output = End> + Send + 'b {
        async move {
            let mut told = 0;
            loop {
                tokio::select! {
                    biased;
                    () = self.life.told_to_end() => break,
                    news = ending.news(told) => match news {
                        News::Ended(exit) => return End::Crash(self.words(ending, &exit)),
                        News::MemoryKills(kills) => {
                            told = kills;
                            let text = self.out_of_memory(kills);
                            self.life.say(&text);
                            self.life.detail(text);
                        }
                    },
                    () = done(&mut beside) => beside = None,
                }
            }
            Box::pin(self.stop(ending)).await
        }
    }

    fn out_of_memory(&self, kills: u32) -> String {
        let limits = self.life.revision().deployment.limits.as_ref();
        let limit = limits.and_then(|limits| limits.memory.as_deref()).unwrap_or("the machine");
        exit::out_of_memory(kills.into(), limit)
    }

    /// Why it ended, in words for users.
    fn words(&self, ending: &Ending, ended: &Exit) -> Cause {
        let mut how = ended.cause();
        if *ended == Exit::Status(BAD_CALL) && !allows_32_bit(&self.life.revision().deployment) {
            how.why += &format!(": a 32-bit program needs the annotation {ALLOW_32_BIT}: \"true\"");
        }
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
            if !signals::send(
                ending.pid(),
                signal,
                &self.ground.cgroup(&self.scope, &self.container),
            ) {
                self.persist(|| containers::kill(&self.scope, &self.container, signal, false))
                    .await;
            }
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
        written.as_deref().and_then(signals::named).unwrap_or(SIGTERM)
    }

    /// Makes sure that nothing runs any more.
    async fn end(&self, seat: &Seat, has_ended: bool) {
        let ending = || {
            self.ground.thaw(&self.scope, &self.container);
            containers::end_task(&self.scope, &self.container, seat.shim.as_ref(), has_ended)
        };
        insist(&self.ground.board, &self.container, ending).await;
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
