//! Durations as OpenFaaS users write them: Go's syntax.
//!
//! `1h10m`, `90s`, `1.5s`, `250ms`, `10us`; signs and bare numbers (but `0`) are refused, since every
//! duration here is a span to wait. Configuration variables also take whole seconds ([`crate::Vars`]).

use std::time::Duration;

use thiserror::Error;

/// A text that is not a duration in Go's syntax.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a duration such as 30s, 5m or 1h10m")]
pub struct BadDuration {
    text: String,
}

/// Longest duration accepted: ten years, so that no sum of two overflows anywhere.
const LONGEST_NANOS: u128 = 10 * 366 * 86_400 * 1_000_000_000;

/// Reads a Go duration (`time.ParseDuration`'s syntax without signs).
///
/// # Errors
/// When the text is empty, has an unknown unit or no unit, or is longer than ten years.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    nanos(text)
        .filter(|nanos| *nanos <= LONGEST_NANOS)
        .and_then(|nanos| u64::try_from(nanos).ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| BadDuration { text: text.chars().take(64).collect() })
}

fn nanos(text: &str) -> Option<u128> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0_u128;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        total = total.checked_add(part(number, unit_nanos(unit)?)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

fn unit_nanos(unit: &str) -> Option<u128> {
    match unit {
        "ns" => Some(1),
        // Both spellings of micro that Unicode has, as Go accepts them.
        "us" | "\u{b5}s" | "\u{3bc}s" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        _ => None,
    }
}

/// `number × unit`, the fraction cut below a nanosecond.
fn part(number: &str, unit: u128) -> Option<u128> {
    let (whole, places) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + places.len() == 0 || places.contains('.') || whole.len() > 18 {
        return None;
    }
    let places = places.get(..places.len().min(18))?;
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u128 = if places.is_empty() { 0 } else { places.parse().ok()? };
    let scale = 10_u128.checked_pow(u32::try_from(places.len()).ok()?)?;
    whole.checked_mul(unit)?.checked_add(fraction.checked_mul(unit)? / scale)
}

/// Writes a duration in Go's syntax, the shortest exact form: `5m`, `1h10m`, `1.5s`, `250ms`.
pub fn format_duration(span: Duration) -> String {
    let nanos = span.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        for (unit, size) in [("ms", 1_000_000), ("us", 1_000)] {
            if nanos.is_multiple_of(size) {
                return format!("{}{unit}", nanos / size);
            }
        }
        return format!("{nanos}ns");
    }
    let seconds = span.as_secs();
    let mut text = String::new();
    for (unit, size) in [("h", 3600), ("m", 60)] {
        let count = seconds / size % if size == 60 { 60 } else { u64::MAX };
        if count > 0 {
            text += &format!("{count}{unit}");
        }
    }
    let places = span.subsec_nanos();
    if places > 0 {
        let places = format!("{places:09}");
        text += &format!("{}.{}s", seconds % 60, places.trim_end_matches('0'));
    } else if !seconds.is_multiple_of(60) {
        text += &format!("{}s", seconds % 60);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn go_durations_are_read_as_go_reads_them() {
        let cases = [
            ("5m", 300_000),
            ("10m30s", 630_000),
            ("1h10m", 4_200_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("250ms", 250),
            ("0", 0),
            ("1h0m0.25s", 3_600_250),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "5", "-5m", "5 m", "m", ".", ".s", "1.2.3s", "1d", "999999999h", "5m3", "NaN"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(nanos in 0_u64..1_000_000_000_000_000) {
            let span = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(span)), Ok(span));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn no_number_text_panics(text in "[0-9.hmsunµ]{0,40}") {
            let _ = parse_duration(&text);
        }
    }
}
