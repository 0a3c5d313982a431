//! The key that was probably meant by one that is not known.

/// The key that was probably meant: one that is two edits away at most.
pub(crate) fn closest(key: &str, keys: &'static [&'static str]) -> Option<&'static str> {
    if key.len() > 40 {
        return None;
    }
    let plain = key.to_ascii_lowercase().replace('-', "_");
    let far = |known: &str| edits(&plain, known);
    let best = keys.iter().copied().min_by_key(|known| far(known))?;
    (far(best) <= 2.min(best.len() / 2)).then_some(best)
}

/// How many characters must change to make one word the other.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
