//! Puts the threads' seconds together, tells the hooks, and makes the results.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::connection::dial::ConnectError;
use crate::plan::{Pace, Plan};
use crate::record::{Batch, Counts, Spread};
use crate::results::{Results, Schedule as Kept};
use crate::run::Hooks;
use crate::schedule::Schedule;
use crate::tally::{latency, second, tally};

/// Gathers batches.
pub(crate) struct Collector<'a> {
    plan: &'a Plan,
    hooks: Hooks,
    start: Instant,
    open_loop: bool,
    targets: Vec<Counts>,
    /// All targets, kept only for the live view.
    all: Counts,
    /// Seconds that some thread has not ended yet.
    pending: BTreeMap<u32, Counts>,
    seconds: Vec<crate::results::Second>,
    /// For each thread the first second it has not ended.
    reached: Vec<u32>,
    /// Calls sent by the second in which they were due; those of ended seconds may still come.
    sent: BTreeMap<u32, u64>,
    /// Draws the schedule once more, to know what was due.
    due: Option<std::iter::Peekable<Schedule>>,
    all_due: u64,
    all_sent: u64,
    late: u64,
    waited: u64,
    lateness: Spread,
    last: Option<Instant>,
    /// When the last thread ended: what would have been due later was not asked for.
    ended: Option<Instant>,
    connected: bool,
    refusal: Option<ConnectError>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(plan: &'a Plan, hooks: Hooks, start: Instant, threads: usize) -> Self {
        Self {
            plan,
            hooks,
            start,
            open_loop: plan.is_open(),
            targets: vec![Counts::default(); plan.targets.len()],
            all: Counts::default(),
            pending: BTreeMap::new(),
            seconds: Vec::new(),
            reached: vec![0; threads],
            sent: BTreeMap::new(),
            due: Schedule::new(plan, 0, 1).map(Iterator::peekable),
            all_due: 0,
            all_sent: 0,
            late: 0,
            waited: 0,
            lateness: Spread::default(),
            last: None,
            ended: None,
            connected: false,
            refusal: None,
        }
    }

    /// Takes a batch and returns it empty.
    pub(crate) fn take(&mut self, mut batch: Box<Batch>) -> Box<Batch> {
        if let Some(hook) = &mut self.hooks.on_call {
            batch.calls.iter().for_each(hook);
        }
        let pending = self.pending.entry(batch.second).or_default();
        for (target, counts) in self.targets.iter_mut().zip(&batch.targets) {
            if counts.calls + counts.answered + counts.errors > 0 {
                target.add(counts);
                pending.add(counts);
            }
        }
        for (second, count) in &batch.sent {
            self.all_sent += count;
            match self.seconds.get_mut(*second as usize) {
                // Sent after its second was over.
                Some(shown) => shown.sent += count,
                None => *self.sent.entry(*second).or_default() += count,
            }
        }
        self.late += batch.late;
        self.waited += batch.waited;
        self.lateness.add(&batch.lateness);
        self.last = self.last.max(batch.last);
        self.ended = self.ended.max(batch.ended);
        self.connected |= batch.connected;
        self.refusal = self.refusal.take().or_else(|| batch.refusal.take());
        if batch.over {
            self.reached[batch.thread] = if batch.finished { u32::MAX } else { batch.second + 1 };
            // The last second of a thread that ended early is still open for the others.
            self.end_seconds();
        }
        batch.clear();
        batch
    }

    /// The reason why no call will ever be answered: none got a connection so far.
    pub(crate) fn hopeless(&mut self) -> Option<ConnectError> {
        let all_said = self.reached.iter().all(|reached| *reached > 0);
        if self.connected || !all_said { None } else { self.refusal.take() }
    }

    fn end_seconds(&mut self) {
        let reached = self.reached.iter().min().copied().unwrap_or(0);
        while (self.seconds.len() as u64) < u64::from(reached) {
            let at = self.seconds.len() as u32;
            if reached == u32::MAX && self.pending.range(at..).next().is_none() {
                break;
            }
            self.end_second(at);
        }
    }

    fn end_second(&mut self, at: u32) {
        let counts = self.pending.remove(&at).unwrap_or_default();
        let sent = self.sent.remove(&at).unwrap_or(0);
        let mut until = Duration::from_secs(u64::from(at) + 1);
        let all_ended = self.reached.iter().all(|reached| *reached == u32::MAX);
        if let (true, Some(ended)) = (all_ended, self.ended) {
            until = until.min(ended.saturating_duration_since(self.start));
        }
        let due = if self.due.is_some() { self.due_before(until) } else { sent };
        let last = all_ended && self.pending.is_empty();
        if last && due + sent + counts.answered + counts.errors == 0 && self.is_after_end(at) {
            return;
        }
        let shown = second(at, due, sent, &counts, self.open_loop);
        if let Some(hook) = &mut self.hooks.on_second {
            self.all.add(&counts);
            hook(&shown, &tally("all", &self.all, self.open_loop));
        }
        self.seconds.push(shown);
    }

    /// Whether a second begins when the run should be over: its threads take a moment to see it.
    fn is_after_end(&self, at: u32) -> bool {
        self.plan.end().is_none_or(|end| Duration::from_secs(u64::from(at)) >= end)
    }

    /// Draws what was due up to a moment.
    fn due_before(&mut self, moment: Duration) -> u64 {
        let Some(due) = &mut self.due else { return 0 };
        let mut count = 0;
        while due.next_if(|due| due.at < moment).is_some() {
            count += 1;
        }
        self.all_due += count;
        count
    }

    pub(crate) fn finish(mut self, interrupted: bool) -> Results {
        let mut all = Counts::default();
        for target in &self.targets {
            all.add(target);
        }
        let (first, least) = self.busy(interrupted);
        // Calls that were cut off have no end: then the run's counts.
        let last = if interrupted { self.last.max(self.ended) } else { self.last };
        let elapsed = last.map_or(Duration::ZERO, |last| {
            last.saturating_duration_since(self.start).max(least).saturating_sub(first)
        });
        let names = self.plan.targets.iter().zip(&self.targets);
        Results {
            api_version: "tidegate.dev/load/v1",
            pace: self.plan.pace_text(),
            open_loop: self.open_loop,
            elapsed: elapsed.as_secs_f64(),
            interrupted,
            total: tally("all", &all, self.open_loop),
            targets: names
                .map(|(target, counts)| tally(&target.name, counts, self.open_loop))
                .collect(),
            schedule: self.open_loop.then(|| Kept {
                due: self.all_due,
                sent: self.all_sent,
                late: self.late,
                waited: self.waited,
                error: latency(&self.lateness),
            }),
            seconds: std::mem::take(&mut self.seconds),
            ..Results::default()
        }
    }

    /// From when on calls were wanted, and until when at least: to count from the first call to the last
    /// would make slow paces look faster than they were.
    fn busy(&self, interrupted: bool) -> (Duration, Duration) {
        let (first, end) = match &self.plan.pace {
            Pace::Open(profile) => profile.busy(),
            Pace::Replay(recording) => {
                (recording.first().map_or(Duration::ZERO, |due| due.at), None)
            }
            Pace::Closed { .. } => (Duration::ZERO, None),
        };
        let cut = interrupted || self.plan.calls.is_some();
        let end = match (end, self.plan.duration) {
            (Some(end), Some(duration)) => Some(end.min(duration)),
            (end, duration) => end.or(duration),
        };
        (first, end.filter(|_| !cut).unwrap_or_default())
    }
}

impl Plan {
    /// Whether calls are due by a schedule.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.pace, Pace::Closed { .. })
    }

    /// When the run ends by time: its own limit or the profile's length, whichever is sooner.
    #[must_use]
    pub fn end(&self) -> Option<Duration> {
        let length = match &self.pace {
            Pace::Open(profile) => profile.length(),
            Pace::Closed { .. } | Pace::Replay(_) => None,
        };
        match (self.duration, length) {
            (Some(duration), Some(length)) => Some(duration.min(length)),
            (duration, length) => duration.or(length),
        }
    }

    /// The pace in the words of the command line.
    #[must_use]
    pub fn pace_text(&self) -> String {
        match &self.pace {
            Pace::Closed { each: None } => "closed".to_owned(),
            Pace::Closed { each: Some(each) } => format!("closed, {each}/s each"),
            Pace::Open(profile) => profile.to_string(),
            Pace::Replay(recording) => format!("replay of {} calls", recording.len()),
        }
    }
}
