//! How a mapping of the file is read: known keys into fields, unknown ones kept with their position.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

/// A value with its position, or nothing (`key:` alone, `null`).
pub(crate) type Given<T> = Option<Spanned<Option<T>>>;

/// A mapping with known keys.
pub(crate) trait Section: Default {
    /// Its keys.
    const KEYS: &'static [&'static str];

    /// Reads the value of `key`; `false`, and nothing read, when it is not known.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// A mapping as read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyed<T> {
    pub(crate) known: T,
    pub(crate) unknown: Vec<Spanned<String>>,
}

/// A mapping of texts, in the file's order; a value is as written, so that `true`, `10` and `0.70` stay so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs(pub(crate) Vec<(Spanned<String>, Spanned<Option<String>>)>);

/// A mapping of sections by name, in the file's order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named<T>(pub(crate) Vec<(Spanned<String>, Option<Keyed<T>>)>);

/// Declares a section: its struct, and each field with the key it is read from.
macro_rules! section {
    ($(#[$meta:meta])* struct $name:ident { $($key:literal => $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $name { $(pub(crate) $field: $type,)* }

        impl Section for $name {
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
                match key {
                    $($key => self.$field = map.next_value()?,)*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }
    };
}
pub(crate) use section;

impl<'de, T: Section> Deserialize<'de> for Keyed<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Section> Visitor<'de> for Reader<T> {
            type Value = Keyed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a mapping with keys such as {}", T::KEYS.join(", "))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keyed<T>, A::Error> {
                let mut read = Keyed { known: T::default(), unknown: Vec::new() };
                while let Some(key) = map.next_key::<Spanned<String>>()? {
                    if !read.known.take(&key.value, &mut map)? {
                        map.next_value::<IgnoredAny>()?;
                        read.unknown.push(key);
                    }
                }
                Ok(read)
            }
        }
        from.deserialize_map(Reader(PhantomData))
    }
}

/// Reads every entry of a mapping, in order.
struct Entries<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
    type Value = Vec<(Spanned<String>, V)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Entries(PhantomData)).map(Self)
    }
}

impl<'de, T: Section> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Entries(PhantomData)).map(Self)
    }
}

impl Pairs {
    /// Where the value of `key` stands.
    pub(crate) fn place(&self, key: &str) -> Option<serde_saphyr::Location> {
        let (name, value) = self.0.iter().find(|(name, _)| name.value == key)?;
        // A value that is empty has no extent to point at.
        let place = if value.value.is_some() { value.referenced } else { name.referenced };
        Some(place)
    }

    /// Where `key` itself stands.
    pub(crate) fn key_place(&self, key: &str) -> Option<serde_saphyr::Location> {
        self.0.iter().find(|(name, _)| name.value == key).map(|(name, _)| name.referenced)
    }
}

/// The text that was given, or an empty one.
pub(crate) fn text(given: Given<String>) -> String {
    given.and_then(|spanned| spanned.value).unwrap_or_default()
}

/// The text that was given, and where.
pub(crate) fn given(given: Given<String>) -> Option<(String, serde_saphyr::Location)> {
    let spanned = given?;
    Some((spanned.value?, spanned.referenced))
}
