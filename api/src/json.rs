//! Reading JSON objects as tolerantly as the API's clients are used to.
//!
//! Keys match in any case, `null` counts as absent, unknown keys are skipped and the last of several
//! equal keys wins. [`tolerant!`] gives a struct `Deserialize` and `from_json` with these rules.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use thiserror::Error;

/// Why a body is not what it should be.
#[derive(Debug, Error)]
#[error("bad JSON: {0}")]
pub struct BadJson(#[from] serde_json::Error);

/// The fields of an object by lower-case key, without nulls.
pub(crate) struct Fields(HashMap<String, Value>);

impl Fields {
    /// Takes the field `key`; an absent one is the default.
    pub(crate) fn take<T: Field, E: Error>(&mut self, key: &str) -> Result<T, E> {
        let Some(value) = self.0.remove(&key.to_ascii_lowercase()) else {
            return Ok(T::default());
        };
        T::read(value).map_err(|error| E::custom(format_args!("{key}: {error}")))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_unit<E>(self) -> Result<Fields, E> {
        Ok(Fields(HashMap::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = HashMap::new();
        while let Some((mut key, value)) = map.next_entry::<String, Value>()? {
            key.make_ascii_lowercase();
            if !value.is_null() {
                fields.insert(key, value);
            }
        }
        Ok(Fields(fields))
    }
}

/// What a field can hold.
pub(crate) trait Field: Default {
    fn read(value: Value) -> Result<Self, serde_json::Error>;
}

macro_rules! plain_field {
    ($($of:ty),+) => { $(
        impl Field for $of {
            fn read(value: Value) -> Result<Self, serde_json::Error> {
                Self::deserialize(value)
            }
        }
    )+ };
}

plain_field!(String, bool, u64, f64);

impl Field for Vec<String> {
    fn read(value: Value) -> Result<Self, serde_json::Error> {
        let read = Vec::<Option<String>>::deserialize(value)?;
        Ok(read.into_iter().map(Option::unwrap_or_default).collect())
    }
}

impl Field for BTreeMap<String, String> {
    fn read(value: Value) -> Result<Self, serde_json::Error> {
        let read = BTreeMap::<String, Option<String>>::deserialize(value)?;
        Ok(read.into_iter().map(|(key, text)| (key, text.unwrap_or_default())).collect())
    }
}

impl Field for Option<String> {
    fn read(value: Value) -> Result<Self, serde_json::Error> {
        String::read(value).map(Some)
    }
}

impl Field for Option<u64> {
    fn read(value: Value) -> Result<Self, serde_json::Error> {
        u64::read(value).map(Some)
    }
}

/// Structs within structs: one, one that may be absent, or many.
pub(crate) trait Object: Default + for<'de> Deserialize<'de> {}

impl<T: Object> Field for Option<T> {
    fn read(value: Value) -> Result<Self, serde_json::Error> {
        T::deserialize(value).map(Some)
    }
}

impl<T: Object> Field for Many<T> {
    fn read(value: Value) -> Result<Self, serde_json::Error> {
        Vec::<T>::deserialize(value).map(Many)
    }
}

/// A list of objects.
pub(crate) struct Many<T>(pub(crate) Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> From<Many<T>> for Vec<T> {
    fn from(many: Many<T>) -> Self {
        many.0
    }
}

/// Gives a struct a tolerant `Deserialize` and `from_json`; `as` names a carrier other than the field's
/// own type.
macro_rules! tolerant {
    ($name:ident { $($field:ident : $key:literal $(as $carrier:ty)?),+ $(,)? }) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let mut fields = crate::json::Fields::deserialize(from)?;
                Ok(Self { $($field: crate::json::tolerant!(@take fields, $key $(, $carrier)?)),+ })
            }
        }

        impl crate::json::Object for $name {}

        impl $name {
            /// Reads a body: keys in any case, `null` for nothing, unknown keys skipped.
            ///
            /// # Errors
            /// When it is no JSON object or a field has the wrong type; says which.
            pub fn from_json(body: &[u8]) -> Result<Self, crate::json::BadJson> {
                Ok(serde_json::from_slice(body)?)
            }
        }
    };
    (@take $fields:ident, $key:literal) => { $fields.take($key)? };
    (@take $fields:ident, $key:literal, $carrier:ty) => { $fields.take::<$carrier, _>($key)?.into() };
}
pub(crate) use tolerant;
