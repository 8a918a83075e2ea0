//! Values that the engine makes, in the slots of the example service, by the declarations that come with the program.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywheel_apikey::{ApiKeyRotator, shipped};
use keywheel_keyservice::{Effect, Fault, KeyService, Options, Route, Struck};
use keywheel_sdk::{
    Admin, Answer, Bundle, Call, Effect as Happened, Generates, GrantParity, Retry, RevokeHow, Rotator, Secret,
    Severity, Strategy, Target,
};
use keywheel_testkit::exam::{Candidate, Line, Stage, Subject, sit};
use serde_json::{Map, Value, json};

/// What differs from one declaration to the other.
#[derive(Clone, Copy)]
enum Kind {
    /// The value itself is sent.
    Generic,
    /// A webhook is sent that the value signs.
    Webhook,
}

impl Kind {
    fn rotator(self) -> ApiKeyRotator {
        let name = match self {
            Kind::Generic => "generic",
            Kind::Webhook => "webhook-signing",
        };
        let shipped = shipped().iter().find(|shipped| shipped.name == name).unwrap();
        ApiKeyRotator::new(shipped.provider())
    }

    /// What a policy says of a user's slots.
    fn settings(self, url: &str, user: &str) -> Map<String, Value> {
        let verify = match self {
            Kind::Generic => format!("{url}/v1/whoami"),
            Kind::Webhook => format!("{url}/v1/users/{user}/webhook"),
        };
        Map::from_iter([
            ("url".into(), format!("{url}/v1/users/{user}/slots").into()),
            ("verify_url".into(), verify.into()),
        ])
    }

    /// A value of the form that it takes.
    fn password(self, word: &str) -> String {
        match self {
            Kind::Generic => format!("{word}-password-4bXq9"),
            Kind::Webhook => format!("{:a<32}", word.chars().filter(char::is_ascii_alphanumeric).collect::<String>()),
        }
    }

    fn odd_passwords(self) -> Vec<String> {
        match self {
            Kind::Generic => vec![
                "it's\"quoted\"\\and$$and;--:and,".to_owned(),
                "${key.username}%2F%00+&=#?../..".to_owned(),
                "{\"value\":\"<!--&amp;-->\"}".to_owned(),
                "x".repeat(255),
            ],
            Kind::Webhook => vec![
                // Each length that base64 pads otherwise, both of its symbols, and the longest.
                STANDARD.encode([0xfb; 24]),
                STANDARD.encode([0xff; 25]),
                STANDARD.encode([0x3e; 26]),
                format!("whsec_{}", STANDARD.encode([7; 32])),
                format!("whsec_{}", STANDARD.encode([9; 64])),
            ],
        }
    }
}

/// A service where each stage has a user of its own.
struct Slots {
    kind: Kind,
    alternates: bool,
    rotator: ApiKeyRotator,
    service: Arc<KeyService>,
    users: AtomicU64,
}

impl Slots {
    async fn new(kind: Kind, alternates: bool, options: Options) -> Self {
        let service = Arc::new(KeyService::start(options).await.unwrap());
        Slots { kind, alternates, rotator: kind.rotator(), service, users: AtomicU64::new(0) }
    }

    fn user(&self) -> String {
        format!("user-{}", self.users.load(Ordering::SeqCst))
    }

    /// As if by hand.
    async fn put(&self, slot: &str, value: &str) {
        let request = reqwest::Client::new()
            .put(format!("{}/v1/users/{}/slots/{slot}", self.service.url(), self.user()))
            .bearer_auth(Options::default().admin_token)
            .json(&json!({ "value": value }));
        assert_eq!(request.send().await.unwrap().status(), 204);
        while !self.service.accepts(value).await {
            tokio::task::yield_now().await;
        }
    }

    fn target(&self, token: &str) -> Target {
        let strategy = if self.alternates {
            let users = ["a".to_owned(), "b".to_owned()];
            Strategy::Alternating { users, grant_parity: GrantParity::Ignore, create_missing: true }
        } else {
            Strategy::InPlace { user: "a".to_owned() }
        };
        Target {
            settings: self.kind.settings(&self.service.url(), &self.user()),
            strategy,
            admin: Admin::Credential(Bundle::new().with("token", Secret::new(token.to_owned()))),
            generates: Some(Generates { length: 64, classes: 3, required: 0, base64: true }),
        }
    }
}

fn login(name: &str, password: String) -> Bundle {
    Bundle::login(name, Secret::new(password))
}

#[async_trait]
impl Subject for Slots {
    fn name(&self) -> String {
        let kind = self.rotator.describe().kind;
        format!("{kind}, {}", if self.alternates { "alternating" } else { "in place" })
    }

    fn rotator(&self) -> &dyn Rotator {
        &self.rotator
    }

    async fn stage(&self) -> Stage {
        self.service.faults().disarm();
        let number = self.users.fetch_add(1, Ordering::SeqCst) + 1;
        let password = |word: &str| self.kind.password(&format!("{word}-of-{number}"));
        let current = password("current");
        self.put("a", &current).await;
        let token = Options::default().admin_token;
        let wire = Wire { service: Arc::clone(&self.service), struck: Mutex::default() };
        Stage {
            target: self.target(&token),
            current: login("a", current),
            candidate: Candidate::Given(login(if self.alternates { "b" } else { "a" }, password("candidate"))),
            wrong_admin: Some(self.target("not-the-admins-token")),
            line: Some((self.target(&token), Box::new(wire))),
            odd_passwords: self.kind.odd_passwords(),
        }
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        let value = credential.password().unwrap().expose(str::to_owned);
        self.service.accepts(&value).await
    }

    async fn keys(&self) -> Option<usize> {
        Some(self.service.slots(&self.user()).await.len())
    }

    fn password(&self, word: &str) -> String {
        self.kind.password(word)
    }
}

/// Breaks at whatever puts or deletes.
struct Wire {
    service: Arc<KeyService>,
    struck: Mutex<Vec<Struck>>,
}

impl Wire {
    fn arm(&self, effect: Effect) {
        let fault = Fault::at(Route::PutSlot, effect).or_at(Route::DeleteSlot);
        self.struck.lock().unwrap().push(self.service.faults().arm(fault));
    }
}

impl Line for Wire {
    fn lose_next_acknowledgement(&self) {
        self.arm(Effect::ExecuteThenCut);
    }
    fn cut_before_next_change(&self) {
        self.arm(Effect::CutBefore);
    }
    fn stall_next_change(&self) {
        self.arm(Effect::Stall);
    }
    fn stall_after_next_change(&self) {
        self.arm(Effect::ExecuteThenStall);
    }
    fn strikes(&self) -> u64 {
        self.struck.lock().unwrap().iter().map(Struck::count).sum()
    }
}

async fn examine(kind: Kind, alternates: bool, at_least: usize) {
    let report = sit(&Slots::new(kind, alternates, Options::default()).await).await;
    report.assert_passed();
    assert!(report.passed() >= at_least, "too many cases were skipped\n{report}");
}

#[tokio::test]
async fn a_token_of_the_engine_in_place() {
    examine(Kind::Generic, false, 22).await;
}

#[tokio::test]
async fn a_token_of_the_engine_alternating() {
    examine(Kind::Generic, true, 23).await;
}

#[tokio::test]
async fn a_webhooks_secret_alternating() {
    examine(Kind::Webhook, true, 23).await;
}

#[tokio::test]
async fn a_webhooks_secret_in_place() {
    examine(Kind::Webhook, false, 22).await;
}

/// One call on this target.
fn call(target: &Target) -> Call<'_> {
    Call { target, rotation: "r-1", fence: 1, until: Instant::now() + Duration::from_secs(10) }
}

#[tokio::test]
async fn what_signs_no_webhook_is_never_put() {
    let slots = Slots::new(Kind::Webhook, true, Options::default()).await;
    let Stage { target, current, .. } = slots.stage().await;
    let puts = slots.service.faults().arm(Fault::at(Route::PutSlot, Effect::CutBefore));
    let asked = slots.service.refused();
    // What a policy makes that says nothing of it, too few bytes, and too many.
    for unfit in ["Nq.w-b~T_4", "uri-safe_characters-of-a-length..4-divid", &"a0Z1".repeat(7), &"a0Z1".repeat(22)] {
        let candidate = login("b", unfit.to_owned());
        let error = slots.rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap_err();
        assert_eq!((error.effect, error.retry, error.code.as_str()), (Happened::None, Retry::Never, "unfit-secret"));
        assert!(error.message.contains("charset: alphanumeric") && !error.message.contains(unfit), "{error}");
    }
    // Nor anything beside a live one that could not be seen to end.
    let candidate = login("b", Kind::Webhook.password("candidate"));
    let error =
        slots.rotator.apply(&call(&target), &candidate, Some(&login("a", "by-hand".to_owned()))).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Happened::None, "unfit-secret"));
    assert!(error.message.starts_with("the live credential could not be seen to end"), "{error}");
    assert_eq!((puts.count(), slots.service.refused() - asked), (0, 0), "nothing was sent");
}

/// A process that dies between the intent to put it and its refusal leaves a doubt, which ends by itself.
#[tokio::test]
async fn what_signs_no_webhook_is_settled_and_rolled_back_like_any_other() {
    for alternates in [true, false] {
        let slots = Slots::new(Kind::Webhook, alternates, Options::default()).await;
        let Stage { target, current, .. } = slots.stage().await;
        let candidate =
            login(if alternates { "b" } else { "a" }, "uri-safe_characters-of-a-length..4-divid".to_owned());
        let answer = slots.rotator.probe(&call(&target), &candidate, &[&current]).await;
        assert!(matches!(&answer, Answer::No { reason } if reason.contains("no secret of a webhook")), "{answer:?}");
        for _ in 0..2 {
            slots.rotator.restore(&call(&target), &candidate, Some(&current)).await.unwrap();
        }
        assert!(slots.accepts(&current).await);
        assert_eq!(slots.keys().await, Some(1));
    }
}

/// 12 bytes, put by hand: this receiver takes them, and we sign with 24 and more only.
const BY_HAND: &str = "aGFuZHNlY3JldDEx";

/// It may well be accepted, so that nothing is put over it or in its place that could not be seen to succeed.
#[tokio::test]
async fn a_live_secret_that_we_cannot_sign_with_is_not_taken_for_refused() {
    let slots = Slots::new(Kind::Webhook, false, Options::default()).await;
    let Stage { target, .. } = slots.stage().await;
    slots.put("a", BY_HAND).await;
    let (current, candidate) = (login("a", BY_HAND.to_owned()), login("a", Kind::Webhook.password("candidate")));
    let changes = Fault::at(Route::PutSlot, Effect::CutBefore).or_at(Route::DeleteSlot);
    let changes = slots.service.faults().arm(changes);
    let error = slots.rotator.restore(&call(&target), &candidate, Some(&current)).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Happened::None, Retry::Never, "unfit-secret"));
    assert!(error.message.starts_with("the live credential could not be seen to be accepted again"), "{error}");
    assert_eq!(changes.count(), 0);
    slots.service.faults().disarm();
    // Nor is it believed to have ended.
    slots.put("a", &Kind::Webhook.password("candidate")).await;
    let how = RevokeHow { disable: false, terminate_sessions: false };
    let error = slots.rotator.revoke(&call(&target), &current, &candidate, how).await.unwrap_err();
    assert_eq!((error.retry, error.code.as_str()), (Retry::Never, "unfit-secret"));
}

/// Only a person can mend a receiver that looks at no signature: whoever tried again would do so for ever.
#[tokio::test]
async fn where_any_webhook_is_accepted_rolling_back_is_for_a_person() {
    for alternates in [true, false] {
        let slots = Slots::new(Kind::Webhook, alternates, Options::default()).await;
        let Stage { target, current, candidate, .. } = slots.stage().await;
        let Candidate::Given(candidate) = candidate else { panic!("it is given") };
        slots.rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
        let any = Effect::Answer { status: 204, retry_after: None };
        slots.service.faults().arm(Fault::at(Route::Webhook, any).times(1000));
        let error = slots.rotator.restore(&call(&target), &candidate, Some(&current)).await.unwrap_err();
        let expected = (Happened::Unknown, Retry::Never, "verify-proves-nothing");
        assert_eq!((error.effect, error.retry, error.code.as_str()), expected, "{error}");
        slots.service.faults().disarm();
        assert!(slots.accepts(&current).await && !slots.accepts(&candidate).await, "it was restored all the same");
        // As soon as it looks again.
        slots.rotator.restore(&call(&target), &candidate, Some(&current)).await.unwrap();
    }
}

#[tokio::test]
async fn preflight_looks_at_what_the_policy_makes() {
    let slots = Slots::new(Kind::Webhook, true, Options::default()).await;
    let Stage { mut target, current, .. } = slots.stage().await;
    // Letters, digits, `+` and `/` are four classes, and lower case with `_` are two.
    for (length, classes, base64, errors) in [(64, 3, true, 0), (64, 4, true, 0), (40, 2, false, 1), (42, 3, true, 1)] {
        target.generates = Some(Generates { length, classes, required: 0, base64 });
        let findings = slots.rotator.preflight(&call(&target), Some(&current)).await.unwrap();
        let found: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        assert_eq!(found.len(), errors, "{findings:?}");
        assert!(
            found.iter().all(|finding| finding.what.contains("`generate`") && finding.hint.contains("alphanumeric"))
        );
        assert!(findings.iter().any(|finding| finding.what == "the live key is accepted"), "{findings:?}");
    }
    target.generates = None;
    let findings = slots.rotator.preflight(&call(&target), Some(&login("a", BY_HAND.to_owned()))).await.unwrap();
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.severity, Severity::Error, "a rotation would fail");
    assert!(finding.what.starts_with("the live key cannot be asked about: "), "{finding:?}");
    assert!(finding.hint.contains("by hand") && !finding.what.contains(BY_HAND), "{finding:?}");
}
