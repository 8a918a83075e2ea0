//! `revoke`, `restore`: a key ends, and no other one.

use std::time::Duration;

use keywheel_sdk::{Bundle, Effect, Retry, RevokeHow, Rotator, Secret};
use serde_json::json;

use crate::fake::{DECLARATION, Fake, Fault, call};

const HOW: RevokeHow = RevokeHow { disable: false, terminate_sessions: false };

#[tokio::test]
async fn the_previous_key_is_disabled_deleted_and_seen_to_be_refused() {
    let fake = Fake::start().await;
    let (previous, current) = (fake.has("old", None), fake.has("live", Some("keywheel:r-1")));
    let target = fake.target(json!({}));
    fake.rotator.revoke(&call(&target), &previous, &current, HOW).await.unwrap();
    assert_eq!(fake.ids(), ["live"]);
    assert_eq!(fake.scene().log, ["verify", "disable", "delete", "verify"]);
    fake.rotator.revoke(&call(&target), &previous, &current, HOW).await.unwrap();
    assert_eq!(fake.ids(), ["live"], "gone already is fine");
}

#[tokio::test]
async fn the_previous_key_is_disabled_and_stays() {
    let fake = Fake::start().await;
    let (previous, current) = (fake.has("old", None), fake.has("live", Some("keywheel:r-1")));
    let target = fake.target(json!({}));
    fake.rotator.disable(&call(&target), &previous, &current).await.unwrap();
    assert_eq!(fake.ids(), ["old", "live"]);
    assert_eq!(fake.scene().log, ["verify", "disable", "verify"]);
    // Nor is the live key, whatever it is called.
    let error = fake.rotator.disable(&call(&target), &current, &current).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "same-key"));
    let error = fake.rotator.disable(&call(&target), &current, &previous).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "current-refused"), "the old one works no more");
}

#[tokio::test]
async fn the_live_key_is_never_ended() {
    let fake = Fake::start().await;
    let current = fake.has("live", None);
    let target = fake.target(json!({}));
    let same_id = Bundle::new().with("key_id", Secret::new("live".to_owned())).with("key", Secret::new("x".to_owned()));
    for error in [
        fake.rotator.revoke(&call(&target), &same_id, &current, HOW).await.unwrap_err(),
        fake.rotator.restore(&call(&target), &same_id, Some(&current)).await.unwrap_err(),
    ] {
        assert_eq!((error.effect, error.code.as_str()), (Effect::None, "same-key"));
    }
    assert!(fake.scene().log.is_empty());

    // Nor is its predecessor while it does not work itself.
    let previous = fake.has("old", None);
    fake.scene().keys[0].disabled = true;
    let error = fake.rotator.revoke(&call(&target), &previous, &current, HOW).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "current-refused"));
    assert_eq!(fake.ids(), ["live", "old"]);
}

#[tokio::test]
async fn a_key_without_what_the_proof_needs_is_not_ended() {
    let fake = Fake::start().await;
    let current = fake.has("live", None);
    fake.has("old", None);
    let target = fake.target(json!({}));
    let no_value = Bundle::new().with("key_id", Secret::new("old".to_owned()));
    let no_id = Bundle::new().with("key", Secret::new("canary-old".to_owned()));
    for incomplete in [no_value, no_id] {
        let error = fake.rotator.revoke(&call(&target), &incomplete, &current, HOW).await.unwrap_err();
        assert_eq!((error.effect, error.code.as_str()), (Effect::None, "missing-field"));
    }
    assert_eq!(fake.ids(), ["live", "old"]);
}

#[tokio::test]
async fn an_id_that_is_a_path_names_no_other_key() {
    let fake = Fake::start().await;
    let current = fake.has("live", None);
    let target = fake.target(json!({}));
    for odd in ["..", ".", "", "../keys/live", "x/../live", "live?x", "live#x", "live\r\nX: y"] {
        let candidate =
            Bundle::new().with("key_id", Secret::new(odd.to_owned())).with("key", Secret::new("x".to_owned()));
        let ended = fake.rotator.restore(&call(&target), &candidate, Some(&current)).await;
        assert_eq!(ended.is_err(), matches!(odd, "" | "." | ".."), "{odd:?}");
        assert_eq!(fake.ids(), ["live"], "{odd:?}");
    }
}

#[tokio::test]
async fn rolling_back_deletes_the_candidate_and_nothing_else() {
    let fake = Fake::start().await;
    let current = fake.has("live", Some("keywheel:r-0"));
    let target = fake.target(json!({}));
    let candidate = fake.rotator.generate(&call(&target), Some(&current)).await.unwrap();
    for _ in 0..2 {
        fake.rotator.restore(&call(&target), &candidate, Some(&current)).await.unwrap();
        fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap();
        assert_eq!(fake.ids(), ["live"]);
    }
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_may_have_happened() {
    for name in ["disable", "delete"] {
        let fake = Fake::start().await;
        let (previous, current) = (fake.has("old", None), fake.has("live", None));
        fake.fault(name, Fault::CutAfter);
        let target = fake.target(json!({}));
        let error = fake.rotator.revoke(&call(&target), &previous, &current, HOW).await.unwrap_err();
        assert_eq!(error.effect, Effect::Unknown, "{name}");
        fake.rotator.revoke(&call(&target), &previous, &current, HOW).await.unwrap();
        assert_eq!(fake.ids(), ["live"]);
    }
    // Refused, but after the key was disabled.
    let fake = Fake::start().await;
    let (previous, current) = (fake.has("old", None), fake.has("live", None));
    fake.fault("delete", Fault::Instead(403, &[], String::new()));
    let target = fake.target(json!({}));
    let error = fake.rotator.revoke(&call(&target), &previous, &current, HOW).await.unwrap_err();
    assert_eq!(error.effect, Effect::Unknown);
}

#[tokio::test]
async fn a_deleted_key_that_still_works_is_told() {
    let fake = Fake::with(&DECLARATION.replace("propagation: 2s", "propagation: 0s")).await;
    let (previous, current) = (fake.has("old", None), fake.has("live", None));
    for _ in 0..2 {
        fake.fault("verify", Fault::After(200, String::new()));
    }
    let target = fake.target(json!({}));
    let error = fake.rotator.revoke(&call(&target), &previous, &current, HOW).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, "still-accepted"));
}

#[tokio::test]
async fn a_provider_that_is_busy_with_a_key_is_asked_again_without_a_person() {
    for (status, headers, wait) in
        [(409, &[][..], 30), (423, &[][..], 30), (409, Vec::leak(vec![("retry-after", "7".to_owned())]), 7)]
    {
        let fake = Fake::start().await;
        let candidate = fake.has("new", None);
        fake.fault("disable", Fault::Instead(status, headers, String::new()));
        let target = fake.target(json!({}));
        let error = fake.rotator.restore(&call(&target), &candidate, None).await.unwrap_err();
        assert_eq!((error.effect, error.retry), (Effect::None, Retry::After(Duration::from_secs(wait))), "{status}");
        // After it was disabled something has changed.
        fake.fault("delete", Fault::Instead(status, headers, String::new()));
        let error = fake.rotator.restore(&call(&target), &candidate, None).await.unwrap_err();
        assert_eq!((error.effect, error.retry), (Effect::Unknown, Retry::After(Duration::from_secs(wait))), "{status}");
        fake.rotator.restore(&call(&target), &candidate, None).await.unwrap();
    }
}

#[tokio::test]
async fn a_status_for_several_mistakes_means_gone_only_with_the_right_words() {
    let gone = "    gone: [400]\n    gone_if: \"$.error[?search(@, 'no such key')]\"\npropagation";
    let fake = Fake::with(&DECLARATION.replace("    gone: [404]\npropagation", gone)).await;
    let (previous, current) = (fake.has("old", None), fake.has("live", None));
    let target = fake.target(json!({}));
    for (body, expected) in [
        ("{\"error\": {\"message\": \"malformed\"}}", Some(Effect::Unknown)),
        ("<html>no such key", Some(Effect::Unknown)),
        ("{\"error\": {\"message\": \"there is no such key here\"}}", None),
    ] {
        fake.fault("delete", Fault::Instead(400, &[], body.to_owned()));
        let ended = fake.rotator.revoke(&call(&target), &previous, &current, HOW).await;
        assert_eq!(ended.err().map(|error| error.effect), expected, "{body}");
    }
}
