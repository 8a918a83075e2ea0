//! Keys that hold no tag: all keys of the target are ours.

use keywheel_sdk::{Bundle, Effect, Retry, Rotator, SettingKind, Severity, Target};
use serde_json::json;

use crate::fake::{DECLARATION, Fake, call, id};

async fn fake() -> Fake {
    let declaration = DECLARATION
        .replace("tag: \"keywheel:${rotation}\"\n", "exclusive: true\n")
        .replace("name: \"${tag}\", ", "")
        .replace(", tag: \"$.name\"", "");
    Fake::with(&declaration).await
}

fn target(fake: &Fake) -> Target {
    fake.target(json!({ "exclusive": true }))
}

#[tokio::test]
async fn a_policy_must_say_that_the_target_is_ours() {
    let fake = fake().await;
    let settings = fake.rotator.describe().settings;
    let setting = settings.iter().find(|setting| setting.name == "exclusive").unwrap();
    assert!(setting.required && setting.kind == SettingKind::Boolean);
    assert!(setting.help.contains("deletes those that are neither current nor previous"));
    fake.rotator.check_settings(&target(&fake).settings).unwrap();
    for settings in [json!({}), json!({ "exclusive": false }), json!({ "exclusive": "yes" })] {
        let target = fake.target(settings);
        let message = fake.rotator.check_settings(&target.settings).unwrap_err();
        assert!(message.starts_with("`target.exclusive` must be `true`"), "{message}");
        assert_eq!(fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap_err().code, "settings");
    }
    // And nothing else may say so.
    let tagged = Fake::start().await;
    let message = tagged.rotator.check_settings(&tagged.target(json!({ "exclusive": true })).settings).unwrap_err();
    assert!(message.contains("is not a setting"), "{message}");
}

#[tokio::test]
async fn all_keys_go_but_what_is_kept() {
    let fake = fake().await;
    let target = target(&fake);
    let (live, previous) = (fake.has("live", None), fake.has("previous", Some("by hand")));
    fake.has("orphan", None);
    fake.rotator.sweep(&call(&target), &[], &[&live, &previous]).await.unwrap();
    assert_eq!(fake.ids(), ["live", "previous"]);
    let made = fake.rotator.generate(&call(&target), Some(&live)).await.unwrap();
    assert_eq!(fake.scene().bodies[0], json!({ "scopes": ["read", "write"], "count": 1 }));
    // A candidate that is rolled back, as any other that is not kept.
    fake.rotator.sweep(&call(&target), &[], &[&live, &previous]).await.unwrap();
    assert_eq!(fake.ids(), ["live", "previous"]);
    assert_eq!(id(&made), "new1");
}

#[tokio::test]
async fn nothing_goes_while_it_is_not_known_what_is_live() {
    let fake = fake().await;
    let target = target(&fake);
    let sweep = async |keep: &[&Bundle]| fake.rotator.sweep(&call(&target), &[], keep).await;
    fake.has("a", None);
    fake.has("b", None);
    let error = sweep(&[]).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Never, "live-key-unknown"));
    let elsewhere = Bundle::new().with("key_id", keywheel_sdk::Secret::new("c".to_owned()));
    let error = sweep(&[&elsewhere]).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Never, "not-listed"));
    assert_eq!(sweep(&[&Bundle::new()]).await.unwrap_err().effect, Effect::None);
    assert_eq!(fake.ids(), ["a", "b"]);
    fake.scene().keys.remove(0);
    assert_eq!(sweep(&[&elsewhere]).await.unwrap_err().code, "not-listed");
    // One alone is what the answer to the very first creation leaves, when it is lost.
    sweep(&[]).await.unwrap();
    assert!(fake.ids().is_empty());
    sweep(&[]).await.unwrap();
}

#[tokio::test]
async fn preflight_warns_of_what_would_go() {
    let fake = fake().await;
    let target = target(&fake);
    let live = fake.has("live", None);
    let findings = fake.rotator.preflight(&call(&target), Some(&live)).await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Fine), "{findings:?}");
    fake.has("other", None);
    let findings = fake.rotator.preflight(&call(&target), Some(&live)).await.unwrap();
    assert_eq!(findings[0].severity, Severity::Warning);
    assert_eq!(findings[0].what, "the admin sees 2 keys, 1 of them beside the live one");
    assert_eq!(fake.ids(), ["live", "other"]);
}
