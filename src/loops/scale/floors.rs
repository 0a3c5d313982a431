//! Least counts by time of day, for the functions whose labels have a schedule.
//!
//! Evaluated when a function comes or changes and when a window opens or closes. Wall clocks are stepped,
//! so nothing is trusted for longer than a minute; a look costs nothing while nothing can have changed.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_core::{FunctionId, Moment, Replicas, labels};
use tidegate_provider::Pairs;
use tracing::warn;

use crate::schedule::Schedule;

/// Longest until the wall clock is looked at again.
const MINUTE: Duration = Duration::from_secs(60);

/// The schedules of all functions that have one.
#[derive(Debug, Default)]
pub(super) struct Floors {
    functions: HashMap<FunctionId, Planned>,
    /// When to look again; none while there is no schedule.
    due: Option<Moment>,
    /// The wall time of the last look.
    looked: Option<Timestamp>,
}

#[derive(Debug)]
struct Planned {
    schedule: Schedule,
    least: Replicas,
    until: Option<Timestamp>,
}

/// This moment, on both clocks.
#[derive(Copy, Clone, Debug)]
pub(super) struct Now {
    pub moment: Moment,
    pub wall: Timestamp,
}

impl Floors {
    /// Takes in the labels of a function that came or changed; gives its least count now.
    pub fn set(&mut self, now: Now, function: &FunctionId, labels: &Pairs) -> Replicas {
        let Some(text) = labels.get(labels::SCHEDULE) else {
            self.forget(function);
            return Replicas::ZERO;
        };
        let schedule = match Schedule::parse(text) {
            Ok(schedule) => schedule,
            Err(error) => {
                // Refused at deploy time, so this one was deployed by other means.
                warn!(%function, %error, "the schedule is not kept");
                self.forget(function);
                return Replicas::ZERO;
            }
        };
        let floor = schedule.at(now.wall);
        let planned = Planned { schedule, least: floor.least, until: floor.until };
        self.functions.insert(function.clone(), planned);
        let due = now.moment + wait(now.wall, floor.until);
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
        floor.least
    }

    pub fn forget(&mut self, function: &FunctionId) {
        self.functions.remove(function);
    }

    /// When [`Floors::turn`] is to be called.
    pub fn due(&self) -> Option<Moment> {
        self.due
    }

    /// The functions that have another least count from now on.
    pub fn turn(&mut self, now: Now) -> Vec<(FunctionId, Replicas)> {
        let back = self.looked.is_some_and(|looked| now.wall < looked);
        self.looked = Some(now.wall);
        let mut changed = Vec::new();
        let mut next: Option<Timestamp> = None;
        for (function, planned) in &mut self.functions {
            if back || planned.until.is_some_and(|until| until <= now.wall) {
                let floor = planned.schedule.at(now.wall);
                if floor.least != planned.least {
                    changed.push((function.clone(), floor.least));
                }
                (planned.least, planned.until) = (floor.least, floor.until);
            }
            next = [next, planned.until].into_iter().flatten().min();
        }
        self.due = (!self.functions.is_empty()).then(|| now.moment + wait(now.wall, next));
        // The order of a map is another one in each run.
        changed.sort();
        changed
    }
}

fn wait(wall: Timestamp, until: Option<Timestamp>) -> Duration {
    let left = until.map_or(MINUTE, |until| until.duration_since(wall).unsigned_abs());
    left.min(MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64, wall: &str) -> Now {
        let moment = Moment::from_start(Duration::from_secs(secs));
        Now { moment, wall: wall.parse().expect("a time") }
    }

    fn cat() -> FunctionId {
        FunctionId::parse("cat").expect("a good name")
    }

    fn labels(schedule: &str) -> Pairs {
        [(labels::SCHEDULE, schedule)].into_iter().collect()
    }

    fn due(floors: &Floors) -> Option<u64> {
        Some(floors.due()?.since_start().as_secs())
    }

    #[test]
    fn a_window_opens_and_closes_at_its_time_and_is_looked_at_each_minute() {
        let mut floors = Floors::default();
        assert_eq!(floors.due(), None);
        let noon = labels("0 12 * * * for 1h: 4");
        let least = floors.set(at(0, "2026-03-02T11:58:30Z"), &cat(), &noon);
        assert_eq!((least, due(&floors)), (Replicas::ZERO, Some(60)));
        assert_eq!(floors.turn(at(60, "2026-03-02T11:59:30Z")), []);
        assert_eq!(due(&floors), Some(90));
        let four = (cat(), Replicas::new(4));
        assert_eq!(floors.turn(at(90, "2026-03-02T12:00:00Z")), [four]);
        assert_eq!(floors.turn(at(91, "2026-03-02T12:00:01Z")), []);
        assert_eq!(floors.turn(at(3690, "2026-03-02T13:00:00Z")), [(cat(), Replicas::ZERO)]);
    }

    #[test]
    fn a_clock_that_is_stepped_either_way_is_followed() {
        let mut floors = Floors::default();
        let noon = labels("0 12 * * * for 1h: 4");
        let least = floors.set(at(0, "2026-03-02T12:30:00Z"), &cat(), &noon);
        assert_eq!(least, Replicas::new(4));
        assert_eq!(floors.turn(at(60, "2026-03-02T12:31:00Z")), []);
        assert_eq!(floors.turn(at(120, "2026-03-02T09:00:00Z")), [(cat(), Replicas::ZERO)]);
        let four = (cat(), Replicas::new(4));
        assert_eq!(floors.turn(at(180, "2026-03-03T12:10:00Z")), [four]);
    }

    #[test]
    fn labels_without_a_schedule_end_it() {
        let mut floors = Floors::default();
        let now = at(0, "2026-03-02T12:30:00Z");
        floors.set(now, &cat(), &labels("0 12 * * * for 1h: 4"));
        for without in [Pairs::default(), labels("never")] {
            assert_eq!(floors.set(now, &cat(), &without), Replicas::ZERO);
            assert_eq!(floors.turn(at(30, "2026-03-02T12:31:00Z")), []);
            assert_eq!(floors.due(), None);
        }
    }
}
