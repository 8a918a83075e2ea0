//! The JSON Schema of declarations, for editors.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::document::{Document, Entries, Kind};

/// The JSON Schema (draft 7, which editors know best) of a declaration. Ends with a newline.
///
/// What it allows can still be refused: which keys belong to which request, and what variables stand where, is told by
/// [`crate::Provider::parse`].
pub fn provider_schema() -> String {
    let settings = SchemaSettings::draft07().for_deserialize();
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<Document>().to_value();
    drop_null(&mut schema);
    let mut text = serde_json::to_string_pretty(&sorted(schema)).expect("a schema is plain JSON");
    text.push('\n');
    text
}

/// Takes `null` out of every choice, which stands there for each key that may be absent: a key with nothing behind it is refused.
fn drop_null(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    map.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(one)] = choices.as_slice() {
                    let one = one.clone();
                    map.remove("anyOf");
                    // The key's own comment says more than that of its type.
                    one.into_iter().for_each(|(key, value)| {
                        map.entry(key).or_insert(value);
                    });
                }
            }
            map.values_mut().for_each(drop_null);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Keys in the order of the alphabet, whatever features of the JSON library others in a build have asked for.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        BTreeMap::<String, T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, T>::json_schema(generator)
    }
}

impl JsonSchema for Kind {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Value::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Value::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's switch, not the program's")]
    #[test]
    fn the_committed_schema_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/provider.schema.json");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(&path, provider_schema()).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        let update = "UPDATE_SCHEMA=1 cargo test -p keywheel-apikey schema";
        assert_eq!(found, provider_schema(), "schema/provider.schema.json is stale: {update}");
    }

    /// Each key has a sentence for whoever looks at it in an editor, and no map takes keys that mean nothing.
    #[test]
    fn every_key_is_explained_and_unknown_ones_are_refused() {
        fn look(at: &str, value: &Value, wrong: &mut Vec<String>) {
            let Value::Object(map) = value else { return };
            if let Some(Value::Object(keys)) = map.get("properties") {
                if map.get("additionalProperties") != Some(&Value::Bool(false)) {
                    wrong.push(format!("{at} takes any key"));
                }
                let silent = keys.iter().filter(|(_, key)| key.get("description").is_none());
                wrong.extend(silent.map(|(key, _)| format!("{at}.{key} is not explained")));
            }
            map.iter().for_each(|(key, value)| look(key, value, wrong));
        }
        let schema: Value = serde_json::from_str(&provider_schema()).unwrap();
        let mut wrong = Vec::new();
        look("", &schema, &mut wrong);
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(!provider_schema().contains("\"null\""));
    }
}
