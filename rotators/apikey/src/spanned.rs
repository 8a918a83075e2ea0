//! A value with its place, which a schema sees as the value alone.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer};
use serde_yaml::Location;

/// A value of a declaration and where it stands.
#[derive(Clone)]
pub(crate) struct Spanned<T> {
    pub value: T,
    /// Where it is used.
    pub referenced: Location,
    /// Where it is written, which is another place if it came by an alias.
    pub defined: Location,
}

impl<T> Spanned<T> {
    pub fn new(value: T, referenced: Location, defined: Location) -> Self {
        Spanned { value, referenced, defined }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let serde_yaml::Spanned { value, referenced, defined } = serde_yaml::Spanned::deserialize(deserializer)?;
        Ok(Spanned { value, referenced, defined })
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
