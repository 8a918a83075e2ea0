//! The messages of rotators in processes of their own: what is written is what is documented, and what is read is never trusted.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use keywheel_sdk::message::{self, Greeting, Hello, LONGEST, Malformed, Reply, Request, Verb};
use keywheel_sdk::{
    Admin, Answer, Bundle, Call, Check, Descriptor, Effect, Finding, Generates, GrantParity, Origin, Retry, RevokeHow,
    Rotator, RotatorError, Secret, Severity, Shape, Strategy, Target, Usage,
};
use serde_json::{Map, Value, json};

fn login(name: &str, password: &str) -> Bundle {
    Bundle::login(name, Secret::new(password.to_owned()))
}

fn target() -> Target {
    Target {
        settings: Map::from_iter([("host".to_owned(), json!("db"))]),
        strategy: Strategy::Alternating {
            users: ["a".to_owned(), "b".to_owned()],
            grant_parity: GrantParity::Require,
            create_missing: false,
        },
        admin: Admin::Credential(login("admin", "admin-canary")),
        generates: Some(Generates { length: 40, classes: 3, required: 0, base64: false }),
    }
}

fn written(message: &impl serde::Serialize) -> String {
    let line = message::write(message).unwrap();
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    assert_eq!(line.capacity(), line.len(), "measured, so that it never moved");
    String::from_utf8(line.to_vec()).unwrap()
}

#[test]
fn a_call_is_written_as_it_is_documented() {
    let target = target();
    let now = Instant::now();
    let call = Call { target: &target, rotation: "r-1", fence: 3, until: now + Duration::from_millis(1500) };
    let request =
        Request::of(7, Verb::Apply, &call, now).candidate(&login("b", "new\n\"ß")).current(Some(&login("a", "old")));
    let expected = json!({
        "type": "call", "id": 7, "call": "apply", "left_ms": 1500, "rotation": "r-1", "fence": 3,
        "target": {
            "settings": { "host": "db" },
            "strategy": { "alternating": { "users": ["a", "b"], "grant_parity": "require", "create_missing": false } },
            "admin": { "username": "admin", "password": "admin-canary" },
            "generates": { "length": 40, "classes": 3, "required": 0, "base64": false },
        },
        "candidate": { "username": "b", "password": "new\n\"ß" },
        "current": { "username": "a", "password": "old" },
    });
    assert_eq!(serde_json::from_str::<Value>(&written(&request)).unwrap(), expected);
    let hello = serde_json::from_str::<Value>(&written(&Hello::new("keywheel 1"))).unwrap();
    assert_eq!(hello, json!({ "type": "hello", "formats": [1], "engine": "keywheel 1" }));
}

#[test]
fn the_least_that_a_rotator_may_write_is_read() {
    let greeting = br#"{"type":"rotator","format":1,"later":[1],"descriptor":{"kind":"lamp","version":"1.0.0","shapes":["in_place"],
        "origin":"engine","settings":[{"name":"url","kind":"text","help":"where"}],"later":{}}}"#;
    let greeting: Greeting = message::read(greeting).unwrap();
    assert_eq!(
        (greeting.descriptor.kind.as_str(), greeting.descriptor.shapes.as_slice()),
        ("lamp", &[Shape::InPlace][..])
    );
    assert!(!greeting.descriptor.capabilities.usage && !greeting.descriptor.settings[0].required);
    let reply: Reply = message::read(br#"{"type":"reply","id":1,"later":true}"#).unwrap();
    assert!(reply.into_done().is_ok());
}

#[test]
fn failures_keep_their_two_answers() {
    for (retry, text) in [
        (Retry::Now, r#""retry":"now""#),
        (Retry::After(Duration::from_millis(1500)), r#""retry":"after","after_ms":1500"#),
        (Retry::NewCandidate, r#""retry":"new_candidate""#),
        (Retry::Never, r#""retry":"never""#),
    ] {
        for effect in [Effect::None, Effect::Unknown] {
            let error = RotatorError { effect, retry, code: "28P01".to_owned(), message: "no".to_owned() };
            let line = written(&Reply::failed(1, error.clone()));
            assert!(line.contains(text), "{line}");
            let read: Reply = message::read(line.as_bytes()).unwrap();
            assert_eq!(read.into_done().err().unwrap(), error);
        }
    }
}

#[test]
fn what_is_no_answer_is_unknown() {
    for line in [
        r#"{"type":"reply","id":1}"#,
        r#"{"type":"reply","id":1,"answer":"maybe"}"#,
        r#"{"type":"reply","id":1,"answer":""}"#,
    ] {
        let reply: Reply = message::read(line.as_bytes()).unwrap();
        assert!(matches!(reply.into_answer(), Answer::Unknown(error) if error.effect == Effect::Unknown), "{line}");
    }
    let reply: Reply = message::read(br#"{"type":"reply","id":1,"answer":"no"}"#).unwrap();
    assert_eq!(reply.into_answer(), Answer::No { reason: String::new() });
}

#[test]
fn what_is_no_message_is_said_without_what_stands_there() {
    for line in [
        r#"{"type":"reply","id":"canary"}"#,
        r#"{"type":"reply","id":1,"made":["canary"]}"#,
        r#"{"type":"reply","id":1,"made":{"key":"canary"#,
        "canary",
        r#"{"type":"reply","id":1,"made":{"key":"a","key":"canary"}}"#,
        "{\"type\":\"reply\",\"id\":1,\"made\":{\"key\":\"canary\u{1}\"}}",
    ] {
        let error = message::read::<Reply>(line.as_bytes()).err().unwrap();
        assert!(matches!(error, Malformed::Wrong { .. }), "{error}");
        assert!(!error.to_string().contains("canary") && !format!("{error:?}").contains("canary"), "{error}");
    }
    let long = vec![b' '; LONGEST + 1];
    assert_eq!(message::read::<Reply>(&long).err().unwrap(), Malformed::TooLong);
    let long = Reply { reason: Some("x".repeat(LONGEST)), ..Reply::done(1) };
    assert_eq!(message::write(&long).err().unwrap(), Malformed::TooLong);
}

/// Says back in an error which call it was, and by which of its arguments.
struct Echo;

fn said(what: String) -> RotatorError {
    RotatorError::not_done(Retry::Never, "echo", what)
}

fn name(bundle: Option<&Bundle>) -> String {
    bundle.map_or("none".to_owned(), |bundle| bundle.username().unwrap())
}

#[async_trait]
impl Rotator for Echo {
    fn describe(&self) -> Descriptor {
        Descriptor {
            kind: "echo".to_owned(),
            version: "1.0.0".to_owned(),
            shapes: vec![Shape::Overlapping],
            origin: Origin::Provider,
            settings: Vec::new(),
            capabilities: keywheel_sdk::Capabilities::default(),
            derived_fields: Vec::new(),
        }
    }
    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        let what = format!("{} {}", call.rotation, name(current));
        Ok(vec![Finding { severity: Severity::Warning, what, hint: String::new() }])
    }
    async fn probe(&self, _: &Call<'_>, credential: &Bundle, others: &[&Bundle]) -> Answer {
        Answer::Partly { reason: format!("{} beside {}", name(Some(credential)), others.len()) }
    }
    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        Ok(login(&name(current), call.rotation))
    }
    async fn sweep(&self, call: &Call<'_>, earlier: &[String], keep: &[&Bundle]) -> Result<(), RotatorError> {
        Err(said(format!("sweep {} {earlier:?} {}", call.fence, keep.len())))
    }
    async fn apply(&self, _: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        Err(said(format!("apply {} {}", name(Some(candidate)), name(current))))
    }
    async fn verify(
        &self,
        _: &Call<'_>,
        candidate: &Bundle,
        current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        Err(said(format!("verify {} {} {checks:?}", name(Some(candidate)), name(current))))
    }
    async fn restore(&self, _: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        Err(said(format!("restore {} {}", name(Some(candidate)), name(current))))
    }
    async fn usage(&self, _: &Call<'_>, _: &Bundle) -> Result<Usage, RotatorError> {
        Ok(Usage { sessions: 4 })
    }
    async fn last_used(&self, _: &Call<'_>, _: &Bundle) -> Result<Option<SystemTime>, RotatorError> {
        Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400)))
    }
    async fn disable(&self, _: &Call<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        Err(said(format!("disable {} {}", name(Some(previous)), name(Some(current)))))
    }
    async fn revoke(
        &self,
        _: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        how: RevokeHow,
    ) -> Result<(), RotatorError> {
        Err(said(format!("revoke {} {} {}", name(Some(previous)), name(Some(current)), how.disable)))
    }
}

/// As it comes out at the other end of two lines.
fn asked(request: Request) -> Reply {
    let request: Request = message::read(written(&request).as_bytes()).unwrap();
    let mut answer = pin!(message::answer(&Echo, request, Instant::now()));
    // Nothing in it waits.
    let Poll::Ready(reply) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!("it waits") };
    message::read(written(&reply).as_bytes()).unwrap()
}

#[test]
fn each_call_arrives_with_its_arguments() {
    let target = target();
    let now = Instant::now();
    let call = Call { target: &target, rotation: "r-1", fence: 3, until: now + Duration::from_secs(1) };
    let of = |verb| Request::of(9, verb, &call, now);
    let (a, b) = (login("a", "one"), login("b", "two"));
    let told = |request| {
        let reply = asked(request);
        assert_eq!(reply.id, 9);
        reply.into_done().err().unwrap().message
    };
    let sweep = Request { earlier: vec!["r-0".to_owned()], keep: vec![login("k", "kept")], ..of(Verb::Sweep) };
    assert_eq!(told(sweep), "sweep 3 [\"r-0\"] 1");
    assert_eq!(told(of(Verb::Apply).candidate(&b).current(Some(&a))), "apply b a");
    assert_eq!(told(of(Verb::Apply).candidate(&b).current(None)), "apply b none");
    let checks = vec![Check::Login, Check::Sql("SELECT 1".to_owned())];
    let verify = Request { checks, ..of(Verb::Verify).candidate(&b).current(Some(&a)) };
    assert_eq!(told(verify), "verify b a [Login, Sql(\"SELECT 1\")]");
    assert_eq!(told(of(Verb::Restore).candidate(&b).current(Some(&a))), "restore b a");
    assert_eq!(told(of(Verb::Disable).previous(&a).current(Some(&b))), "disable a b");
    let how = Some(RevokeHow { disable: true, terminate_sessions: false });
    assert_eq!(told(Request { how, ..of(Verb::Revoke).previous(&a).current(Some(&b)) }), "revoke a b true");

    let probe = Request { others: vec![login("o", "other")], ..of(Verb::Probe).credential(&b) };
    assert_eq!(asked(probe).into_answer(), Answer::Partly { reason: "b beside 1".to_owned() });
    assert_eq!(asked(of(Verb::Preflight).current(Some(&a))).findings.unwrap()[0].what, "r-1 a");
    let made = asked(of(Verb::Generate).current(Some(&a))).made.unwrap();
    assert!(made.same_as(&login("a", "r-1")));
    assert_eq!(asked(of(Verb::Usage).credential(&a)).sessions, Some(4));
    assert_eq!(asked(of(Verb::LastUsed).credential(&a)).last_used, Some(86_400));
}

#[test]
fn a_call_that_is_not_known_or_lacks_something_does_nothing() {
    let line = br#"{"type":"call","id":9,"call":"dance","left_ms":10}"#;
    let request: Request = message::read(line).unwrap();
    let error = asked(request).into_done().err().unwrap();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Never, "unsupported"));
    for line in [
        &br#"{"type":"call","id":9,"call":"apply","left_ms":10,"candidate":{}}"#[..],
        br#"{"type":"call","id":9,"call":"apply","left_ms":10,"target":{"settings":{},"strategy":"overlapping"}}"#,
        br#"{"type":"call","id":9,"call":"revoke","target":{"settings":{},"strategy":"overlapping"},"previous":{},"current":{}}"#,
    ] {
        let error = asked(message::read(line).unwrap()).into_done().err().unwrap();
        assert_eq!((error.effect, error.code.as_str()), (Effect::None, "malformed"), "{error}");
    }
}
