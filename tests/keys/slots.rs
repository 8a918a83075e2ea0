//! Values that the engine makes, in the slots of the example service, by the declarations that come with the program: a token in
//! one slot or in two that take turns, and a secret that webhooks are signed with in two.

use std::time::UNIX_EPOCH;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywheel::core::Step;
use keywheel::secrets::{Label, Stored};
use keywheel_keyservice::{KeyService, Options};
use reqwest::Method;
use serde_json::json;

use super::{Case, Key, Kind, answer, field};
use crate::crash::{End, began};
use crate::house::House;

/// The slot that is live at first.
const FIRST: &str = "a";
/// The one that is idle then, where two take turns.
const SECOND: &str = "b";

/// A value put by hand. What the policy says of it, and the value.
pub async fn arrange(kind: Kind, service: &KeyService, house: &House, name: &str) -> (String, String) {
    let token = Options::default().admin_token;
    house.put_fields("keys/admin", &json!({ "token": token, "password": token }));
    let url = format!("{}/v1/users/{name}", service.url());
    // Base64, as a secret of a webhook must be.
    let value = format!("{:0<64}", format!("FirstValueOf{}", name.replace('_', "0")));
    let put = answer(Method::PUT, format!("{url}/slots/{FIRST}"), &json!({ "value": value })).await;
    assert_eq!(put.status(), 204);
    house.put(name, FIRST, &value);
    let declared = |verify: String| format!("{{ url: \"{url}/slots\", verify_url: \"{verify}\" }}");
    let (rotator, target) = match kind.key {
        Key::Alternating => ("webhook-signing", declared(format!("{url}/webhook"))),
        Key::Plugged => ("slots", format!("{{ url: \"{}\", user: {name} }}", service.url())),
        Key::Issued | Key::DisabledFirst | Key::InPlace | Key::AlternatingToken => {
            ("generic", declared(format!("{}/v1/whoami", service.url())))
        }
    };
    let strategy = if kind.key.alternates() {
        format!("{{ alternating: {{ users: [{FIRST}, {SECOND}] }} }}\nrevoke: {{ after: 0s }}")
    } else {
        format!("{{ in_place: {{ user: {FIRST}, accept_gap: true }} }}")
    };
    let lines = format!("rotator: {rotator}\ntarget: {target}\nstrategy: {strategy}");
    // What is there and accepted, and still not what the policy asks for.
    let verify = match kind.end {
        End::Done => "verify: [login]",
        End::RolledBack => "verify: [login, { sql: SELECT 1 }]",
    };
    (format!("{lines}\ngenerate: {{ length: 64, charset: alphanumeric }}\n{verify}"), value)
}

pub async fn check(case: &Case, when: &str) {
    let held = case.house.versions(&case.name).await;
    let held: Vec<_> = held.iter().map(|stored| (field(stored, "username"), field(stored, "password"))).collect();
    for slot in case.service.slots(&case.name).await {
        assert!(held.contains(&slot), "S1 {when}: nobody holds the value of slot {}", slot.0);
    }
    let accepted = async |label| match case.held(label).await {
        Some(stored) => case.accepts(&field(&stored, "password")).await,
        None => false,
    };
    let (current, pending) = (accepted(Label::Current).await, accepted(Label::Pending).await);
    // S3: in place the first value goes with apply, where two take turns with revoke, and with nothing before it.
    let (ends_with, most) = if case.kind.key.alternates() {
        assert!(current, "S2 {when}: CURRENT is refused");
        (Step::Revoke, 2)
    } else {
        assert!(current || pending, "S2 {when}: CURRENT and PENDING are refused");
        (Step::Apply, 1)
    };
    if !began(&case.house, ends_with).await {
        assert!(case.accepts(&case.first).await, "S3 {when}: the first value is refused");
    }
    assert!(case.service.most_slots(&case.name) <= most, "{when}: more slots than {most}");
}

/// Whether the service receives a webhook that this secret has signed.
pub async fn takes_webhook(case: &Case, secret: &str) -> bool {
    let sent = UNIX_EPOCH.elapsed().expect("later than 1970").as_secs();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret).expect("base64"));
    let signature = STANDARD.encode(hmac::sign(&key, format!("msg_test.{sent}.{{}}").as_bytes()));
    let request = reqwest::Client::new()
        .post(format!("{}/v1/users/{}/webhook", case.service.url(), case.name))
        .header("webhook-id", "msg_test")
        .header("webhook-timestamp", sent)
        .header("webhook-signature", format!("v1,{signature}"))
        .body("{}");
    let status = request.send().await.expect("the service answers").status().as_u16();
    assert!([204, 401].contains(&status), "{status} is no answer to a webhook");
    status == 204
}

/// With the value of `CURRENT`.
pub async fn check_end(case: &Case, when: &str, current: &Stored) -> String {
    let (slot, value) = (field(current, "username"), field(current, "password"));
    assert_eq!(
        case.service.slots(&case.name).await,
        [(slot.clone(), value.clone())],
        "{when}: one slot, and CURRENT in it"
    );
    let turned = case.kind.key.alternates() && case.kind.end == End::Done;
    assert_eq!(slot, if turned { SECOND } else { FIRST }, "{when}");
    value
}
