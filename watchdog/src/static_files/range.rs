//! Which part of a file a `Range` header asks for.

/// What a `Range` header asks for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole, or more ranges than one, which need not be honoured.
    All,
    /// A part that is there.
    Part {
        /// First byte.
        start: u64,
        /// Bytes; at least one.
        count: u64,
    },
    /// A part beyond the end.
    Nothing,
}

/// Reads a `Range` header for a file of `length` bytes.
pub fn wanted(text: &str, length: u64) -> Wanted {
    let Some(range) = text.strip_prefix("bytes=") else { return Wanted::All };
    let Some((first, last)) = range.split_once('-') else { return Wanted::All };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok());
    let (start, end) = match (first, last) {
        ("", "") => return Wanted::All,
        ("", count) => match number(count).flatten() {
            Some(0) => return Wanted::Nothing,
            Some(count) => (length.saturating_sub(count), length),
            None => return Wanted::All,
        },
        (first, last) => {
            let Some(start) = number(first).flatten() else { return Wanted::All };
            let end = match last {
                "" => length,
                last => match number(last).flatten() {
                    Some(last) if last >= start => length.min(u64::saturating_add(last, 1)),
                    _ => return Wanted::All,
                },
            };
            (start, end)
        }
    };
    if start >= end {
        return Wanted::Nothing;
    }
    Wanted::Part { start, count: end - start }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read_as_http_has_them() {
        let part = |start, count| Wanted::Part { start, count };
        for (text, expected) in [
            ("bytes=0-3", part(0, 4)),
            ("bytes=8-", part(8, 2)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-30", part(0, 10)),
            ("bytes=5-100", part(5, 5)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-1", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("lines=1-2", Wanted::All),
        ] {
            assert_eq!(wanted(text, 10), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(text in "bytes=[0-9]{0,22}-[0-9]{0,22}", length in any::<u64>()) {
            if let Wanted::Part { start, count } = wanted(&text, length) {
                prop_assert!(count > 0 && start.checked_add(count).is_some_and(|end| end <= length));
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>(), length in any::<u64>()) {
            let _ = wanted(&text, length);
            let _ = wanted(&format!("bytes={text}"), length);
        }
    }
}
