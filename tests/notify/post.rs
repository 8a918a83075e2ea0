//! Webhooks and chats, received by a program that knows only their documents.

use std::collections::BTreeSet;

use keywheel_testkit::Certificates;
use serde_json::{Value, json};

use super::{Office, policies_without_target, ran};
use crate::house::House;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SCHEDULE: &str = "schedule: { manual: true }";

fn receiver(options: &Value) -> Option<Office> {
    Office::start("receiver.py", "http.server", options)
}

#[test]
fn a_webhook_is_signed_and_a_repeated_one_is_the_same() {
    let house = House::new();
    let Some(receiver) = receiver(&json!({ "key": KEY, "answers": [500, 429] })) else { return };
    house.settings(&format!(
        "notifiers:\n  pager:\n    webhook:\n      url: http://127.0.0.1:{}/keywheel\n      signed_with:\n        \
         - {{ secret: hooks/next }}\n        - {{ file: hook.key }}\n",
        receiver.port
    ));
    house.put("hooks/next", "-", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    std::fs::write(house.path("hook.key"), format!("{KEY}\n")).expect("the house is writable");
    policies_without_target(&house, &["orders"], "roll-back", SCHEDULE);
    assert_eq!(ran(&house, &["notify", "send"]).0, 0, "it begins");
    assert_eq!(ran(&house, &["rotate", "orders"]).0, 3);
    let mut ids = BTreeSet::new();
    for (status, code, trouble) in [(500, 6, "answered 500"), (429, 6, "answered 429"), (200, 0, "")] {
        let (found, said) = ran(&house, &["notify", "send"]);
        assert_eq!(found, code, "{said}");
        let request = receiver.next();
        assert_eq!((&request["status"], &request["genuine"]), (&json!(status), &json!(true)), "{request}");
        assert_eq!(request["path"], "/keywheel");
        assert_eq!(request["headers"]["content-type"], "application/json");
        assert_eq!(request["headers"]["webhook-signature"].as_str().expect("signed").split(' ').count(), 2);
        ids.insert(request["headers"]["webhook-id"].to_string());
        let body = &request["body"];
        assert_eq!((&body["type"], &body["data"]["total"]), (&json!("keywheel.notices"), &json!(1)));
        let notice = &body["data"]["notices"][0];
        assert_eq!((&notice["kind"], &notice["secret"]), (&json!("rolled-back"), &json!("orders")));
        let listed = house.json(&["notify", "list"])[0]["trouble"].as_str().unwrap_or_default().to_owned();
        assert!(listed.contains(trouble) && listed.is_empty() == trouble.is_empty(), "{listed}");
    }
    assert_eq!(ids.len(), 1, "a receiver knows the repeated one");
}

#[test]
fn chats_get_what_they_understand_and_their_address_is_shown_nowhere() {
    let house = House::new();
    let certificates = Certificates::for_names(&["localhost"]);
    for (name, text) in
        [("ca.pem", &certificates.authority), ("c.pem", &certificates.certificate), ("c.key", &certificates.key)]
    {
        std::fs::write(house.path(name), text).expect("the house is writable");
    }
    let options = json!({
        "certificate": house.path("c.pem"), "private_key": house.path("c.key"), "answers": [200, 200, 302, 404],
    });
    let Some(receiver) = receiver(&options) else { return };
    house.settings(
        "notifiers:\n  chat: { slack: { url: { secret: chat/url }, ca_file: ca.pem } }\n  \
         room: { teams: { url: { secret: chat/url }, ca_file: ca.pem } }\n",
    );
    let canary = "T0000-canary-of-an-address";
    house.put("chat/url", "-", &format!("https://localhost:{}/services/{canary}", receiver.port));
    let mut all = String::new();
    let (code, said) = ran(&house, &["notify", "test", "chat"]);
    assert_eq!(code, 0, "{said}");
    let text = receiver.next()["body"]["text"].as_str().expect("Slack's form").to_owned();
    let (title, rest) = text.split_once('\n').expect("two lines");
    assert!(title.starts_with("keywheel on ") && title.ends_with(": test"), "{text}");
    assert!(rest.starts_with("• TEST: somebody wants to see"), "{text}");
    assert_eq!(ran(&house, &["notify", "test", "room"]).0, 0);
    let card = receiver.next()["body"]["attachments"][0].clone();
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    let first = card["content"]["body"][0]["inlines"][0]["text"].as_str().expect("a run of text").to_owned();
    assert_eq!(first, title_of(&text));
    for wanted in ["answered 302", "answered 404"] {
        let (code, said) = ran(&house, &["notify", "test", "chat"]);
        assert!(code == 7 && said.contains(wanted), "{said}");
        all.push_str(&said);
        receiver.next();
    }
    assert!(receiver.all().is_empty(), "no redirect is followed");
    house.put("chat/url", "-", &format!("http://example.com/services/{canary}"));
    let (code, said) = ran(&house, &["notify", "test", "chat"]);
    assert!(code == 7 && said.contains("no `https://` address"), "{said}");
    drop(receiver);
    house.search(&BTreeSet::from([canary.to_owned()]), &format!("{all}{said}"));
}

fn title_of(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[test]
fn the_log_is_told_too() {
    let house = House::new();
    house.settings("notifiers:\n  journal: { log: {}, group_wait: 0s }\n");
    policies_without_target(&house, &["orders"], "roll-back", "adopt: rotate\nschedule: { every: 30d }");
    house.run(&["notify", "send"]);
    assert_eq!(ran(&house, &["rotate", "orders"]).0, 3);
    let mut daemon = house.daemon("keywheel=info", None);
    let seen = daemon.until(&["rolled back, and the target is as before"]);
    let fields = &seen.last().expect("it was said")["fields"];
    assert_eq!(
        (&fields["kind"], &fields["secret"], &fields["policy"]),
        (&json!("rolled-back"), &json!("orders"), &json!("orders"))
    );
    daemon.stop();
}
