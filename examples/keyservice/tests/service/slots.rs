//! Slots: values of the caller's own choosing, two a user, and webhooks that they sign.

use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywheel_keyservice::{Effect, Fault, Options, Route};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::{Caller, answer, assert_refused};

const FIRST: &str = "first-value-of-the-caller";
const SECOND: &str = "second-value-of-the-caller";

fn put(caller: &Caller, slot: &str, value: &str) -> RequestBuilder {
    caller.request(Method::PUT, &format!("/v1/users/ann/slots/{slot}")).json(&json!({ "value": value }))
}

async fn has_put(caller: &Caller, slot: &str, value: &str) {
    assert_eq!(answer(put(caller, slot, value)).await, (StatusCode::NO_CONTENT, Value::Null));
}

/// A webhook that a secret signs, sent so many seconds ago.
#[expect(clippy::disallowed_methods, reason = "a sender of webhooks stamps them by the world's time")]
fn webhook(caller: &Caller, secrets: &[&str], ago: i64, body: &'static str) -> RequestBuilder {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let sent = (now - ago).to_string();
    let signed = format!("msg_1.{sent}.{body}");
    let signatures = secrets.iter().map(|secret| {
        let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    });
    caller
        .client
        .post(format!("{}/v1/users/ann/webhook", caller.service.url()))
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", sent)
        .header("webhook-signature", signatures.collect::<Vec<_>>().join(" "))
        .body(body)
}

#[tokio::test]
async fn a_slot_is_put_used_replaced_and_deleted() {
    let caller = Caller::new().await;
    has_put(&caller, "a", FIRST).await;
    assert!(caller.service.accepts(FIRST).await);
    assert_eq!(caller.whoami(FIRST).await, (StatusCode::OK, json!({ "user": "ann", "slot": "a" })));

    has_put(&caller, "a", SECOND).await;
    assert!(!caller.service.accepts(FIRST).await && caller.service.accepts(SECOND).await);
    assert_refused(&caller.whoami(FIRST).await, 401, "invalid_key");
    let listed = caller.call(Method::GET, "/v1/users/ann/slots").await;
    assert_eq!(listed, (StatusCode::OK, json!({ "slots": ["a"] })), "no value");
    assert_eq!(caller.service.slots("ann").await, [("a".to_owned(), SECOND.to_owned())]);

    let path = "/v1/users/ann/slots/a";
    assert_eq!(caller.call(Method::DELETE, path).await, (StatusCode::NO_CONTENT, Value::Null));
    assert_refused(&caller.call(Method::DELETE, path).await, 404, "not_found");
    assert!(!caller.service.accepts(SECOND).await);
    assert_eq!(caller.service.most_slots("ann"), 1);
}

#[tokio::test]
async fn a_user_has_two_slots() {
    let caller = Caller::new().await;
    has_put(&caller, "a", FIRST).await;
    has_put(&caller, "b", SECOND).await;
    assert!(caller.service.accepts(FIRST).await && caller.service.accepts(SECOND).await, "side by side");
    assert_refused(&answer(put(&caller, "c", "third-value-of-the-caller")).await, 409, "quota_exceeded");
    has_put(&caller, "b", "third-value-of-the-caller").await;
    assert_eq!(caller.service.most_slots("ann"), 2);
    let bobs = caller.request(Method::PUT, "/v1/users/bob/slots/c").json(&json!({ "value": SECOND }));
    assert_eq!(answer(bobs).await.0, StatusCode::NO_CONTENT, "another user has slots of their own");
    assert_refused(&caller.call(Method::DELETE, "/v1/users/ann/slots/c").await, 404, "not_found");
}

#[tokio::test]
async fn a_value_must_be_fit_and_nobody_elses() {
    let caller = Caller::new().await;
    has_put(&caller, "a", FIRST).await;
    for unfit in ["", "fifteen-letters", "a value with spaces in it", "ein-schlüssel-mit-ü", &"x".repeat(256)] {
        assert_refused(&answer(put(&caller, "a", unfit)).await, 422, "unfit_value");
    }
    assert_refused(&answer(put(&caller, "b", FIRST)).await, 409, "value_taken");
    has_put(&caller, "a", FIRST).await;
    assert!(caller.service.accepts(FIRST).await, "as it was");
    let path = format!("{}/v1/users/ann/slots", caller.service.url());
    for request in [
        caller.client.put(format!("{path}/a")).json(&json!({ "value": SECOND })),
        caller.client.get(path.clone()),
        caller.client.delete(format!("{path}/a")).bearer_auth(FIRST),
    ] {
        assert_refused(&answer(request).await, 401, "unauthorized");
    }
    let body = caller.request(Method::PUT, "/v1/users/ann/slots/a").json(&json!({ "key": SECOND }));
    assert_refused(&answer(body).await, 400, "invalid_request");
}

#[tokio::test]
async fn a_webhook_is_accepted_that_any_slot_has_signed() {
    const SECRETS: [&str; 3] = [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "AAFVsBQIhrscChlQIMV+b5sSYspob7oD",
    ];
    let caller = Caller::new().await;
    has_put(&caller, "a", SECRETS[0]).await;
    has_put(&caller, "b", SECRETS[1]).await;
    let body = "{\"type\":\"test\"}";
    for signers in [&SECRETS[..1], &SECRETS[1..2], &SECRETS[1..]] {
        let accepted = answer(webhook(&caller, signers, 0, body)).await;
        assert_eq!(accepted, (StatusCode::NO_CONTENT, Value::Null), "{signers:?}");
    }
    for (refused, why) in [
        (webhook(&caller, &SECRETS[2..], 0, body), "nobody's secret"),
        (webhook(&caller, &SECRETS[..1], 0, body).body("{}"), "another body"),
        (webhook(&caller, &[], 0, body), "no signature"),
    ] {
        let (status, told) = answer(refused).await;
        assert_eq!((status, &told["error"]["code"]), (StatusCode::UNAUTHORIZED, &json!("invalid_signature")), "{why}");
    }
    for ago in [3600, -3600] {
        assert_refused(&answer(webhook(&caller, &SECRETS[..1], ago, body)).await, 400, "untimely");
    }
    assert_eq!(caller.service.refused(), 3);
    let path = "/v1/users/ann/slots/a";
    assert_eq!(caller.call(Method::DELETE, path).await.0, StatusCode::NO_CONTENT);
    assert_refused(&answer(webhook(&caller, &SECRETS[..1], 0, body)).await, 401, "invalid_signature");
}

#[tokio::test]
async fn a_value_is_known_everywhere_after_a_while() {
    let lags = Options { propagation: Duration::from_secs(3600), ..Options::default() };
    let caller = Caller::with(lags).await;
    let secret = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    has_put(&caller, "a", secret).await;
    assert!(!caller.service.accepts(secret).await);
    assert_refused(&answer(webhook(&caller, &[secret], 0, "{}")).await, 401, "invalid_signature");
}

#[tokio::test]
async fn each_route_of_slots_has_faults_of_its_own() {
    let caller = Caller::new().await;
    has_put(&caller, "a", FIRST).await;
    for (route, request) in [
        (Route::PutSlot, put(&caller, "a", SECOND)),
        (Route::ListSlots, caller.request(Method::GET, "/v1/users/ann/slots")),
        (Route::DeleteSlot, caller.request(Method::DELETE, "/v1/users/ann/slots/a")),
        (Route::Webhook, webhook(&caller, &[], 0, "")),
    ] {
        let struck = caller.service.faults().arm(Fault::at(route, Effect::Answer { status: 503, retry_after: None }));
        assert_eq!(answer(request).await.0, StatusCode::SERVICE_UNAVAILABLE, "{route:?}");
        assert_eq!((struck.count(), caller.service.faults().armed()), (1, 0), "{route:?}");
        assert!(caller.service.accepts(FIRST).await, "{route:?}");
    }
    assert_eq!(caller.service.refused(), 0, "a fault is no refusal of a signature");
}
