//! `sweep`, `generate`, `apply`, `verify`: a key comes into the world, or is certainly out of it.

use std::time::Duration;

use keywheel_sdk::{Admin, Answer, Check, Effect, Retry, Rotator, Secret, Severity};
use serde_json::json;

use crate::fake::{ADMIN, DECLARATION, Fake, Fault, call, id};

#[tokio::test]
async fn a_key_is_made_beside_the_first_with_the_rotations_tag() {
    let fake = Fake::start().await;
    let current = fake.has("old", None);
    let target = fake.target(json!({}));
    let call = call(&target);
    fake.rotator.sweep(&call, &[], &[]).await.unwrap();
    let key = fake.rotator.generate(&call, Some(&current)).await.unwrap();
    assert_eq!((id(&key).as_str(), key.fields().count()), ("new1", 2));
    fake.rotator.apply(&call, &key, Some(&current)).await.unwrap();
    fake.rotator.verify(&call, &key, Some(&current), &[Check::Login]).await.unwrap();
    assert_eq!(fake.rotator.probe(&call, &current, &[]).await, Answer::Yes);
    assert_eq!(fake.scene().bodies[0], json!({ "name": "keywheel:r-1", "scopes": ["read", "write"], "count": 1 }));
    fake.rotator.sweep(&call, &[], &[&key]).await.unwrap();
    assert_eq!(fake.ids(), ["old", "new1"]);
    let sql = fake.rotator.verify(&call, &key, None, &[Check::Sql("SELECT 1".to_owned())]).await.unwrap_err();
    assert_eq!((sql.effect, sql.retry), (Effect::None, Retry::Never));
}

#[tokio::test]
async fn a_key_whose_answer_was_lost_is_unknown_then_swept() {
    let lost = [
        Fault::CutAfter,
        Fault::After(500, "it broke".to_owned()),
        Fault::After(502, "<html>".to_owned()),
        Fault::After(201, "{\"id\": \"new1\", \"key\": ".to_owned()),
        Fault::After(201, "{\"error\": \"none\"}".to_owned()),
        Fault::After(201, "{\"id\": \"new1\", \"key\": null}".to_owned()),
        Fault::After(202, "{}".to_owned()),
        Fault::After(201, format!("{{\"id\": \"new1\", \"key\": \"{}\"}}", "x".repeat(10_000_000))),
        Fault::After(302, String::new()),
    ];
    for (case, fault) in lost.into_iter().enumerate() {
        let fake = Fake::start().await;
        for other in [Some("keywheel:r-0"), Some("keywheel:r-11"), Some("by hand"), None] {
            fake.has(&format!("k{other:?}").replace(['"', '(', ')', ' ', ':'], ""), other);
        }
        let before = fake.ids();
        fake.fault("create", fault);
        let target = fake.target(json!({}));
        let call = call(&target);
        let error = fake.rotator.generate(&call, None).await.err().unwrap();
        assert_eq!(error.effect, Effect::Unknown, "case {case}: {error}");
        assert!(!error.message.contains("canary"), "case {case}: {error}");
        assert_eq!(fake.ids().len(), 5, "case {case}");
        fake.rotator.sweep(&call, &[], &[]).await.unwrap();
        assert_eq!(fake.ids(), before, "case {case}");
        let key = fake.rotator.generate(&call, None).await.unwrap();
        assert_eq!(id(&key), "new2", "case {case}");
        let idempotency = fake.scene().idempotency.clone();
        assert_ne!(idempotency[0], idempotency[1], "the answer of a swept key must not come back");
    }
}

#[tokio::test]
async fn a_definite_no_has_done_nothing_and_says_when_to_come_back() {
    let header = |text: &str| [("retry-after", text.to_owned()), ("date", "Tue, 24 Nov 2026 10:00:00 GMT".to_owned())];
    let leak =
        |headers: [(&'static str, String); 2]| -> &'static [(&'static str, String)] { Vec::leak(headers.to_vec()) };
    let seconds = |n| Retry::After(Duration::from_secs(n));
    for (status, headers, effect, retry) in [
        (429, leak(header("7")), Effect::None, seconds(7)),
        (429, leak(header("Tue, 24 Nov 2026 10:02:00 GMT")), Effect::None, seconds(120)),
        (429, &[][..], Effect::None, Retry::Now),
        (503, leak(header("9")), Effect::None, seconds(9)),
        (503, &[], Effect::Unknown, Retry::Now),
        (401, &[], Effect::None, seconds(30)),
        (403, &[], Effect::None, seconds(30)),
        (400, &[], Effect::None, Retry::Never),
        (404, &[], Effect::None, Retry::Never),
        (408, &[], Effect::Unknown, Retry::Now),
        (429, leak(header("99999999")), Effect::None, seconds(3600)),
    ] {
        let fake = Fake::start().await;
        fake.fault("create", Fault::Instead(status, headers, format!("no,\n\u{1b}[31m {ADMIN} {}", "y".repeat(999))));
        let target = fake.target(json!({}));
        let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
        assert_eq!((error.effect, error.retry), (effect, retry), "{status}: {error}");
        assert!(!error.message.contains(ADMIN) && !error.message.contains('\u{1b}'), "{error}");
        assert!(error.message.len() < 500, "{error}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_has_happened() {
    let fake = Fake::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = fake.target(json!({ "url": format!("http://{closed}") }));
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Now, "no-connection"));
    // A handshake that fails has shown no request to anybody.
    let target = fake.target(json!({ "url": fake.url.replace("http:", "https:") }));
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "no-connection"), "{error}");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = fake.target(json!({ "url": format!("http://{}", silent.local_addr().unwrap()) }));
    let mut hasty = call(&target);
    hasty.until = std::time::Instant::now() + Duration::from_millis(200);
    let error = fake.rotator.generate(&hasty, None).await.err().unwrap();
    assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, "lost-answer"), "who read it and says nothing?");
    let mut late = call(&target);
    late.until = std::time::Instant::now();
    let error = fake.rotator.generate(&late, None).await.err().unwrap();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "deadline"));
}

#[tokio::test]
async fn a_full_target_is_refused_and_untouched() {
    let fake = Fake::start().await;
    let current = fake.has("live", Some("keywheel:r-0"));
    fake.has("theirs", Some("by hand"));
    fake.has("orphan", Some("keywheel:r-00"));
    fake.scene().limit = Some(3);
    let before = fake.ids();
    let target = fake.target(json!({}));
    let error = fake.rotator.generate(&call(&target), Some(&current)).await.err().unwrap();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "quota"));
    assert_eq!(fake.ids(), before);
}

#[tokio::test]
async fn a_status_for_several_mistakes_means_full_only_with_the_right_words() {
    let fake = Fake::with(&DECLARATION.replace("quota: [409]", "quota: [403]\n    quota_if: \"$.full\"")).await;
    let target = fake.target(json!({}));
    for (body, code) in [("{\"full\": true}", "quota"), ("{\"full\": false}", "status-403"), ("no", "status-403")] {
        fake.fault("create", Fault::Instead(403, &[], body.to_owned()));
        let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
        assert_eq!((error.effect, error.code.as_str()), (Effect::None, code), "{body}");
    }
}

#[tokio::test]
async fn a_key_may_rotate_itself_where_it_has_all_that_is_asked_of_the_admin() {
    for (declaration, expected) in [
        (DECLARATION.to_owned(), false),
        (DECLARATION.replace("${admin.password}", "${admin.key}"), true),
        (
            DECLARATION.replace("bearer: \"${admin.password}\"", "headers: { A: \"${admin.key}\", B: \"${admin.b}\" }"),
            false,
        ),
    ] {
        assert_eq!(Fake::with(&declaration).await.rotator.describe().capabilities.self_managed, expected);
    }
    let fake = Fake::with(&DECLARATION.replace("${admin.password}", "${admin.key}")).await;
    let mut target = fake.target(json!({}));
    target.admin = Admin::Credential(fake.has("live", None).with("key", Secret::new(ADMIN.to_owned())));
    fake.rotator.generate(&call(&target), None).await.unwrap();
}

#[tokio::test]
async fn a_new_key_may_be_refused_for_a_while() {
    let fake = Fake::start().await;
    let target = fake.target(json!({}));
    let call = call(&target);
    let key = fake.rotator.generate(&call, None).await.unwrap();
    fake.scene().lag = 2;
    fake.rotator.apply(&call, &key, None).await.unwrap();
    fake.scene().lag = 100;
    let error = fake.rotator.verify(&call, &key, None, &[]).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "refused"));
}

#[tokio::test]
async fn preflight_tells_what_it_sees_and_changes_nothing() {
    let fake = Fake::start().await;
    let current = fake.has("live", Some("keywheel:r-0"));
    fake.has("theirs", Some("keywheel: my own"));
    let target = fake.target(json!({}));
    let findings = fake.rotator.preflight(&call(&target), Some(&current)).await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Fine), "{findings:?}");
    assert_eq!(findings[0].what, "the admin sees 2 keys, 1 of them made by rotations");
    assert_eq!(fake.scene().log, ["list", "verify", "verify"]);

    fake.scene().keys.remove(0);
    fake.fault("list", Fault::Instead(403, &[], "no".to_owned()));
    let findings = fake.rotator.preflight(&call(&target), Some(&current)).await.unwrap();
    assert_eq!(findings.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::Error, Severity::Warning]);
    let findings = fake.rotator.preflight(&call(&target), Some(&current)).await.unwrap();
    assert!(findings.iter().any(|finding| finding.what.contains("not in the list")), "{findings:?}");
}
