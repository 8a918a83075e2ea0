//! Bundles in messages: an object of texts. Nowhere else is a secret written out, which is why [`Bundle`] itself cannot do it.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Bundle, Secret};

/// A bundle that a message holds.
pub(super) struct Fields(pub Bundle);

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.fields().map(|(name, value)| (name, Value(value))))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fieldwise)
    }
}

struct Fieldwise;

impl<'de> Visitor<'de> for Fieldwise {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut bundle = Bundle::new();
        while let Some((name, value)) = map.next_entry::<String, Text>()? {
            // Of two values nobody could tell which one is meant.
            if bundle.get(&name).is_ok() {
                return Err(A::Error::custom("a field stands twice"));
            }
            bundle = bundle.with(&name, value.0);
        }
        Ok(Fields(bundle))
    }
}

/// A secret text as it is read: zeroed, also where what comes after it is wrong.
struct Text(Secret);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Text(Secret::new(text)))
    }
}

struct Value<'a>(&'a Secret);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.expose(|text| serializer.serialize_str(text))
    }
}

/// For a member that holds one bundle or none.
pub(super) mod maybe {
    use super::*;

    pub fn serialize<S: Serializer>(bundle: &Option<Bundle>, serializer: S) -> Result<S::Ok, S::Error> {
        bundle.as_ref().map(|bundle| Fields(bundle.duplicate())).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bundle>, D::Error> {
        Ok(Option::<Fields>::deserialize(deserializer)?.map(|fields| fields.0))
    }
}

/// For a member that holds some.
pub(super) mod list {
    use super::*;

    pub fn serialize<S: Serializer>(bundles: &[Bundle], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(bundles.iter().map(|bundle| Fields(bundle.duplicate())))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bundle>, D::Error> {
        Ok(Vec::<Fields>::deserialize(deserializer)?.into_iter().map(|fields| fields.0).collect())
    }
}
