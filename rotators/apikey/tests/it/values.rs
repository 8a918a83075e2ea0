//! Settings of each kind, from the policy into a request.

use keywheel_sdk::{Rotator, SettingKind};
use serde_json::{Value, json};

use crate::fake::{DECLARATION, Fake, call};

/// The declaration with a setting of each kind, and this body for `create`.
fn with(body: &str) -> String {
    let settings = "  user: { required: true, help: whose keys, names_target: true }
  scopes: { kind: texts, default: [read, write], help: what the key may do }
  count: { kind: integer, min: 1, max: 5, default: 1, help: how many }
  lifetime: { kind: duration, default: 90d, help: how long }
  permissions: { kind: json, default: [{ allow: { read: true } }], help: what the key may do }
";
    DECLARATION
        .replace("  user: { required: true, help: whose keys, names_target: true }\n", settings)
        .replace("json: { name: \"${tag}\", scopes: [read, write], count: 1 }", body)
}

#[tokio::test]
async fn a_setting_alone_in_a_body_has_its_own_type() {
    let body = "json: { name: \"${tag}\", s: \"${target.scopes}\", c: \"${target.count}\", l: \"${target.lifetime}\", \
                p: [\"${target.permissions}\"], t: \"n${target.count}-${target.lifetime}\", u: \"${target.user}\" }";
    let fake = Fake::with(&with(body)).await;
    let sent = |target: Value| async {
        fake.rotator.generate(&call(&fake.target(target)), None).await.unwrap();
        fake.scene().bodies.pop().unwrap()
    };
    assert_eq!(
        sent(json!({})).await,
        json!({
            "name": "keywheel:r-1", "s": ["read", "write"], "c": 1, "l": "90d",
            "p": [[{ "allow": { "read": true } }]], "t": "n1-90d", "u": "a/b?c#d"
        })
    );
    assert_eq!(
        sent(json!({ "scopes": ["a\"}"], "count": 5, "lifetime": "1d12h", "permissions": null })).await,
        json!({
            "name": "keywheel:r-1", "s": ["a\"}"], "c": 5, "l": "1d12h", "p": [null], "t": "n5-1d12h", "u": "a/b?c#d"
        })
    );
}

#[tokio::test]
async fn settings_are_of_their_kind() {
    let fake = Fake::with(&with("json: { name: \"${tag}\", s: \"${target.scopes}\" }")).await;
    let settings = fake.rotator.describe().settings;
    let kind = |name: &str| settings.iter().find(|setting| setting.name == name).unwrap().kind.clone();
    assert_eq!(kind("scopes"), SettingKind::Texts);
    assert_eq!(kind("count"), SettingKind::Integer { min: 1, max: 5 });
    assert_eq!(kind("lifetime"), SettingKind::Duration);
    assert_eq!(kind("permissions"), SettingKind::Json);
    for (more, part) in [
        (json!({ "scopes": "read" }), "`target.scopes` must be a list of texts"),
        (json!({ "scopes": [] }), "`target.scopes` is an empty list"),
        (json!({ "scopes": ["read", 5] }), "`target.scopes` has an item that must be a text"),
        (json!({ "scopes": [""] }), "`target.scopes` has an item that is empty"),
        (json!({ "count": 0 }), "`target.count` must be a whole number from 1 to 5"),
        (json!({ "count": 1.5 }), "`target.count` must be a whole number from 1 to 5"),
        (json!({ "count": "1" }), "`target.count` must be a whole number from 1 to 5"),
        (json!({ "lifetime": "90" }), "`target.lifetime` must be a duration, such as"),
        (json!({ "lifetime": 90 }), "`target.lifetime` must be a duration, such as"),
        (json!({ "lifetime": "0d" }), "`target.lifetime` is no time at all"),
    ] {
        let message = fake.rotator.check_settings(&fake.target(more.clone()).settings).unwrap_err();
        assert!(message.contains(part), "{more}: {message}");
    }
}

#[tokio::test]
async fn a_lifetime_becomes_the_end_in_three_spellings() {
    let body = "json: { name: \"${tag}\", d: \"${expires.date}\", t: \"${expires.time}\", s: \"${expires.seconds}\", \
                u: \"${expires.seconds}s\" }";
    let fake = Fake::with(&with(body).replace("fields:", "lifetime: \"${target.lifetime}\"\nfields:")).await;
    for (target, lifetime) in [(json!({}), 90 * 86_400), (json!({ "lifetime": "1d12h" }), 129_600)] {
        let before = now();
        fake.rotator.generate(&call(&fake.target(target)), None).await.unwrap();
        let sent = fake.scene().bodies.pop().unwrap();
        assert_eq!((&sent["s"], &sent["u"]), (&json!(lifetime), &json!(format!("{lifetime}s"))));
        let time: jiff::Timestamp = sent["t"].as_str().unwrap().parse().unwrap();
        assert!((before..=now()).contains(&(time.as_second() - lifetime)), "{sent}");
        assert!(sent["t"].as_str().unwrap().ends_with('Z') && time.subsec_nanosecond() == 0, "{sent}");
        assert_eq!(sent["d"].as_str().unwrap(), &sent["t"].as_str().unwrap()[..10]);
    }
}

#[expect(clippy::disallowed_methods, reason = "compares with what the program sent")]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
