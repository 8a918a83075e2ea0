//! Passwords that the engine makes and the provider takes.

use keywheel_sdk::{
    Answer, Bundle, Effect, GrantParity, Origin, Retry, RevokeHow, Rotator, Secret, Severity, Shape, Strategy, Target,
};
use serde_json::json;

use crate::fake::{Fake, Fault, call};

const DECLARATION: &str = r#"
version: 1
provider: accounts
about: A service whose accounts have passwords.
base_url: "${target.url}"
settings:
  url: { required: true, names_target: true, help: where it is }
  user: { required: true, names_target: true, help: unused }
auth: { bearer: "${admin.password}" }
made_by: engine
requests:
  put:
    method: PUT
    path: "/v1/accounts/${key.username}"
    json: { password: "${key.password}" }
    expect: [204]
    unfit: [422]
  list:
    method: GET
    path: /v1/accounts
    expect: [200]
    items: "$[*]"
    each: { key_id: "$.name" }
  verify:
    method: GET
    path: /v1/whoami
    auth: { basic: { username: "${key.username}", password: "${key.password}" } }
    expect: [200]
    refused: [401]
  delete:
    method: DELETE
    path: "/v1/accounts/${key.username}"
    expect: [204]
    gone: [404]
"#;

const HOW: RevokeHow = RevokeHow { disable: false, terminate_sessions: false };

fn login(name: &str, password: &str) -> Bundle {
    Bundle::login(name, Secret::new(password.to_owned()))
}

fn in_place(fake: &Fake) -> Target {
    let mut target = fake.target(json!({}));
    target.strategy = Strategy::InPlace { user: "app".to_owned() };
    target
}

fn alternating(fake: &Fake) -> Target {
    let mut target = fake.target(json!({}));
    let users = ["app_a".to_owned(), "app_b".to_owned()];
    target.strategy = Strategy::Alternating { users, grant_parity: GrantParity::Ignore, create_missing: true };
    target
}

async fn fake(accounts: &[(&str, &str)]) -> Fake {
    let fake = Fake::with(DECLARATION).await;
    fake.scene().accounts =
        accounts.iter().map(|(name, password)| ((*name).to_owned(), (*password).to_owned())).collect();
    fake
}

fn accounts(fake: &Fake) -> Vec<(String, String)> {
    fake.scene().accounts.clone()
}

fn pairs(accounts: &[(&str, &str)]) -> Vec<(String, String)> {
    accounts.iter().map(|(name, password)| ((*name).to_owned(), (*password).to_owned())).collect()
}

#[tokio::test]
async fn it_is_described_as_what_it_is() {
    let fake = fake(&[]).await;
    let description = fake.rotator.describe();
    assert_eq!((description.origin, description.shapes), (Origin::Engine, vec![Shape::InPlace, Shape::Alternating]));
    assert!(description.derived_fields.is_empty() && !description.capabilities.self_managed);
    let target = in_place(&fake);
    assert_eq!(fake.rotator.generate(&call(&target), None).await.err().unwrap().code, "unsupported");
    fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap();
    assert!(fake.scene().log.is_empty());
}

/// Two policies that put into one account must be seen to, however each sees that its value is accepted.
#[tokio::test]
async fn whose_an_account_is_says_who_puts_it() {
    let declaration = DECLARATION
        .replace("user: {", "verify_url: { required: true, names_target: true, help: where it is used }\n  realm: {")
        .replace("{ password: \"${key.password}\" }", "{ password: \"${key.password}\", in: [\"${target.realm}\"] }")
        .replace("path: /v1/whoami", "base_url: \"${target.verify_url}\"\n    path: /v1/whoami");
    let fake = Fake::with(&declaration).await;
    let owner = |url: &str, verify: &str, realm: &str| {
        let settings = json!({ "url": url, "verify_url": verify, "realm": realm });
        fake.rotator.place(settings.as_object().unwrap()).owner
    };
    let here = owner("https://h/slots", "https://h", "r");
    assert_eq!(here, "https://h/slots realm=r");
    for same in [owner("https://h/slots/", "https://h/", "r"), owner("https://H/slots", "https://elsewhere", "r")] {
        assert_eq!(same, here);
    }
    for other in [owner("https://h/slots2", "https://h", "r"), owner("https://h/slots", "https://h", "q")] {
        assert_ne!(other, here);
    }
}

#[tokio::test]
async fn in_place_a_password_replaces_the_one_before() {
    let fake = fake(&[("app", "canary-old"), ("other", "x")]).await;
    let target = in_place(&fake);
    let (current, candidate) = (login("app", "canary-old"), login("app", "canary-new"));
    fake.rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
    // The wrong password is asked before the change.
    assert_eq!(fake.scene().log, ["verify", "put", "verify"]);
    fake.rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
    fake.rotator.verify(&call(&target), &candidate, Some(&current), &[]).await.unwrap();
    assert_eq!(fake.rotator.probe(&call(&target), &candidate, &[]).await, Answer::Yes);
    assert!(matches!(fake.rotator.probe(&call(&target), &current, &[]).await, Answer::No { .. }));
    fake.rotator.revoke(&call(&target), &current, &candidate, HOW).await.unwrap();
    assert_eq!(accounts(&fake), pairs(&[("other", "x"), ("app", "canary-new")]));
    assert_eq!(fake.count("drop"), 0);
    // And is proved: a password that is still accepted has not ended.
    let error = fake.rotator.revoke(&call(&target), &login("other", "x"), &candidate, HOW).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, "still-accepted"));
    let error = fake.rotator.revoke(&call(&target), &candidate, &current, HOW).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "current-refused"));
    let error = fake.rotator.revoke(&call(&target), &candidate, &candidate, HOW).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "same-key"));
}

#[tokio::test]
async fn in_place_the_password_before_is_restored() {
    let fake = fake(&[("app", "canary-old")]).await;
    let target = in_place(&fake);
    let (current, candidate) = (login("app", "canary-old"), login("app", "canary-new"));
    for _ in 0..2 {
        fake.rotator.restore(&call(&target), &candidate, Some(&current)).await.unwrap();
        assert_eq!(accounts(&fake), pairs(&[("app", "canary-old")]));
        fake.rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
        fake.rotator.restore(&call(&target), &candidate, Some(&current)).await.unwrap();
        assert_eq!(accounts(&fake), pairs(&[("app", "canary-old")]));
    }
    let error = fake.rotator.restore(&call(&target), &current, Some(&current)).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "same-key"));
}

#[tokio::test]
async fn in_place_with_nothing_before_nobody_knows_the_password_afterwards() {
    let fake = fake(&[("app", "by hand")]).await;
    let target = in_place(&fake);
    let candidate = login("app", "canary-new-0123456789");
    // It never happened: what is there stays.
    fake.rotator.restore(&call(&target), &candidate, None).await.unwrap();
    assert_eq!(accounts(&fake), pairs(&[("app", "by hand")]));
    fake.rotator.apply(&call(&target), &candidate, None).await.unwrap();
    for _ in 0..2 {
        fake.rotator.restore(&call(&target), &candidate, None).await.unwrap();
        let (name, password) = accounts(&fake).remove(0);
        assert_eq!((name.as_str(), password.len()), ("app", 21), "the account stays");
        assert_ne!(password, "canary-new-0123456789");
    }
    assert_eq!(fake.count("put"), 2);
}

/// A password whose answer was lost is not known everywhere at once.
#[tokio::test]
async fn in_place_a_refusal_counts_after_the_time_that_a_candidate_may_take() {
    let fake = Fake::with(&format!("{DECLARATION}propagation: 2s\n")).await;
    let target = in_place(&fake);
    fake.scene().accounts = pairs(&[("app", "canary-new-0123456789")]);
    fake.scene().lag = 2;
    fake.rotator.restore(&call(&target), &login("app", "canary-new-0123456789"), None).await.unwrap();
    assert_ne!(accounts(&fake), pairs(&[("app", "canary-new-0123456789")]));
    assert_eq!(fake.scene().log, ["verify", "verify", "verify", "put", "verify"]);
}

/// Nor is a doubt about it settled before.
#[tokio::test]
async fn a_probe_says_no_after_the_time_that_a_candidate_may_take() {
    let fake = Fake::with(&format!("{DECLARATION}propagation: 2s\n")).await;
    let target = in_place(&fake);
    fake.scene().accounts = pairs(&[("app", "canary-new")]);
    fake.scene().lag = 2;
    assert_eq!(fake.rotator.probe(&call(&target), &login("app", "canary-new"), &[]).await, Answer::Yes);
    assert_eq!(fake.count("verify"), 3);
    let never = fake.rotator.probe(&call(&target), &login("app", "canary-other"), &[]).await;
    assert!(matches!(never, Answer::No { .. }), "{never:?}");
    assert!(fake.count("verify") > 5, "asked for two seconds");
}

/// A receiver refuses a webhook of another time, and does not say why.
#[expect(clippy::disallowed_methods, reason = "a provider dates its answers by the world's time")]
#[tokio::test]
async fn a_refusal_by_another_clock_is_none() {
    let fake = Fake::with(
        &DECLARATION.replace("method: GET\n    path: /v1/whoami", "method: POST\n    path: /v1/hook").replace(
            "basic: { username: \"${key.username}\", password: \"${key.password}\" }",
            "webhook: { secret: \"${key.password}\" }",
        ),
    )
    .await;
    let target = in_place(&fake);
    let key = login("app", "canary0OfTheFirst0Value000000001");
    let now = jiff::Timestamp::now();
    for (seconds, status, expected) in [
        (0, 401, "no"),
        (-200, 401, "no"),
        (200, 401, "no"),
        (-400, 401, "behind"),
        (400, 401, "ahead"),
        (400, 400, "ahead"),
        (400, 200, "yes"),
    ] {
        let at = now + jiff::SignedDuration::from_secs(seconds);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap();
        fake.fault("elsewhere", Fault::Instead(status, Vec::leak(vec![("date", date)]), String::new()));
        let said = match fake.rotator.probe(&call(&target), &key, &[]).await {
            Answer::Yes => "yes".to_owned(),
            Answer::No { .. } => "no".to_owned(),
            Answer::Unknown(error) => {
                assert_eq!((error.code.as_str(), error.retry), ("clock", Retry::Now), "{error}");
                error.message
            }
            Answer::Partly { reason } => reason,
        };
        assert!(said.contains(expected), "{seconds}: {said}");
    }
}

#[tokio::test]
async fn alternating_the_idle_account_changes_and_ends() {
    let fake = fake(&[("app_a", "canary-old")]).await;
    let target = alternating(&fake);
    let (current, candidate) = (login("app_a", "canary-old"), login("app_b", "canary-new"));
    fake.rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
    assert_eq!(accounts(&fake), pairs(&[("app_a", "canary-old"), ("app_b", "canary-new")]));
    for _ in 0..2 {
        fake.rotator.restore(&call(&target), &candidate, Some(&current)).await.unwrap();
        assert_eq!(accounts(&fake), pairs(&[("app_a", "canary-old")]));
    }
    fake.rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
    for _ in 0..2 {
        fake.rotator.revoke(&call(&target), &current, &candidate, HOW).await.unwrap();
        assert_eq!(accounts(&fake), pairs(&[("app_b", "canary-new")]));
    }
    // The live account is never touched.
    let live = login("app_b", "other");
    for error in [
        fake.rotator.apply(&call(&target), &live, Some(&candidate)).await.unwrap_err(),
        fake.rotator.restore(&call(&target), &live, Some(&candidate)).await.unwrap_err(),
        fake.rotator.revoke(&call(&target), &live, &candidate, HOW).await.unwrap_err(),
    ] {
        assert_eq!((error.effect, error.code.as_str()), (Effect::None, "same-key"));
    }
    let error = fake.rotator.revoke(&call(&target), &candidate, &current, HOW).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "current-refused"));
    assert_eq!(accounts(&fake), pairs(&[("app_b", "canary-new")]));
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_may_have_happened() {
    let current = login("app", "canary-old");
    let candidate = login("app", "canary-new");
    for (fault, effect, retry) in [
        (Fault::CutAfter, Effect::Unknown, Retry::Now),
        (Fault::After(500, String::new()), Effect::Unknown, Retry::Now),
        (Fault::After(200, String::new()), Effect::Unknown, Retry::Never),
        (Fault::Instead(403, &[], String::new()), Effect::None, Retry::After(std::time::Duration::from_secs(30))),
        (Fault::Instead(409, &[], String::new()), Effect::None, Retry::After(std::time::Duration::from_secs(30))),
        (Fault::Instead(400, &[], "canary-new".to_owned()), Effect::None, Retry::Never),
    ] {
        let fake = fake(&[("app", "canary-old")]).await;
        let target = in_place(&fake);
        fake.fault("put", fault);
        let error = fake.rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap_err();
        assert_eq!((error.effect, error.retry), (effect, retry), "{error}");
        assert!(!error.message.contains("canary"), "{error}");
        fake.rotator.restore(&call(&target), &candidate, Some(&current)).await.unwrap();
        assert_eq!(accounts(&fake), pairs(&[("app", "canary-old")]));
    }
    // Put, and not accepted.
    let fake = fake(&[("app", "canary-old")]).await;
    let target = in_place(&fake);
    fake.scene().lag = 1;
    let error = fake.rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, "refused"));
}

#[tokio::test]
async fn a_password_that_is_not_taken_is_made_anew() {
    let fake = fake(&[("app", "canary-old")]).await;
    let target = in_place(&fake);
    let error = fake.rotator.apply(&call(&target), &login("app", "weak-canary"), None).await.unwrap_err();
    assert_eq!((error.effect, error.retry), (Effect::None, Retry::NewCandidate));
    assert!(error.message.contains("too weak") && !error.message.contains("canary"), "{error}");
    assert_eq!(accounts(&fake), pairs(&[("app", "canary-old")]));
}

#[tokio::test]
async fn where_any_password_is_accepted_none_is_put() {
    let fake = fake(&[("app", "canary-old")]).await;
    fake.scene().accepts_any = true;
    let target = in_place(&fake);
    let error = fake.rotator.apply(&call(&target), &login("app", "canary-new"), None).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "verify-proves-nothing"));
    assert_eq!(fake.count("put"), 0);
}

#[tokio::test]
async fn preflight_looks_for_the_accounts() {
    let fake = fake(&[("app_a", "canary-old")]).await;
    let target = alternating(&fake);
    let findings = fake.rotator.preflight(&call(&target), Some(&login("app_a", "canary-old"))).await.unwrap();
    let said: Vec<_> = findings.iter().map(|finding| (finding.severity, finding.what.as_str())).collect();
    let expected = [
        (Severity::Fine, "the admin sees 1 accounts"),
        (Severity::Warning, "the admin sees no account `app_b`"),
        (Severity::Fine, "the live key is accepted"),
    ];
    assert_eq!(said, expected);
    fake.fault("accounts", Fault::Instead(403, &[], String::new()));
    let findings = fake.rotator.preflight(&call(&target), None).await.unwrap();
    assert_eq!(findings.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Error]);
    assert_eq!(fake.count("put"), 0);
}
