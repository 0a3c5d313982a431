//! Points of time as RFC 3339 text.
//!
//! Whoever has a clock passes a time in; a time that the calendar cannot write becomes year one, the
//! zero value that clients of the API know.

use std::time::SystemTime;

use jiff::Timestamp;

/// What stands for "no time" in the API.
pub(crate) const ZERO: &str = "0001-01-01T00:00:00Z";

/// Writes `time` in UTC, with as many digits after the second as it has.
pub fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| ZERO.to_owned(), |time| time.to_string())
}

/// Reads an RFC 3339 time with any offset; `None` for anything else.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn writes_and_reads_times() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        assert_eq!(rfc3339(time), "2023-11-14T22:13:20.25Z");
        assert_eq!(parse_rfc3339("2023-11-14T23:13:20.25+01:00"), Some(time));
        assert_eq!(parse_rfc3339("yesterday"), None);
        assert_eq!(parse_rfc3339(ZERO).map(rfc3339).as_deref(), Some(ZERO));
    }
}
