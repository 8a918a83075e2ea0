//! What is believed of an answer with a good status, and of a `verify` that says yes.

use keywheel_sdk::{Answer, Effect, Retry, RevokeHow, Rotator, Severity};
use serde_json::json;

use crate::fake::{DECLARATION, Fake, Fault, call};

const REFUSED: &str = "    refused: [401, 403]\n";

#[tokio::test]
async fn a_verify_that_accepts_any_key_proves_nothing() {
    let fake = Fake::start().await;
    let target = fake.target(json!({}));
    let key = fake.rotator.generate(&call(&target), None).await.unwrap();
    fake.rotator.apply(&call(&target), &key, None).await.unwrap();
    assert_eq!(fake.count("verify"), 2, "the key and a wrong one");
    fake.scene().accepts_any = true;
    let error = fake.rotator.apply(&call(&target), &key, None).await.unwrap_err();
    assert_eq!((error.effect, error.retry), (Effect::None, Retry::Never));
    assert_eq!(error.code, "verify-proves-nothing");
    let findings = fake.rotator.preflight(&call(&target), Some(&key)).await.unwrap();
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].what.contains("`verify` accepts any key"), "{findings:?}");

    // Nor is a `verify` believed of which that is not known.
    fake.scene().accepts_any = false;
    fake.fault("verify", Fault::After(200, String::new()));
    fake.fault("verify", Fault::Instead(500, &[], String::new()));
    let error = fake.rotator.apply(&call(&target), &key, None).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "status-500"));
    assert!(error.message.contains("wrong key"), "{error}");
}

#[tokio::test]
async fn a_provider_that_locks_out_is_asked_no_wrong_key() {
    let more = format!("{REFUSED}    holds: \"$.user\"\n    negative_control: false\n");
    let fake = Fake::with(&DECLARATION.replace(REFUSED, &more)).await;
    let target = fake.target(json!({}));
    let key = fake.rotator.generate(&call(&target), None).await.unwrap();
    fake.rotator.apply(&call(&target), &key, None).await.unwrap();
    fake.rotator.preflight(&call(&target), Some(&key)).await.unwrap();
    assert_eq!(fake.count("verify"), 2);
}

#[tokio::test]
async fn a_good_status_without_what_it_must_hold_is_no_answer() {
    let holds = format!("{REFUSED}    holds: \"$[?$.result.status == 'active']\"\n");
    let fake = Fake::with(&DECLARATION.replace(REFUSED, &holds)).await;
    let key = fake.has("live", None);
    for (status, body, expected) in [
        (200, json!({ "result": { "status": "active" } }).to_string(), "yes"),
        (200, json!({ "result": { "status": "disabled" } }).to_string(), "unknown"),
        (200, "{}".to_owned(), "unknown"),
        (200, "<html>sign in".to_owned(), "unknown"),
        (200, String::new(), "unknown"),
        (401, "<html>".to_owned(), "no"),
        (400, json!({ "result": { "status": "active" } }).to_string(), "unknown"),
    ] {
        fake.fault("verify", Fault::Instead(status, &[], body.clone()));
        assert_eq!(said(&fake, &key).await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn what_a_refusal_holds_tells_it_from_other_failures() {
    let refused = "    refused: [400]\n    refused_if: \"$[?$.error == 'invalid_client']\"\n    holds: \"$.ok\"\n";
    let fake = Fake::with(&DECLARATION.replace(REFUSED, refused)).await;
    let key = fake.has("live", None);
    for (status, body, expected) in [
        (200, "{\"ok\": true}", "yes"),
        (200, "{\"ok\": true, \"error\": \"invalid_client\"}", "no"),
        (200, "{\"ok\": false, \"error\": \"invalid_client\"}", "no"),
        (200, "{\"ok\": false, \"error\": \"later\"}", "unknown"),
        (200, "{\"ok\": null}", "unknown"),
        (200, "<html>", "unknown"),
        (400, "{\"error\": \"invalid_client\"}", "no"),
        (400, "{\"error\": \"invalid_scope\"}", "unknown"),
        (400, "{\"ok\": true}", "unknown"),
        (400, "<html>", "unknown"),
        (401, "{\"error\": \"invalid_client\"}", "unknown"),
    ] {
        fake.fault("verify", Fault::Instead(status, &[], body.to_owned()));
        assert_eq!(said(&fake, &key).await, expected, "{status} {body}");
    }
}

async fn said(fake: &Fake, key: &keywheel_sdk::Bundle) -> &'static str {
    match fake.rotator.probe(&call(&fake.target(json!({}))), key, &[]).await {
        Answer::Yes => "yes",
        Answer::No { .. } => "no",
        Answer::Partly { .. } => "partly",
        Answer::Unknown(error) => {
            assert_eq!(error.effect, Effect::None);
            "unknown"
        }
    }
}

#[tokio::test]
async fn changes_with_a_good_status_alone_may_not_have_happened() {
    let declaration = DECLARATION
        .replace("    quota: [409]\n", "    quota: [409]\n    holds: \"$.ok\"\n")
        .replace("    query: { limit: \"2\" }\n", "    query: { limit: \"2\" }\n    holds: \"$.ok\"\n")
        .replace("    expect: [204]\n    gone: [404]\n", "    expect: [200]\n    gone: [404]\n    holds: \"$.ok\"\n");
    let fake = Fake::with(&declaration).await;
    let target = fake.target(json!({}));
    let ok = |more: &str| format!("{{\"ok\": true{more}}}");
    // Made, and not said so.
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, "lost-answer"));
    // A list that does not say so: the provider has failed, as with a status of 500.
    let error = fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Now, "no-answer"));
    let (previous, current) = (fake.has("old", None), fake.has("live", None));
    let how = RevokeHow { disable: false, terminate_sessions: false };
    for (disable, delete, expected) in
        [("{\"ok\": false}", "", Some("disable")), (&ok(""), "", Some("delete")), (&ok(""), &ok(""), None)]
    {
        fake.fault("disable", Fault::After(200, disable.to_owned()));
        if expected != Some("disable") {
            fake.fault("delete", Fault::After(200, delete.to_owned()));
        }
        let ended = fake.rotator.revoke(&call(&target), &previous, &current, how).await;
        match expected {
            None => ended.unwrap(),
            Some(name) => {
                let error = ended.unwrap_err();
                assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, "lost-answer"));
                assert!(error.message.contains(name), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_about_another_key_is_none() {
    let fake = Fake::with(&DECLARATION.replace(REFUSED, &format!("{REFUSED}    key_id: \"$.key.id\"\n"))).await;
    let key = fake.has("live", None);
    for (status, body, expected) in [
        (200, "{\"key\": {\"id\": \"live\"}}", "yes"),
        (200, "{\"key\": {\"id\": \"other\"}}", "unknown"),
        (200, "{\"key\": null}", "unknown"),
        (200, "<html>", "unknown"),
        (401, "{\"key\": {\"id\": \"other\"}}", "no"),
    ] {
        fake.fault("verify", Fault::Instead(status, &[], body.to_owned()));
        assert_eq!(said(&fake, &key).await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn a_key_that_verify_echoes_is_not_told() {
    let fake = Fake::with(&DECLARATION.replace(REFUSED, &format!("{REFUSED}    key_id: \"$.key\"\n"))).await;
    let key = fake.has("a.b", None);
    for (status, body, told) in [
        (400, "{\"error\": \"canary-a.b\", \"code\": \"bad_key\"}", "bad_key"),
        (400, "{\"error\": \"canary-a.b2\", \"code\": 17}", ": 17"),
        (404, "{\"error\": \"the key canary-a.b\"}", "404 to `verify`"),
        (500, "you sent canary%2Da%2eb", "500"),
        (200, "{\"key\": \"canary-a.b\"}", "another key than `a.b`"),
    ] {
        fake.fault("verify", Fault::Instead(status, &[], body.to_owned()));
        let Answer::Unknown(error) = fake.rotator.probe(&call(&fake.target(json!({}))), &key, &[]).await else {
            panic!("{status} {body}")
        };
        assert!(!error.message.contains("canary") && error.message.contains(told), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_verify_may_need_something_of_the_admins_beside_the_key() {
    let verify = "auth: { headers: { X-Api-Key: \"${admin.password}\", Authorization: \"Bearer ${key.key}\" } }";
    let declaration = DECLARATION.replace("auth: { bearer: \"${key.key}\" }", verify);
    let fake = Fake::with(&declaration).await;
    let target = fake.target(json!({}));
    let key = fake.rotator.generate(&call(&target), None).await.unwrap();
    fake.rotator.apply(&call(&target), &key, None).await.unwrap();
}

#[tokio::test]
async fn a_key_that_nothing_proves_is_not_verified_and_can_be_taken_back() {
    let fake = Fake::start().await;
    let target = fake.target(json!({}));
    let live = fake.has("live", None);
    let key = fake.rotator.generate(&call(&target), Some(&live)).await.unwrap();
    fake.scene().accepts_any = true;
    // A crash within `apply` may leave it settled by a look at the candidate alone.
    let error = fake.rotator.verify(&call(&target), &key, Some(&live), &[]).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "verify-proves-nothing"));
    fake.rotator.restore(&call(&target), &key, Some(&live)).await.unwrap();
    assert_eq!(fake.ids(), ["live"], "the list says that it is gone");
}

#[tokio::test]
async fn nothing_is_deleted_by_the_id_of_another_key() {
    let fake = Fake::with(&DECLARATION.replace(REFUSED, &format!("{REFUSED}    key_id: \"$.key.id\"\n"))).await;
    let target = fake.target(json!({}));
    let (live, _) = (fake.has("live", None), fake.has("old", None));
    let previous = fake.has("of somebody", None);
    let about = |id: &str| Fault::Instead(200, &[], json!({ "key": { "id": id } }).to_string());
    fake.fault("verify", about("live"));
    fake.fault("verify", about("old"));
    let how = RevokeHow { disable: false, terminate_sessions: false };
    let error = fake.rotator.revoke(&call(&target), &previous, &live, how).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Never, "other-key"));
    assert_eq!(fake.ids(), ["live", "old", "of somebody"]);
}
