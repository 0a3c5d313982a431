//! The only place in this crate that reads a clock.
//!
//! A watchdog acts: it measures calls and stamps log lines. Both go through here, so that nothing
//! else does it by the way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The monotonic time, for durations and deadlines.
#[expect(clippy::disallowed_methods, reason = "a watchdog measures the calls that it serves")]
pub fn now() -> Instant {
    Instant::now()
}

/// The time of day since 1970, in UTC.
#[expect(clippy::disallowed_methods, reason = "log lines and files carry the time of day")]
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// The time of day as log lines show it: `2026/05/01 12:00:00 `, in UTC.
pub fn stamp() -> String {
    stamp_of(wall().as_secs())
}

fn stamp_of(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02} ")
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years are taken to begin in March, which puts the leap day last; 719,468 days lie between
/// 0000-03-01 and 1970-01-01, and 146,097 days are 400 years.
pub fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_the_utc_date_and_time() {
        assert_eq!(stamp_of(0), "1970/01/01 00:00:00 ");
        assert_eq!(stamp_of(951_827_696), "2000/02/29 12:34:56 ");
        assert_eq!(stamp_of(1_767_225_599), "2025/12/31 23:59:59 ");
    }
}
