//! Keys that the provider makes: each with a tag, and the live one with at most one beside it.

use keywheel::core::Step;
use keywheel::secrets::{Label, Stored};
use keywheel::state::{StateStore, sqlite::SqliteState};
use keywheel_keyservice::{Effect, Fault, KeyService, Options, Route};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Case, Key, Kind, answer, field};
use crate::crash::{End, began};
use crate::house::House;

/// How many keys there may be at once: the live one, and one beside it.
const MOST: usize = 2;

/// The service itself would allow one more of each, so that one too many is seen and not refused.
pub fn options() -> Options {
    Options { quota: MOST + 1, slots: MOST + 1, page: 1, ..Options::default() }
}

/// A key made by hand. What the policy says of it, and its value.
pub async fn arrange(kind: Kind, service: &KeyService, house: &House, name: &str) -> (String, String) {
    match kind.end {
        End::Done => {}
        // What it makes is seen to work once, and then never more.
        End::RolledBack => {
            let refused = Effect::Answer { status: 401, retry_after: None };
            service.faults().arm(Fault::at(Route::WhoAmI, refused).skip(1).times(usize::MAX));
        }
    }
    house.put("keys/admin", "admin", &Options::default().admin_token);
    let url = format!("{}/v1/users/{name}/keys", service.url());
    let made = answer(Method::POST, url, &json!({ "name": "made by hand" })).await;
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.expect("JSON");
    house.put_fields(name, &json!({ "key_id": made["id"], "key": made["key"] }));
    let disable = if kind.key == Key::DisabledFirst { ", disable_first: 1s" } else { "" };
    let lines = format!(
        "rotator: keyservice\ntarget: {{ url: \"{}\", user: {name} }}\nstrategy: overlapping\nrevoke: {{ after: 0s{disable} }}",
        service.url()
    );
    (lines, made["key"].as_str().expect("a text").to_owned())
}

pub async fn check(case: &Case, when: &str) {
    let held: Vec<String> =
        case.house.versions(&case.name).await.iter().map(|stored| field(stored, "key_id")).collect();
    let state = SqliteState::open(&case.house.path("state.db")).await.expect("the state opens");
    let open = state.open_of(&case.name).await.expect("the state is readable");
    let tag = open.map(|open| format!("keywheel:{}", open.fixed.id));
    for key in case.service.keys(&case.name).await {
        let known = held.contains(&key.id) || tag.as_ref() == Some(&key.name);
        assert!(known, "S1 {when}: key {} is held by nobody, and no rotation under way knows its tag", key.id);
    }
    let current = case.held(Label::Current).await.expect("there is a CURRENT");
    assert!(case.accepts(&field(&current, "key")).await, "S2 {when}: CURRENT is refused");
    if !began(&case.house, Step::Revoke).await {
        assert!(case.accepts(&case.first).await, "S3 {when}: the first key is refused");
    }
    assert!(case.service.most_keys(&case.name) <= MOST, "{when}: more keys than {MOST}");
}

/// With the value of `CURRENT`.
pub async fn check_end(case: &Case, when: &str, current: &Stored) -> String {
    let keys = case.service.keys(&case.name).await;
    assert_eq!(keys.len(), 1, "{when}: no orphan, and no previous key: {keys:?}");
    assert_eq!(keys[0].id, field(current, "key_id"), "{when}: the one key is CURRENT");
    field(current, "key")
}
