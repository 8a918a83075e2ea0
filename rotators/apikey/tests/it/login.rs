//! The ways in which the admin logs in.

use keywheel_sdk::{Admin, Bundle, Effect, Retry, Rotator, Secret};
use serde_json::json;

use crate::fake::{ADMIN, DECLARATION, Fake, Fault, TOKEN, call};

const BEARER: &str = "auth: { bearer: \"${admin.password}\" }\nheaders";

fn with(auth: &str) -> String {
    DECLARATION.replace(BEARER, &format!("auth: {auth}\nheaders"))
}

fn admin(fields: &[(&str, &str)]) -> Admin {
    let bundle =
        fields.iter().fold(Bundle::new(), |all, (name, value)| all.with(name, Secret::new((*value).to_owned())));
    Admin::Credential(bundle)
}

const OAUTH2: &str = "{ oauth2: { token_url: \"${target.url}/token\", client_id: \"${admin.username}\", \
                      client_secret: \"${admin.password}\", scope: \"keys:write all\" } }";

#[tokio::test]
async fn several_headers() {
    let fake = Fake::with(&with("{ headers: { X-Api-Key: \"${admin.api}\", X-App-Key: \"${admin.app}\" } }")).await;
    let mut target = fake.target(json!({}));
    target.admin = admin(&[("api", ADMIN), ("app", "app-canary")]);
    fake.rotator.generate(&call(&target), None).await.unwrap();
    target.admin = admin(&[("api", ADMIN), ("app", "wrong-canary")]);
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert_eq!(error.code, "status-401");
}

#[tokio::test]
async fn a_token_is_asked_for_once_a_call() {
    for auth in [OAUTH2.to_owned(), OAUTH2.replace("all\"", "all\", basic: true")] {
        let fake = Fake::with(&with(&auth)).await;
        let mut target = fake.target(json!({}));
        target.admin = admin(&[("username", "client: ü&"), ("password", ADMIN)]);
        fake.has("other", Some("keywheel:r-1"));
        fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap();
        assert_eq!(fake.scene().log, ["token", "list", "disable", "delete", "list"]);
        fake.scene().log.clear();
        fake.rotator.generate(&call(&target), None).await.unwrap();
        assert_eq!(fake.scene().log, ["token", "create", "list"]);
    }
}

#[tokio::test]
async fn a_refused_token_is_a_wrong_admin_and_has_changed_nothing() {
    let fake = Fake::with(&with(OAUTH2)).await;
    let mut target = fake.target(json!({}));
    target.admin = admin(&[("username", "client"), ("password", "wrong-canary-77")]);
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "token-refused"));
    assert!(matches!(error.retry, Retry::After(_)), "{error:?}");
    assert!(!error.message.contains("canary") && error.message.contains("invalid_client"), "{error}");

    target.admin = admin(&[("username", "client"), ("password", ADMIN)]);
    for (status, body, code, retry) in [
        (500, "", "status-500", Retry::Now),
        (429, "", "status-429", Retry::Now),
        (404, "", "status-404", Retry::Never),
        (302, "", "redirect", Retry::Now),
        (204, "", "unexpected-status", Retry::Now),
        (200, "<html>", "no-answer", Retry::Now),
        (200, "{}", "unexpected-answer", Retry::Never),
        (200, "{\"access_token\": \"\"}", "unexpected-answer", Retry::Never),
        (200, "{\"access_token\": \"canary\", \"token_type\": \"mac\"}", "unexpected-answer", Retry::Never),
    ] {
        fake.fault("token", Fault::Instead(status, &[], body.to_owned()));
        let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
        assert_eq!((error.effect, error.code.as_str(), error.retry), (Effect::None, code, retry), "{status} {body}");
        assert!(!error.message.contains("canary"), "{error}");
    }
    fake.fault("token", Fault::CutAfter);
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "no-answer"));
    fake.fault("token", Fault::Instead(200, &[], format!("{{\"access_token\": \"{}\"}}", "x".repeat(2_000_000))));
    assert_eq!(fake.rotator.generate(&call(&target), None).await.err().unwrap().effect, Effect::None);
    assert!(fake.ids().is_empty() && fake.count("create") == 0);
}

/// RFC 6749's `error` is told, and nothing of what else the answer holds: it may be the secret in any spelling.
#[tokio::test]
async fn a_clients_secret_is_not_told_however_it_is_echoed() {
    let secret = "Qx8~canary~+/secret";
    for auth in [OAUTH2.to_owned(), OAUTH2.replace("all\"", "all\", basic: true")] {
        let fake = Fake::with(&with(&auth)).await;
        let mut target = fake.target(json!({}));
        target.admin = admin(&[("username", "client"), ("password", secret)]);
        for (body, told) in [
            (format!("{{\"error\": \"invalid_client\", \"error_codes\": [7000215], \"sent\": \"{secret}\"}}"), true),
            (
                "{\"error\": \"invalid_client\", \"error_codes\": [7000215], \"x\": \"Qx8~canary~%2B%2Fsecret\"}"
                    .to_owned(),
                true,
            ),
            (
                "{\"error\": \"Qx8~canary~\\u002b\\/secret\", \"code\": [\"Qx8%7Ecanary%7E%2b%2fsecret\"]}".to_owned(),
                false,
            ),
            ("grant_type=client_credentials&client_secret=Qx8%7Ecanary%7E%2B%2Fsecret".to_owned(), false),
            ("Authorization: basic Y2xpZW50OlF4OCU3RWNhbmFyeSU3RSUyQiUyRnNlY3JldA==".to_owned(), false),
        ] {
            fake.fault("token", Fault::Instead(400, &[], body.clone()));
            let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
            assert_eq!(error.code, "token-refused");
            assert!(!error.message.contains("canary") && !error.message.contains("secret"), "{body}: {error}");
            assert!(!error.message.contains("Y2xpZW50"), "{error}");
            assert_eq!(error.message.contains(": invalid_client, 7000215"), told, "{body}: {error}");
        }
        // What other requests echo is told without it.
        fake.fault("token", Fault::Instead(200, &[], format!("{{\"access_token\": \"{TOKEN}\"}}")));
        fake.fault("create", Fault::Instead(400, &[], "client_secret=Qx8%7Ecanary%7E%2b%2Fsecret&x".to_owned()));
        let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
        assert!(error.message.contains("client_secret=[secret]&x"), "{error}");
    }
}

#[tokio::test]
async fn a_token_is_not_told() {
    let fake = Fake::with(&with(OAUTH2)).await;
    let mut target = fake.target(json!({}));
    target.admin = admin(&[("username", "client"), ("password", ADMIN)]);
    fake.fault("create", Fault::Instead(400, &[], format!("your token is {TOKEN}")));
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert!(error.message.contains("your token is [secret]"), "{error}");
}

#[tokio::test]
async fn requests_are_signed_with_all_that_is_in_them() {
    for token in ["", ", session_token: \"${admin.token}\""] {
        let auth = format!(
            "{{ sigv4: {{ access_key_id: \"${{admin.id}}\", secret_access_key: \"${{admin.password}}\", \
             region: \"eu-1\", service: keys{token} }} }}"
        );
        let fake = Fake::with(&with(&auth)).await;
        let mut target = fake.target(json!({}));
        target.admin = admin(&[("id", "AKID"), ("password", ADMIN), ("token", "token-canary/+=")]);
        for n in 0..5 {
            fake.has(&format!("k{n}"), Some("keywheel:r-1"));
        }
        // Bodies, queries with a cursor, paths with encoded characters.
        fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap();
        assert!(fake.ids().is_empty());
        fake.rotator.generate(&call(&target), None).await.unwrap();
        let sent = fake.scene().session_tokens.clone();
        assert!(sent.iter().all(|sent| sent.is_empty() == token.is_empty()), "{sent:?}");
        target.admin = admin(&[("id", "AKID"), ("password", "wrong-canary"), ("token", "token-canary/+=")]);
        assert_eq!(fake.rotator.generate(&call(&target), None).await.err().unwrap().code, "status-401");
    }
}
