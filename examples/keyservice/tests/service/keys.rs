//! Each endpoint: what it answers, and what it leaves in the database.

use std::time::Duration;

use keywheel_keyservice::{Key, Options};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{Caller, answer, assert_refused, text};

#[tokio::test]
async fn a_key_is_created_used_and_deleted() {
    let caller = Caller::new().await;
    let body = json!({ "name": "first", "scopes": ["read", "write"], "expires_in": 3600 });
    let (status, created) = answer(caller.request(Method::POST, "/v1/users/ann/keys").json(&body)).await;
    assert_eq!(status, StatusCode::CREATED);
    let (id, value) = (text(&created, "id"), text(&created, "key"));
    assert!(id.starts_with("key_") && value.starts_with("ks_") && value.len() == 43, "{created}");
    assert_eq!((&created["name"], &created["enabled"]), (&json!("first"), &json!(true)));
    assert_eq!(created["scopes"], json!(["read", "write"]));

    let stored = caller.service.keys("ann").await.remove(0);
    assert_eq!(stored.last_used_at, None);
    assert_eq!(stored.expires_at.unwrap().duration_since(stored.created_at).as_secs(), 3600);
    let shown = serde_json::from_value::<Key>(created).unwrap();
    assert_eq!(shown, stored, "the same to the millisecond");

    assert!(caller.service.accepts(&value).await);
    assert_eq!(caller.service.keys("ann").await, [stored], "which is no use");
    let (status, me) = caller.whoami(&value).await;
    assert_eq!((status, me), (StatusCode::OK, json!({ "user": "ann", "key_id": id, "scopes": ["read", "write"] })));

    let path = format!("/v1/users/ann/keys/{id}");
    let (status, shown) = caller.call(Method::GET, &path).await;
    assert_eq!((status, shown.get("key")), (StatusCode::OK, None), "the value is shown once");
    assert!(shown["last_used_at"].is_string());

    assert_eq!(caller.call(Method::DELETE, &path).await, (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(caller.service.keys("ann").await, []);
    assert!(!caller.service.accepts(&value).await);
    assert_refused(&caller.whoami(&value).await, 401, "invalid_key");
    for method in [Method::GET, Method::DELETE] {
        assert_refused(&caller.call(method, &path).await, 404, "not_found");
    }
    assert_eq!(caller.service.refused(), 1);
}

#[tokio::test]
async fn a_key_is_disabled_and_enabled() {
    let caller = Caller::new().await;
    let (id, value) = caller.create("a").await;
    for (verb, enabled, status) in [("disable", false, 401), ("disable", false, 401), ("enable", true, 200)] {
        let (done, key) = caller.call(Method::POST, &format!("/v1/users/ann/keys/{id}/{verb}")).await;
        assert_eq!((done, &key["enabled"], text(&key, "id")), (StatusCode::OK, &json!(enabled), id.clone()));
        assert_eq!(caller.service.keys("ann").await[0].enabled, enabled);
        assert_eq!(caller.service.accepts(&value).await, enabled);
        assert_eq!(caller.whoami(&value).await.0.as_u16(), status);
    }
}

#[tokio::test]
async fn a_rotated_key_has_another_value_at_once() {
    let caller = Caller::new().await;
    let (id, first) = caller.create("a").await;
    let (status, key) = caller.call(Method::POST, &format!("/v1/users/ann/keys/{id}/rotate")).await;
    assert_eq!((status, text(&key, "id")), (StatusCode::CREATED, id));
    assert_refused(&caller.whoami(&first).await, 401, "invalid_key");
    assert_eq!(caller.whoami(&text(&key, "key")).await.0, StatusCode::OK);
    assert_eq!(caller.names().await, ["a"]);
}

#[tokio::test]
async fn keys_of_others_are_not_found() {
    let caller = Caller::new().await;
    let (id, value) = caller.create("a").await;
    let path = format!("/v1/users/bob/keys/{id}");
    for (method, verb) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::POST, "/disable"),
        (Method::POST, "/enable"),
        (Method::POST, "/rotate"),
    ] {
        assert_refused(&caller.call(method, &format!("{path}{verb}")).await, 404, "not_found");
    }
    assert_eq!(caller.whoami(&value).await.0, StatusCode::OK);
    assert_eq!(caller.call(Method::GET, "/v1/users/bob/keys").await.1["keys"], json!([]));
}

#[tokio::test]
async fn an_administrator_shows_the_token() {
    let mut caller = Caller::new().await;
    let (id, value) = caller.create("a").await;
    let path = format!("/v1/users/ann/keys/{id}");
    for token in ["another".to_owned(), String::new(), value] {
        caller.token = token;
        for (method, path) in [
            (Method::POST, "/v1/users/ann/keys"),
            (Method::GET, "/v1/users/ann/keys"),
            (Method::GET, &path),
            (Method::DELETE, &path),
            (Method::POST, &format!("{path}/disable")),
            (Method::POST, &format!("{path}/enable")),
            (Method::POST, &format!("{path}/rotate")),
        ] {
            assert_refused(&caller.call(method, path).await, 401, "unauthorized");
        }
    }
    let bare = caller.client.get(format!("{}{path}", caller.service.url()));
    assert_refused(&answer(bare).await, 401, "unauthorized");
    assert!(caller.service.keys("ann").await[0].enabled);
}

#[tokio::test]
async fn the_quota_counts_disabled_keys_too() {
    let caller = Caller::new().await;
    let (id, _) = caller.create("a").await;
    caller.create("b").await;
    caller.call(Method::POST, &format!("/v1/users/ann/keys/{id}/disable")).await;
    assert_refused(&answer(caller.creation("c")).await, 409, "quota_exceeded");
    let bobs = caller.request(Method::POST, "/v1/users/bob/keys").json(&json!({ "name": "a" }));
    assert_eq!(answer(bobs).await.0, StatusCode::CREATED, "it is per user");

    caller.call(Method::DELETE, &format!("/v1/users/ann/keys/{id}")).await;
    caller.create("c").await;
    assert_eq!(caller.names().await, ["b", "c"]);
    let most = |user| caller.service.most_keys(user);
    assert_eq!((most("ann"), most("bob"), most("eve")), (2, 1, 0));
}

#[tokio::test]
async fn creations_at_once_do_not_exceed_the_quota() {
    let caller = Caller::with(Options { quota: 3, ..Options::default() }).await;
    let creations = ["a", "b", "c", "d", "e", "f"].map(|name| tokio::spawn(answer(caller.creation(name))));
    let mut created = 0;
    for creation in creations {
        created += usize::from(creation.await.unwrap().0 == StatusCode::CREATED);
    }
    assert_eq!((created, caller.names().await.len(), caller.service.most_keys("ann")), (3, 3, 3));
}

#[tokio::test]
async fn a_creation_with_the_same_idempotency_key_is_done_once() {
    let caller = Caller::new().await;
    let create = |header: &'static str| answer(caller.creation("a").header("Idempotency-Key", header));
    let (_, first) = create("one").await;
    let (status, again) = create("one").await;
    assert_eq!((status, &again["id"], again.get("key")), (StatusCode::CREATED, &first["id"], None));
    let (_, other) = create("two").await;
    assert_ne!(other["id"], first["id"]);
    assert_eq!(create("one").await.1, again, "at the quota too: nothing is created");
    assert_eq!(caller.names().await.len(), 2);

    let bobs = caller.request(Method::POST, "/v1/users/bob/keys").json(&json!({ "name": "a" }));
    let (_, bobs) = answer(bobs.header("Idempotency-Key", "one")).await;
    assert_ne!(bobs["id"], first["id"], "it is per user");
    assert!(bobs["key"].is_string());
}

#[tokio::test]
async fn a_caller_may_make_the_value() {
    let caller = Caller::new().await;
    let create = |key: &str| {
        answer(caller.request(Method::POST, "/v1/users/ann/keys").json(&json!({ "name": "a", "key": key })))
    };
    let (status, created) = create("made-by-the-caller").await;
    assert_eq!((status, text(&created, "key").as_str()), (StatusCode::CREATED, "made-by-the-caller"));
    assert_eq!(caller.whoami("made-by-the-caller").await.0, StatusCode::OK);
    assert_refused(&create("made-by-the-caller").await, 409, "value_taken");
    for key in ["", "two words", "ümlaut", "x".repeat(256).as_str()] {
        assert_refused(&create(key).await, 400, "invalid_request");
    }
    assert_eq!(caller.names().await, ["a"]);
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let caller = Caller::new().await;
    let create = |expires_in: u32| {
        let body = json!({ "name": "a", "expires_in": expires_in });
        answer(caller.request(Method::POST, "/v1/users/ann/keys").json(&body))
    };
    let (expired, lasting) = (text(&create(0).await.1, "key"), text(&create(u32::MAX).await.1, "key"));
    assert_refused(&caller.whoami(&expired).await, 401, "invalid_key");
    assert!(!caller.service.accepts(&expired).await);
    assert_eq!(caller.whoami(&lasting).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_new_value_is_refused_until_it_is_old_enough() {
    let with = |propagation| Caller::with(Options { propagation, ..Options::default() });
    let caller = with(Duration::from_millis(300)).await;
    let (_, value) = caller.create("a").await;
    while caller.whoami(&value).await.0 != StatusCode::OK {}
    let used = caller.service.keys("ann").await.remove(0);
    let age = used.last_used_at.unwrap().duration_since(used.created_at);
    assert!(age.as_millis() >= 300, "{age}");

    let caller = with(Duration::from_secs(3600)).await;
    let (id, created) = caller.create("a").await;
    let (_, rotated) = caller.call(Method::POST, &format!("/v1/users/ann/keys/{id}/rotate")).await;
    for value in [created, text(&rotated, "key")] {
        assert_refused(&caller.whoami(&value).await, 401, "invalid_key");
        assert!(!caller.service.accepts(&value).await);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let caller = Caller::new().await;
    for body in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": "x".repeat(256) }),
        json!({ "name": "a", "expires_in": -1 }),
        json!({ "name": "a", "scopes": "read" }),
        json!({ "name": "a", "colour": "red" }),
        json!([]),
    ] {
        let request = caller.request(Method::POST, "/v1/users/ann/keys").json(&body);
        assert_refused(&answer(request).await, 400, "invalid_request");
    }
    assert_refused(&answer(caller.creation("a").header("Idempotency-Key", "")).await, 400, "invalid_request");
    assert_refused(&caller.call(Method::GET, "/v1/users").await, 404, "not_found");
    assert_refused(&caller.call(Method::PUT, "/v1/users/ann/keys").await, 405, "method_not_allowed");
    assert_eq!(caller.names().await.len(), 0);
    caller.create(&"ä".repeat(255)).await;
}
