//! What an answer is taken for, and where credentials go.

use keywheel_sdk::{Admin, Answer, Bundle, Origin, Retry, Rotator, Secret, Shape};
use serde_json::json;

use crate::fake::{ADMIN, DECLARATION, Fake, Fault, call};

#[tokio::test]
async fn only_declared_statuses_are_answers() {
    let fake = Fake::start().await;
    let key = fake.has("live", None);
    let target = fake.target(json!({}));
    for (status, expected) in [
        (200, "yes"),
        (401, "no"),
        (403, "no"),
        (201, "unknown"),
        (204, "unknown"),
        (301, "unknown"),
        (400, "unknown"),
        (404, "unknown"),
        (429, "unknown"),
        (500, "unknown"),
        (503, "unknown"),
    ] {
        fake.fault("verify", Fault::Instead(status, &[], "canary-live is what you sent".to_owned()));
        let answer = match fake.rotator.probe(&call(&target), &key, &[]).await {
            Answer::Yes => "yes",
            Answer::No { .. } => "no",
            Answer::Partly { .. } => "partly",
            Answer::Unknown(error) => {
                assert!(!error.message.contains("canary"), "{error}");
                "unknown"
            }
        };
        assert_eq!(answer, expected, "{status}");
    }
    fake.fault("verify", Fault::CutAfter);
    assert!(matches!(fake.rotator.probe(&call(&target), &key, &[]).await, Answer::Unknown(_)));
}

#[tokio::test]
async fn credentials_follow_no_redirect_and_no_link_to_another_host() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    let key = fake.has("live", None);
    let target = fake.target(json!({}));
    for status in [301, 302, 303, 307, 308] {
        let elsewhere: &'static [(&'static str, String)] = Vec::leak(vec![("location", other.url.clone())]);
        for name in ["create", "list", "verify", "disable"] {
            fake.fault(name, Fault::Instead(status, elsewhere, String::new()));
        }
        assert!(fake.rotator.generate(&call(&target), None).await.is_err());
        assert!(fake.rotator.sweep(&call(&target), &[], &[]).await.is_err());
        assert!(matches!(fake.rotator.probe(&call(&target), &key, &[]).await, Answer::Unknown(_)));
        assert!(fake.rotator.restore(&call(&target), &key, None).await.is_err());
    }
    let links = Fake::with(
        &DECLARATION.replace("next: { cursor: \"$.next_cursor\", parameter: cursor }", "next: { link: true }"),
    )
    .await;
    let link: &'static [(&'static str, String)] = Vec::leak(vec![("link", format!("<{}>; rel=next", other.url))]);
    links.fault("list", Fault::Instead(200, link, "{\"keys\": [{\"id\": 1}]}".to_owned()));
    let error = links.rotator.sweep(&call(&links.target(json!({}))), &[], &[]).await.unwrap_err();
    assert_eq!(error.code, "foreign-link");
    assert!(other.scene().log.is_empty());
}

#[tokio::test]
async fn an_admin_that_is_refused_or_missing_is_told_without_its_credential() {
    let fake = Fake::start().await;
    let mut target = fake.target(json!({}));
    let wrong = "wrong-canary-77";
    target.admin = Admin::Credential(Bundle::login("admin", Secret::new(wrong.to_owned())));
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert_eq!(error.code, "status-401");
    assert!(error.message.contains("unknown token Bearer [secret]"), "{error}");
    for value in [format!("{ADMIN}\r\nX-Other: 1"), "\u{0}".to_owned()] {
        target.admin = Admin::Credential(Bundle::login("admin", Secret::new(value)));
        let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
        assert_eq!((error.retry, error.code.as_str()), (Retry::Never, "unfit-value"));
    }
    target.admin = Admin::Own;
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert_eq!((error.retry, error.code.as_str()), (Retry::Never, "no-admin"));
    assert_eq!(fake.scene().log, ["create"]);
}

#[tokio::test]
async fn each_way_of_sending_a_value_keeps_it_whole() {
    let odd = "a\"},{\"x\": &=+% ü\\";
    for (body, auth) in [
        (
            "json: { name: \"${tag}\", note: \"${admin.note}\", of: [\"${target.user}\"]",
            "header: { name: Authorization, \
          value: \"Bearer ${admin.password}\" }",
        ),
        ("form: { name: \"${tag}\", note: \"${admin.note}\"", "bearer: \"${admin.password}\""),
    ] {
        let declaration = DECLARATION
            .replace("json: { name: \"${tag}\", scopes: [read, write], count: 1", body)
            .replace("bearer: \"${admin.password}\"", auth);
        let fake = Fake::with(&declaration).await;
        let mut target = fake.target(json!({}));
        let admin = Bundle::login("admin", Secret::new(ADMIN.to_owned()));
        target.admin = Admin::Credential(admin.with("note", Secret::new(odd.to_owned())));
        fake.rotator.generate(&call(&target), None).await.unwrap();
        let sent = fake.scene().bodies[0].clone();
        assert_eq!((&sent["name"], &sent["note"]), (&json!("keywheel:r-1"), &json!(odd)));
        assert!(sent.get("of").is_none_or(|of| *of == json!(["a/b?c#d"])));
    }
    let basic = "basic: { username: \"${admin.username}\", password: \"${admin.password}\" }";
    let fake = Fake::with(&DECLARATION.replace("bearer: \"${admin.password}\"", basic)).await;
    let mut target = fake.target(json!({}));
    target.admin = Admin::Credential(Bundle::login("admin", Secret::new(ADMIN.to_owned())));
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert!(error.message.contains("unknown token Basic [secret]\""), "{error}");
    target.admin = Admin::Credential(Bundle::login("ad:min", Secret::new(ADMIN.to_owned())));
    assert_eq!(fake.rotator.generate(&call(&target), None).await.err().unwrap().code, "unfit-value");
}

#[tokio::test]
async fn settings_are_checked_before_anything_is_opened() {
    let fake = Fake::start().await;
    let description = fake.rotator.describe();
    assert_eq!((description.kind.as_str(), description.origin), ("keyservice", Origin::Provider));
    assert_eq!((description.shapes, description.derived_fields.len()), (vec![Shape::Overlapping], 2));
    let check = |settings: serde_json::Value| fake.rotator.check_settings(settings.as_object().unwrap());
    check(json!({ "url": "https://keys.example", "user": "me" })).unwrap();
    check(json!({ "url": "http://localhost:8080/x/", "user": "me" })).unwrap();
    check(json!({ "url": "http://[::1]", "user": "me" })).unwrap();
    for (settings, part) in [
        (json!({ "user": "me" }), "`target.url` is missing"),
        (json!({ "url": "https://keys.example" }), "`target.user` is missing"),
        (json!({ "url": "http://keys.example", "user": "me" }), "plain http to another machine"),
        (json!({ "url": "http://localhost.example.com", "user": "me" }), "plain http to another machine"),
        (json!({ "url": "https://a:b@keys.example", "user": "me" }), "user or password"),
        (json!({ "url": "https://keys.example?x=1", "user": "me" }), "`?` or `#`"),
        (json!({ "url": "file:///etc/passwd", "user": "me" }), "has no host"),
        (json!({ "url": "keys.example", "user": "me" }), "is no address"),
        (json!({ "url": "https://keys.example", "user": "" }), "`target.user` is empty"),
        (json!({ "url": "https://keys.example", "user": 5 }), "`target.user` must be a text"),
        (json!({ "url": "https://keys.example", "user": "me", "usr": "x" }), "`target.usr` is not a setting"),
    ] {
        let message = check(settings.clone()).unwrap_err();
        assert!(message.contains(part), "{settings}: {message}");
    }
}
