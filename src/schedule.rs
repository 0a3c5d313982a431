//! Least counts by time of day: `com.tidegate.scale.schedule`, read into times and evaluated at a wall time.
//!
//! ```text
//! Europe/Berlin | 0 8 * * MON-FRI for 10h: 3; 0 9 * * SAT for 4h: 1
//! zone (UTC)      cron               span  least count
//! ```
//! The autoscaler gets the least count and asks nothing about clocks; see `loops/scale.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use thiserror::Error;
use tidegate_core::{Policy, Replicas, labels, parse_duration};

/// Times at which a function has a least count, however little it is called.
#[derive(Clone, Debug)]
pub struct Schedule {
    zone: TimeZone,
    windows: Vec<Window>,
}

#[derive(Clone, Debug)]
struct Window {
    begins: Cron,
    lasts: Duration,
    least: Replicas,
}

/// What a schedule asks for at one moment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The least count; zero when no window is open.
    pub least: Replicas,
    /// When that may change; `None` when it never will.
    pub until: Option<Timestamp>,
}

/// Why a schedule cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadSchedule {
    /// A part has another form.
    #[error("{0:?} is not `CRON for DURATION: COUNT`, such as `0 8 * * MON-FRI for 10h: 3`")]
    Form(String),
    /// No such time zone.
    #[error("{0:?} is not a time zone; use a name such as Europe/Berlin or UTC")]
    Zone(String),
    /// Not a cron pattern.
    #[error("{pattern:?} is not a cron pattern: {why}")]
    Cron {
        /// What was written.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// Not a span.
    #[error("{0:?} is not a duration above zero and up to 7 days, such as 10h or 90m")]
    Span(String),
    /// Not a count.
    #[error("{0:?} is not a whole number from 1 to 10000")]
    Count(String),
}

/// Longest window: a week, after which its own begin comes round again.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

impl Schedule {
    /// Reads the label.
    ///
    /// # Errors
    /// With the first part that is not as it should be.
    pub fn parse(text: &str) -> Result<Self, BadSchedule> {
        let (zone, windows) = text.split_once('|').unwrap_or(("UTC", text));
        let zone = zone.trim();
        let zone = TimeZone::get(zone).map_err(|_| BadSchedule::Zone(zone.to_owned()))?;
        let windows = windows.split(';').map(str::trim).filter(|part| !part.is_empty());
        let windows: Vec<Window> = windows.map(Window::parse).collect::<Result<_, _>>()?;
        if windows.is_empty() {
            return Err(BadSchedule::Form(text.trim().to_owned()));
        }
        Ok(Self { zone, windows })
    }

    /// What it asks for at `now`: the highest of the windows that are open.
    pub fn at(&self, now: Timestamp) -> Floor {
        let now = now.to_zoned(self.zone.clone());
        let mut floor = Floor { least: Replicas::ZERO, until: None };
        for window in &self.windows {
            let ends = window.open_until(&now);
            if ends.is_some() {
                floor.least = floor.least.max(window.least);
            }
            let change = ends.or_else(|| window.next_begin(&now));
            floor.until = [floor.until, change].into_iter().flatten().min();
        }
        floor
    }
}

/// Whether the label of a function to be deployed can be read.
///
/// # Errors
/// With label, value, and what would be right.
pub fn check(labels: &BTreeMap<String, String>) -> Result<(), String> {
    let Some(text) = labels.get(labels::SCHEDULE) else { return Ok(()) };
    let shown: String = text.chars().take(80).collect();
    let refused = |why| format!("label {}: {shown:?} is not allowed; {why}", labels::SCHEDULE);
    Schedule::parse(text).map(drop).map_err(refused)
}

impl Window {
    fn parse(part: &str) -> Result<Self, BadSchedule> {
        let form = || BadSchedule::Form(part.to_owned());
        let (times, count) = part.rsplit_once(':').ok_or_else(form)?;
        let (pattern, span) = times.rsplit_once(" for ").ok_or_else(form)?;
        let (pattern, span, count) = (pattern.trim(), span.trim(), count.trim());
        let begins = CronParser::builder().seconds(Seconds::Disallowed).build().parse(pattern);
        let begins = begins.map_err(|error| BadSchedule::Cron {
            pattern: pattern.to_owned(),
            why: error.to_string(),
        })?;
        let lasts = parse_duration(span).ok().filter(|span| !span.is_zero() && *span <= LONGEST);
        let lasts = lasts.ok_or_else(|| BadSchedule::Span(span.to_owned()))?;
        let least = count.parse().ok().filter(|n| (1..=Policy::MOST_REPLICAS).contains(n));
        let least = least.ok_or_else(|| BadSchedule::Count(count.to_owned()))?;
        Ok(Self { begins, lasts, least: Replicas::new(least) })
    }

    /// When the window that is open at `now` ends. A pattern that never comes opens nothing.
    fn open_until(&self, now: &Zoned) -> Option<Timestamp> {
        let begun = self.begins.find_previous_occurrence(now, true).ok()?.timestamp();
        let ends = begun.checked_add(self.lasts).ok()?;
        (ends > now.timestamp()).then_some(ends)
    }

    fn next_begin(&self, now: &Zoned) -> Option<Timestamp> {
        Some(self.begins.find_next_occurrence(now, false).ok()?.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(schedule: &str, now: &str) -> (u32, Option<String>) {
        let schedule = Schedule::parse(schedule).expect("a good schedule");
        let floor = schedule.at(now.parse().expect("a time"));
        (floor.least.get(), floor.until.map(|until| until.to_string()))
    }

    fn then(until: &str) -> Option<String> {
        Some(until.to_owned())
    }

    const OFFICE: &str = "Europe/Berlin | 0 8 * * MON-FRI for 10h: 3; 0 12 * * * for 1h: 5";

    #[test]
    fn a_bad_label_is_named_with_what_would_be_right() {
        let label = |text: &str| [(labels::SCHEDULE.to_owned(), text.to_owned())].into();
        assert_eq!(check(&BTreeMap::new()), Ok(()));
        assert_eq!(check(&label(OFFICE)), Ok(()));
        let refused = check(&label("Europe/Bonn | 0 8 * * * for 1h: 2")).expect_err("no such zone");
        assert!(refused.contains("com.tidegate.scale.schedule: \"Europe/Bonn | 0 8"), "{refused}");
        assert!(refused.contains("use a name such as Europe/Berlin"), "{refused}");
    }

    #[test]
    fn a_window_is_open_from_its_begin_for_its_span() {
        // Monday, in winter an hour ahead of UTC.
        assert_eq!(at(OFFICE, "2026-01-05T06:59:59Z"), (0, then("2026-01-05T07:00:00Z")));
        assert_eq!(at(OFFICE, "2026-01-05T07:00:00Z"), (3, then("2026-01-05T11:00:00Z")));
        assert_eq!(at(OFFICE, "2026-01-05T11:30:00Z"), (5, then("2026-01-05T12:00:00Z")));
        assert_eq!(at(OFFICE, "2026-01-05T12:00:00Z"), (3, then("2026-01-05T17:00:00Z")));
        assert_eq!(at(OFFICE, "2026-01-05T17:00:00Z"), (0, then("2026-01-06T07:00:00Z")));
        // Saturday.
        assert_eq!(at(OFFICE, "2026-01-10T08:00:00Z"), (0, then("2026-01-10T11:00:00Z")));
    }

    #[test]
    fn summer_time_moves_it_with_the_clock_on_the_wall() {
        assert_eq!(at(OFFICE, "2026-07-06T05:59:59Z"), (0, then("2026-07-06T06:00:00Z")));
        assert_eq!(at(OFFICE, "2026-07-06T06:00:00Z"), (3, then("2026-07-06T10:00:00Z")));
        // At 02:00 the clocks are put forward; a begin within the hour that is left out comes all the same.
        let night = "Europe/Berlin | 30 2 * * * for 1h: 2";
        assert_eq!(at(night, "2026-03-29T01:15:00Z").0, 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let why = |text: &str| Schedule::parse(text).expect_err("bad").to_string();
        assert!(why("").contains("CRON for DURATION: COUNT"));
        assert!(why("Europe/Nowhere | 0 8 * * * for 1h: 1").contains("Europe/Nowhere"));
        assert!(why("0 25 * * * for 1h: 1").contains("0 25 * * *"));
        assert!(why("0 8 * * * for ever: 1").contains("\"ever\""));
        assert!(why("0 8 * * * for 1h: none").contains("\"none\""));
        assert!(why("0 8 * * * for 1h").contains("is not `CRON"));
    }

    #[test]
    fn a_day_that_never_comes_opens_nothing() {
        assert_eq!(at("0 0 30 2 * for 1h: 1", "2026-01-05T07:00:00Z"), (0, None));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~|;:*0-9]{0,40}", now in 0_i64..4_000_000_000) {
            if let Ok(schedule) = Schedule::parse(&text) {
                let now = Timestamp::from_second(now).expect("in range");
                prop_assert!(schedule.at(now).until.is_none_or(|until| until > now));
            }
        }
    }
}
