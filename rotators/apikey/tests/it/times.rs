//! When a key was last used, and when it ends.

use std::time::{Duration, SystemTime};

use keywheel_sdk::{Effect, Retry, Rotator};
use serde_json::{Value, json};

use crate::fake::{DECLARATION, Fake, Fault, call};

const EACH: &str = "each: { key_id: \"$.id\", tag: \"$.name\" }";
const FIELDS: &str = "fields: [key_id, key]";
const EXTRACT: &str = "extract: { key_id: \"$.id\", key: \"$.key\" }";

fn by_list() -> String {
    DECLARATION.replace(EACH, "each: { key_id: \"$.id\", tag: \"$.name\", last_used: \"$.used\" }")
}

fn by_request() -> String {
    let request = "  last_used:
    method: GET
    path: \"/v1/users/${target.user}/keys/${key.key_id}/usage\"
    expect: [200]
    at: \"$.used\"
    never: \"$[?$.service == 'N/A']\"
propagation";
    DECLARATION.replace("propagation", request)
}

#[tokio::test]
async fn when_a_key_was_last_used() {
    for declaration in [by_list(), by_request()] {
        let fake = Fake::with(&declaration).await;
        assert!(fake.rotator.describe().capabilities.last_used);
        let target = fake.target(json!({}));
        fake.has("other", None);
        let key = fake.has("live", None);
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        for (used, expected) in [
            (json!(null), Some(None)),
            (json!("2026-01-02T03:04:05Z"), Some(at(1_767_323_045))),
            (json!(1_767_323_045), Some(at(1_767_323_045))),
            // Some time that day: it may have been the last second.
            (json!("2026-01-02"), Some(at(1_767_398_399))),
            (json!("yesterday"), None),
            (json!(""), None),
            (json!([]), None),
        ] {
            fake.scene().keys[1].used = Some(used.clone());
            let answer = fake.rotator.last_used(&call(&target), &key).await;
            match expected {
                Some(expected) => assert_eq!(answer.unwrap(), expected, "{used}"),
                None => assert_eq!(answer.unwrap_err().code, "unexpected-answer", "{used}"),
            }
        }
        // What is not there is no `null`.
        fake.scene().keys[1].used = None;
        assert_eq!(fake.rotator.last_used(&call(&target), &key).await.unwrap_err().effect, Effect::None);
        // Other keys of the list are read all the same.
        fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap();
        fake.scene().keys.remove(1);
        let error = fake.rotator.last_used(&call(&target), &key).await.unwrap_err();
        assert_eq!(error.effect, Effect::None);
    }
    let fake = Fake::start().await;
    assert!(!fake.rotator.describe().capabilities.last_used);
}

#[tokio::test]
async fn a_use_of_today_is_not_in_the_future() {
    let fake = Fake::with(&by_list()).await;
    let key = fake.has("live", None);
    fake.scene().keys[0].used = Some(json!("9000-01-01"));
    let target = fake.target(json!({}));
    let used = fake.rotator.last_used(&call(&target), &key).await.unwrap().unwrap();
    assert!(used.elapsed().unwrap() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_request_may_say_never_in_its_own_way() {
    let fake = Fake::with(&by_request()).await;
    let key = fake.has("live", None);
    let target = fake.target(json!({}));
    fake.fault("last_used", Fault::Instead(200, &[], "{\"service\": \"N/A\"}".to_owned()));
    assert_eq!(fake.rotator.last_used(&call(&target), &key).await.unwrap(), None);
    for (status, body) in [(200, "{\"service\": \"s3\"}"), (200, "<html>"), (404, "{\"used\": null}"), (500, "")] {
        fake.fault("last_used", Fault::Instead(status, &[], body.to_owned()));
        assert!(fake.rotator.last_used(&call(&target), &key).await.is_err(), "{status} {body}");
    }
}

fn with_end() -> String {
    DECLARATION
        .replace(FIELDS, "fields: [key_id, key, expires_at]")
        .replace(EXTRACT, "extract: { key_id: \"$.id\", key: \"$.key\", expires_at: \"$.ends\" }")
}

#[tokio::test]
async fn a_key_that_has_ended_already_is_none_and_is_swept() {
    let fake = Fake::with(&with_end()).await;
    let target = fake.target(json!({}));
    for ends in [json!("2026-01-02T03:04:05Z"), json!("2026-01-02"), json!(1), json!("0001-01-01T00:00:00Z")] {
        fake.scene().ends = Some(ends.clone());
        let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
        let expected = (Effect::Unknown, Retry::Never, "expired");
        assert_eq!((error.effect, error.retry, error.code.as_str()), expected, "{ends}: {error}");
        assert!(error.message.contains("too short") && error.message.contains("clock"), "{error}");
        assert!(!error.message.contains("canary"), "{error}");
        assert_eq!(fake.ids().len(), 1, "{ends}");
        fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap();
        assert!(fake.ids().is_empty(), "{ends}");
    }
}

#[tokio::test]
async fn the_end_of_a_key_is_kept_in_one_spelling() {
    let fake = Fake::with(&with_end()).await;
    let target = fake.target(json!({}));
    for (ends, expected) in [
        (json!("2099-01-02T03:04:05+02:00"), Some("2099-01-02T01:04:05Z")),
        (json!(4_070_915_045_i64), Some("2099-01-01T01:44:05Z")),
        (json!("2099-01-02"), Some("2099-01-02T00:00:00Z")),
        (json!(null), Some("")),
        (json!("in a year"), None),
        (json!({}), None),
    ] {
        fake.scene().ends = Some(ends.clone());
        let made = fake.rotator.generate(&call(&target), None).await;
        match expected {
            Some(expected) => {
                let key = made.unwrap_or_else(|error| panic!("{ends}: {error}"));
                assert_eq!(key.get("expires_at").unwrap().expose(str::to_owned), expected, "{ends}");
            }
            None => assert_eq!(made.err().unwrap().effect, Effect::Unknown, "{ends}"),
        }
        fake.scene().keys.clear();
    }
    fake.scene().ends = None::<Value>;
    assert_eq!(fake.rotator.generate(&call(&target), None).await.err().unwrap().code, "lost-answer");
}
