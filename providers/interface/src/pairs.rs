//! Texts by name, kept small: environment, labels and annotations of thousands of deployed functions.
//!
//! A node of `BTreeMap<String, String>` has room for eleven pairs and takes 544 bytes for one; here a pair takes
//! 32 bytes and its characters.

use std::collections::BTreeMap;
use std::ops::Index;

/// Texts by name, ordered by name. Reading is fast; each change copies all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Box<[(Box<str>, Box<str>)]>);

impl Pairs {
    /// The text of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// Sets a text; the earlier one is dropped.
    pub fn insert(&mut self, name: impl Into<Box<str>>, text: impl Into<Box<str>>) {
        self.extend([(name, text)]);
    }

    /// Names and texts, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (&**name, &**text))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The same as a map that others take.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    }
}

impl From<BTreeMap<String, String>> for Pairs {
    fn from(map: BTreeMap<String, String>) -> Self {
        map.into_iter().collect()
    }
}

impl<const COUNT: usize> From<[(String, String); COUNT]> for Pairs {
    fn from(pairs: [(String, String); COUNT]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<N: Into<Box<str>>, T: Into<Box<str>>> FromIterator<(N, T)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(pairs: I) -> Self {
        let map: BTreeMap<Box<str>, Box<str>> =
            pairs.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
        Self(map.into_iter().collect())
    }
}

impl<N: Into<Box<str>>, T: Into<Box<str>>> Extend<(N, T)> for Pairs {
    fn extend<I: IntoIterator<Item = (N, T)>>(&mut self, pairs: I) {
        let known = std::mem::take(&mut self.0).into_iter();
        let more = pairs.into_iter().map(|(name, text)| (name.into(), text.into()));
        *self = known.chain(more).collect();
    }
}

impl Index<&str> for Pairs {
    type Output = str;

    fn index(&self, name: &str) -> &str {
        self.get(name).expect("whoever indexes knows that the name is there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map() {
        let mut pairs: Pairs = [("b", "2"), ("a", "1"), ("b", "3")].into_iter().collect();
        assert_eq!(pairs.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        pairs.insert("c", "4".to_owned());
        pairs.extend([("a", "5")]);
        assert_eq!((pairs.get("a"), &pairs["c"], pairs.get("d")), (Some("5"), "4", None));
        assert_eq!(Pairs::from(pairs.to_map()), pairs);
        pairs.clear();
        assert!(pairs.is_empty());
    }
}
