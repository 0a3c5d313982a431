//! From samples and decisions to the table of events: each answers the load step before it.

use super::Watched;
use crate::results::{Event, EventKind, Sample};

/// The load changes.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadStep {
    /// Seconds after the start of the run.
    pub at: f64,
    /// In words: `200 calls/s`.
    pub text: String,
    /// Whether there is more load from here on.
    pub up: bool,
}

/// What happened, in order of time.
pub(super) fn events(watched: &Watched, steps: &[LoadStep]) -> Vec<Event> {
    let event = |at: f64, kind, text: String| Event { at, after_step: None, kind, text };
    let mut events: Vec<Event> =
        steps.iter().map(|step| event(step.at, EventKind::LoadStep, step.text.clone())).collect();
    for decided in &watched.decisions {
        let text = format!("{} → {}: {}", decided.from, decided.to, decided.why);
        events.push(event(decided.at.max(0.0), EventKind::Decision, text));
    }
    let mut seen = Replicas::default();
    let mut steps_ahead = steps.iter().peekable();
    for sample in &watched.samples {
        while let Some(step) = steps_ahead.next_if(|step| step.at <= sample.at) {
            seen.first_above =
                step.up.then_some(seen.before.as_ref().map_or(sample.ready, |before| before.ready));
        }
        seen.look(sample, watched.min, |kind, text| events.push(event(sample.at, kind, text)));
    }
    // What comes at the same moment stays in the order above: the cause before its effects.
    events.sort_by(|one, other| one.at.total_cmp(&other.at));
    since_steps(&mut events);
    events
}

/// Says of each event how long after the last load step it came.
fn since_steps(events: &mut [Event]) {
    let mut last = None;
    for event in events {
        if event.kind == EventKind::LoadStep {
            last = Some(event.at);
        }
        event.after_step = last.map(|step| event.at - step);
    }
}

/// What the samples before this one were like.
#[derive(Default)]
struct Replicas {
    before: Option<Sample>,
    /// Ready replicas at the last step up, until one more is ready.
    first_above: Option<u32>,
    growing: bool,
    above_minimum: bool,
}

impl Replicas {
    fn look(&mut self, sample: &Sample, min: u32, mut tell: impl FnMut(EventKind, String)) {
        let Sample { desired, ready, .. } = *sample;
        let before = self.before.replace(sample.clone());
        let count = |n: u32| if n == 1 { "1 replica".to_owned() } else { format!("{n} replicas") };
        match self.first_above {
            Some(low) if ready > low => {
                self.first_above = None;
                tell(EventKind::FirstReady, format!("{} ready, {low} before", count(ready)));
            }
            Some(low) => self.first_above = Some(low.min(ready)),
            None => {}
        }
        self.growing |=
            before.as_ref().is_some_and(|before| desired > before.desired) && ready < desired;
        // Between two looks both may have come.
        let jumped = before.as_ref().is_some_and(|before| {
            desired > before.desired && ready >= desired && ready > before.ready
        });
        if desired > 0 && ready >= desired && (self.growing || jumped) {
            self.growing = false;
            tell(EventKind::TargetReached, format!("{} wanted, {ready} ready", count(desired)));
        }
        let at_minimum = desired <= min && ready <= min;
        if self.above_minimum && at_minimum && min > 0 && ready > 0 {
            tell(EventKind::BackToMinimum, count(ready));
        }
        self.above_minimum = !at_minimum;
        let some = before.is_some_and(|before| before.ready > 0 || before.desired > 0);
        if some && desired == 0 && ready == 0 {
            tell(EventKind::ToZero, "no replica left".to_owned());
        }
    }
}
