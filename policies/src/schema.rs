//! The JSON Schemas of policies and of `keywheel.yaml`, for editors.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};

use crate::document::{PolicyDocument, SettingsDocument};

/// The JSON Schema (draft 7, which editors know best) of a policy file. Ends with a newline.
pub fn policy_schema() -> String {
    schema::<PolicyDocument>()
}

/// The JSON Schema of `keywheel.yaml`. Ends with a newline.
pub fn settings_schema() -> String {
    schema::<SettingsDocument>()
}

fn schema<T: JsonSchema>() -> String {
    // An absent key is no null: `owner:` with nothing behind it is refused.
    let settings = SchemaSettings::draft07().for_deserialize();
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value();
    drop_null(&mut schema);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

/// Takes `null` out of every choice: schemars writes it for each `Option`.
fn drop_null(value: &mut serde_json::Value) {
    use serde_json::Value;
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::consumers::{CONSUMER, EXEC, FILE, INPUT, SIGNAL, SIGNALS};
    use crate::notifiers::{CHAT, DIGEST, EMAIL, LOGIN, NOTIFIER, REFERENCE, TLS, WEBHOOK};
    use crate::notify::{self, NOTIFY};
    use crate::policy::{
        ADMIN, ADOPT, ALTERNATING, CHARSETS, CHECK, CHECKS, CLASSES, CUSTOM, DAYS, EXHAUSTED, FIRST, GENERATE,
        GRANT_PARITY, HEARTBEAT, IN_PLACE, ON_DEADLINE, ON_DRIFT, ON_FAILURE, POLICY, REVOKE, REVOKE_WHEN, SCHEDULE,
        SECRET, STRATEGY, WINDOW,
    };
    use crate::settings::{DEADLINES, FREEZE, LIMITS, LOCAL, MASTER_KEY, SECRETS, SETTINGS, STATE};
    use crate::walk::Keys;

    #[expect(clippy::disallowed_methods, reason = "a test's switch, not the program's")]
    fn committed(name: &str, generated: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(&path, generated).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, generated, "schema/{name} is stale: UPDATE_SCHEMA=1 cargo test -p keywheel-policies schema");
    }

    #[test]
    fn the_committed_schemas_are_current() {
        committed("policy.schema.json", &policy_schema());
        committed("keywheel.schema.json", &settings_schema());
    }

    fn names<T>(words: &[(&'static str, T)]) -> BTreeSet<String> {
        words.iter().map(|(word, _)| (*word).to_owned()).collect()
    }

    /// The keys of a definition, or of the document itself.
    fn keys_of(schema: &Value, definition: Option<&str>) -> BTreeSet<String> {
        let map = definition.map_or(schema, |name| &schema["definitions"][name]);
        assert_eq!(map["additionalProperties"], false, "{definition:?} refuses unknown keys");
        map["properties"].as_object().unwrap().keys().cloned().collect()
    }

    fn words_of(schema: &Value, definition: &str) -> BTreeSet<String> {
        fn collect(value: &Value, words: &mut BTreeSet<String>) {
            match value {
                Value::Object(map) => {
                    words.extend(map.get("const").and_then(Value::as_str).map(str::to_owned));
                    let list = map.get("enum").and_then(Value::as_array);
                    words.extend(list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
                    map.get("oneOf").into_iter().for_each(|choices| collect(choices, words));
                }
                Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let mut words = BTreeSet::new();
        collect(&schema["definitions"][definition], &mut words);
        words
    }

    fn same_keys(schema: &Value, pairs: &[(Option<&str>, &Keys)]) {
        for (definition, keys) in pairs {
            let walked: BTreeSet<String> = keys.keys.iter().map(|key| (*key).to_owned()).collect();
            assert_eq!(walked, keys_of(schema, *definition), "{}", keys.name);
        }
        let maps =
            schema["definitions"].as_object().unwrap().values().filter(|map| map.get("properties").is_some()).count();
        assert_eq!(maps + 1, pairs.len(), "every map of the schema is compared");
    }

    // With `Section::done`, which in debug builds checks that exactly its keys are asked for, these hold walk and schema
    // together.
    #[test]
    fn policies_have_the_keys_that_the_schema_has() {
        let schema: Value = serde_json::from_str(&policy_schema()).unwrap();
        same_keys(
            &schema,
            &[
                (None, &POLICY),
                (Some("Reference"), &ADMIN),
                (Some("StrategyMap"), &STRATEGY),
                (Some("InPlace"), &IN_PLACE),
                (Some("Alternating"), &ALTERNATING),
                (Some("Secret"), &SECRET),
                (Some("Schedule"), &SCHEDULE),
                (Some("Window"), &WINDOW),
                (Some("Generate"), &GENERATE),
                (Some("CustomCharset"), &CUSTOM),
                (Some("SqlCheck"), &CHECK),
                (Some("Revoke"), &REVOKE),
                (Some("OnFailure"), &ON_FAILURE),
                (Some("Heartbeat"), &HEARTBEAT),
                (Some("Notify"), &NOTIFY),
            ],
        );
    }

    #[test]
    fn settings_have_the_keys_that_the_schema_has() {
        let schema: Value = serde_json::from_str(&settings_schema()).unwrap();
        same_keys(
            &schema,
            &[
                (None, &SETTINGS),
                (Some("State"), &STATE),
                (Some("Secrets"), &SECRETS),
                (Some("Local"), &LOCAL),
                (Some("MasterKey"), &MASTER_KEY),
                (Some("Freeze"), &FREEZE),
                (Some("Plugin"), &crate::plugins::PLUGIN),
                (Some("Limits"), &LIMITS),
                (Some("Deadlines"), &DEADLINES),
                (Some("Consumer"), &CONSUMER),
                (Some("Exec"), &EXEC),
                (Some("File"), &FILE),
                (Some("FileSignal"), &SIGNAL),
                (Some("Notifier"), &NOTIFIER),
                (Some("Digest"), &DIGEST),
                (Some("Email"), &EMAIL),
                (Some("Login"), &LOGIN),
                (Some("Webhook"), &WEBHOOK),
                (Some("Chat"), &CHAT),
                (Some("TextReference"), &REFERENCE),
                (Some("Notify"), &NOTIFY),
            ],
        );
    }

    fn same_words<const N: usize>(schema: &Value, pairs: [(&str, BTreeSet<String>); N]) {
        for (definition, walked) in pairs {
            assert_eq!(walked, words_of(schema, definition), "{definition}");
        }
        let all = schema["definitions"].as_object().unwrap().keys();
        let all = all.filter(|name| !words_of(schema, name).is_empty()).count();
        assert_eq!(all, N, "every list of words of the schema is compared");
    }

    #[test]
    fn words_are_those_of_the_schema() {
        let policies: Value = serde_json::from_str(&policy_schema()).unwrap();
        let pairs = [
            ("Adopt", names(&ADOPT)),
            ("GrantParity", names(&GRANT_PARITY)),
            ("Day", names(&DAYS)),
            ("CharsetWord", names(&CHARSETS)),
            ("Class", names(&CLASSES)),
            ("First", names(&FIRST)),
            ("CheckWord", names(&CHECKS)),
            ("WhenWord", names(&REVOKE_WHEN)),
            ("OnDeadline", names(&ON_DEADLINE)),
            ("Exhausted", names(&EXHAUSTED)),
            ("OnDrift", names(&ON_DRIFT)),
            ("Own", BTreeSet::from(["self".to_owned()])),
            ("StrategyWord", BTreeSet::from(["overlapping".to_owned()])),
            ("NoticeWord", names(&notify::words())),
        ];
        same_words(&policies, pairs);
        let settings: Value = serde_json::from_str(&settings_schema()).unwrap();
        let pairs = [
            ("ExecInput", names(&INPUT)),
            ("Signal", names(&SIGNALS)),
            ("MailTls", names(&TLS)),
            ("NoticeWord", names(&notify::words())),
        ];
        same_words(&settings, pairs);
    }
}
