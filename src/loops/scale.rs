//! The one writer of replica counts.
//!
//! ```text
//! nudge, deadline, change, ask ──► observe ──► Autoscaler::decide ──► apply ──► Provider::scale
//!                                                      │ reason
//!                                                      └──► log line, metric, explanation
//! ```
//!
//! For each function at most one provider call is under way; what arrives meanwhile is looked at when
//! it has returned. Idle functions cost nothing: only those with a deadline or a nudge are looked at.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tidegate_autoscaler::{Ask, Autoscaler};
use tidegate_core::{FunctionId, Moment, Replicas};
use tidegate_gateway::{Clock, Entry, Nudges, ScaleError, Table};
use tidegate_provider::{Provider, ProviderError};
use tidegate_simulator::record::Recorder;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::boot::BootTime;
use crate::causes::chain;
use crate::loops::watch::Seen;
use crate::memory::{Memories, Unsaved};
use crate::metrics::Metrics;

mod apply;
mod decider;
mod floors;
mod known;
mod measures;
mod request;
mod resting;

use apply::Call;
use decider::Decider;
use floors::{Floors, Now};
use known::{Watched, answer_not_deployed};
use measures::Measures;
pub use request::{Answer, Measured, Request};
use resting::Uses;

/// How often what was learnt is written down, when it changed.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// How often an active function is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How soon a count that the provider refused is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the loop is made of; see [`ScaleLoop::run`].
pub struct ScaleLoop {
    pub(crate) clock: Clock,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) table: Arc<Table>,
    autoscaler: Decider,
    pub(crate) metrics: Metrics,
    pub(crate) memories: Memories,
    functions: HashMap<FunctionId, Watched>,
    floors: Floors,
    measures: Measures,
    uses: Uses,
    /// Deadlines, earliest first; one that its function no longer has is skipped.
    due: BinaryHeap<Reverse<(Moment, FunctionId)>>,
    calls: FuturesUnordered<BoxFuture<'static, Done>>,
    saving: Option<JoinHandle<()>>,
}

/// The ends of the loop's channels.
pub struct Inputs {
    /// From the watch loop.
    pub seen: mpsc::Receiver<Seen>,
    /// From the REST handlers.
    pub requests: mpsc::Receiver<Request>,
    /// From the invocation path.
    pub nudges: Nudges,
}

/// A provider call that returned.
struct Done {
    entry: Arc<Entry>,
    call: Call,
    result: Result<(), ProviderError>,
    answer: Option<Answer>,
}

impl ScaleLoop {
    /// A loop over the functions of `table`.
    pub fn new(
        clock: Clock,
        provider: Arc<dyn Provider>,
        table: Arc<Table>,
        autoscaler: Autoscaler,
        metrics: Metrics,
        memories: Memories,
    ) -> Self {
        Self {
            clock,
            provider,
            table,
            autoscaler: Decider::new(autoscaler),
            metrics,
            memories,
            functions: HashMap::new(),
            floors: Floors::default(),
            measures: Measures::default(),
            uses: Uses::default(),
            due: BinaryHeap::new(),
            calls: FuturesUnordered::new(),
            saving: None,
        }
    }

    /// Records all that it sees and decides; to be called before it runs.
    pub fn record(&mut self, recorder: Recorder) {
        self.autoscaler.record(recorder);
    }

    /// Turns until `stop`; a call under way is finished, then what was learnt is written down.
    pub async fn run(mut self, mut inputs: Inputs, stop: CancellationToken) {
        if let Some(common) = self.memories.common() {
            self.autoscaler.restore_common(self.clock.now(), common);
        }
        let mut save = interval(SAVE_EVERY);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (next, floors) = (self.next_deadline(), self.floors.due());
            let clock = self.clock.clone();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(seen) = inputs.seen.recv() => self.see(seen),
                Some(request) = inputs.requests.recv() => self.answer(request),
                entry = inputs.nudges.next() => self.look(entry.id().clone()),
                Some(done) = self.calls.next(), if !self.calls.is_empty() => self.finish(done),
                () = sleep_until(&clock, next), if next.is_some() => self.look_at_due(),
                () = sleep_until(&clock, floors), if floors.is_some() => self.turn_floors(),
                _ = save.tick() => self.save(),
            }
        }
        while let Some(done) = self.calls.next().await {
            self.finish(done);
        }
        self.autoscaler.end_record();
        self.save_and_wait().await;
    }

    fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Changed(function) => {
                if let Some(watched) = self.meet(&function) {
                    watched.give_up_on_waiters();
                    let is_ready = !watched.entry.available().is_zero();
                    if is_ready {
                        self.uses.ready(self.clock.now(), &function);
                    }
                    self.look(function);
                }
            }
            Seen::Synced => {
                info!(functions = self.functions.len(), "all deployed functions are known")
            }
        }
    }

    /// Looks at one function now, or as soon as the call under way has returned.
    fn look(&mut self, function: FunctionId) {
        let now = self.clock.now();
        let Some(watched) = self.meet(&function) else { return };
        if watched.busy {
            watched.again = true;
            return;
        }
        let (seen, handle) = (watched.entry.observe(now), watched.handle);
        let decision = self.autoscaler.decide(now, handle, &seen, None);
        self.metrics.decided(&function, &decision.action);
        self.apply(&function, decision, None);
    }

    fn look_at_due(&mut self) {
        let started = self.clock.now();
        let mut looked = 0_u64;
        while let Some(Reverse((at, _))) = self.due.peek() {
            if *at > started {
                break;
            }
            let Some(Reverse((at, function))) = self.due.pop() else { break };
            if self.functions.get(&function).is_some_and(|watched| watched.next_look == Some(at)) {
                looked += 1;
                self.look(function);
            }
        }
        self.metrics.turned(looked, self.clock.now().since(started));
    }

    /// Windows of schedules may have opened or closed.
    fn turn_floors(&mut self) {
        let now = self.both_clocks();
        for (function, least) in self.floors.turn(now) {
            self.autoscaler.floor(now.moment, &function, least);
            self.look(function);
        }
    }

    fn both_clocks(&self) -> Now {
        let moment = self.clock.now();
        // Out of its range is only a clock that is set thousands of years off.
        let wall = Timestamp::try_from(self.clock.wall(moment)).unwrap_or_default();
        Now { moment, wall }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Ask { function, ask, answer } => self.ask(function, ask, answer),
            Request::Explain { function, why_not, answer } => {
                let explained = self.explain(&function, why_not);
                // The asker may have left; nothing depends on the answer.
                let _ = answer.send(explained);
            }
            Request::Wanted { answer } => drop(answer.send(self.wanted())),
            Request::Memory { reading, sizes } => self.take_memory(&reading, &sizes),
            Request::Measured { values } => self.take_measured(values),
        }
    }

    fn ask(&mut self, function: FunctionId, ask: Ask, answer: Answer) {
        let now = self.clock.now();
        let Some(watched) = self.meet(&function) else {
            answer_not_deployed(answer, function);
            return;
        };
        if watched.busy {
            watched.asks.push_back((ask, answer));
            return;
        }
        let (seen, handle) = (watched.entry.observe(now), watched.handle);
        let decision = self.autoscaler.decide(now, handle, &seen, Some(ask));
        self.metrics.decided(&function, &decision.action);
        self.apply(&function, decision, Some(answer));
    }

    fn explain(
        &mut self,
        function: &FunctionId,
        why_not: Option<Replicas>,
    ) -> Option<serde_json::Value> {
        self.meet(function)?;
        let explanation = self.autoscaler.explain(self.clock.now(), function)?;
        let mut told = serde_json::to_value(explanation).ok()?;
        if let (Some(asked), Some(told)) = (why_not, told.as_object_mut()) {
            let answer = self.autoscaler.why_not(self.clock.now(), function, asked);
            told.insert("why_not".to_owned(), serde_json::to_value(answer).ok()?);
        }
        Some(told)
    }

    /// Takes up what a finished provider call changed, and what arrived meanwhile.
    fn finish(&mut self, done: Done) {
        let Done { entry, call, result, answer } = done;
        let function = entry.id().clone();
        let now = self.clock.now();
        let failed = result.is_err();
        if let Err(error) = &result {
            call.failed(&entry, error);
        }
        // By now it may be gone, or another one may have its name.
        let of_this = |watched: &&mut Watched| Arc::ptr_eq(&watched.entry, &entry);
        let watched = self.functions.get_mut(&function).filter(of_this);
        if let (Some(_), Err(error)) = (&watched, &result) {
            error!(function.name = function.name(), function.namespace = function.namespace(), error = %chain(error), "scaling {function} failed; it is tried again");
            self.metrics.failed();
        }
        if let Some(answer) = answer {
            let _ = answer.send(result.map_err(ScaleError::Provider));
        }
        let Some(watched) = watched else { return };
        watched.busy = false;
        let asks = std::mem::take(&mut watched.asks);
        let again = std::mem::take(&mut watched.again);
        if failed {
            self.look_again(&function, Some(now + RETRY_AFTER));
        } else if again || call.wants_another_look() {
            self.look(function.clone());
        }
        for (ask, answer) in asks {
            self.ask(function.clone(), ask, answer);
        }
    }

    fn look_again(&mut self, function: &FunctionId, at: Option<Moment>) {
        let Some(watched) = self.functions.get_mut(function) else { return };
        // Beyond the next tick the function rests: its next arrival nudges. It may not rest with calls open.
        let now = self.clock.now();
        let tick = now + TICK;
        let resting = at.is_none_or(|at| at > tick) && watched.entry.rest();
        let at = if resting { at } else { Some(at.map_or(tick, |at| at.min(tick))) };
        if watched.next_look == at {
            return;
        }
        watched.next_look = at;
        if let Some(at) = at {
            self.due.push(Reverse((at, function.clone())));
        }
    }

    /// The earliest deadline that still holds.
    fn next_deadline(&mut self) -> Option<Moment> {
        while let Some(Reverse((at, function))) = self.due.peek() {
            if self.functions.get(function).is_some_and(|watched| watched.next_look == Some(*at)) {
                return Some(*at);
            }
            self.due.pop();
        }
        None
    }

    /// Notes what every function has taught, and gives what is to be written down.
    fn learnt(&mut self) -> Option<Unsaved> {
        let (now, boot_time) = (self.clock.now(), BootTime::now());
        for function in self.functions.keys() {
            if let Some(memory) = self.autoscaler.memory(now, function) {
                self.memories.keep(&boot_time, function, memory);
            }
        }
        self.memories.keep_common(self.autoscaler.common());
        self.memories.changed()
    }

    /// Writes in the background: a disk that hesitates must not hold up a wake.
    fn save(&mut self) {
        if self.saving.as_ref().is_some_and(|saving| !saving.is_finished()) {
            return;
        }
        if let Some(unsaved) = self.learnt() {
            self.saving = Some(tokio::task::spawn_blocking(move || unsaved.save()));
        }
    }

    async fn save_and_wait(&mut self) {
        if let Some(saving) = self.saving.take() {
            // A write that panicked is followed by another one here.
            let _ = saving.await;
        }
        self.memories.renew(&BootTime::now());
        if let Some(unsaved) = self.learnt() {
            unsaved.save();
        }
    }
}

async fn sleep_until(clock: &Clock, at: Option<Moment>) {
    match at {
        Some(at) => tokio::time::sleep_until(clock.instant(at)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
