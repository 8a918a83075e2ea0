//! The list: whole, or not at all.

use std::time::{Duration, UNIX_EPOCH};

use keywheel_sdk::{Effect, Retry, Rotator};
use serde_json::json;

use crate::fake::{DECLARATION, Fake, Fault, call};

const CURSOR: &str = "next: { cursor: \"$.next_cursor\", parameter: cursor }";

#[tokio::test]
async fn an_orphan_is_found_on_every_page() {
    for (paging, next) in
        [("cursor", CURSOR), ("link", "next: { link: true }"), ("page", "next: { page: page, first: 1 }")]
    {
        let fake = Fake::with(&DECLARATION.replace(CURSOR, next)).await;
        fake.scene().paging = paging;
        for n in 0..7 {
            fake.has(&format!("k{n}"), Some(if n % 3 == 0 { "keywheel:r-1" } else { "other" }));
        }
        let target = fake.target(json!({}));
        fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap();
        assert_eq!(fake.ids(), ["k1", "k2", "k4", "k5"], "{paging}");
    }
}

#[tokio::test]
async fn what_is_kept_stays() {
    let fake = Fake::start().await;
    let kept = fake.has("kept", Some("keywheel:r-1"));
    fake.has("orphan", Some("keywheel:r-1"));
    let target = fake.target(json!({}));
    fake.rotator.sweep(&call(&target), &[], &[&kept]).await.unwrap();
    assert_eq!(fake.ids(), ["kept"]);
    assert_eq!(fake.count("delete"), 1);
    let no_id = keywheel_sdk::Bundle::new();
    assert_eq!(fake.rotator.sweep(&call(&target), &[], &[&no_id]).await.unwrap_err().effect, Effect::None);
    assert_eq!(fake.ids(), ["kept"]);
}

#[tokio::test]
async fn a_list_that_goes_round_in_circles_ends() {
    let fake = Fake::start().await;
    fake.scene().paging = "stuck";
    fake.has("orphan", Some("keywheel:r-1"));
    let target = fake.target(json!({}));
    let error = fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "unexpected-answer"));
    assert!(fake.count("list") <= 3);
    assert_eq!(fake.ids(), ["orphan"]);
}

#[tokio::test]
async fn an_error_is_no_empty_list() {
    for (status, body, retry) in [
        (200, "{\"error\": \"try later\"}".to_owned(), Retry::Never),
        (200, "{\"keys\": null}".to_owned(), Retry::Never),
        (200, "{\"keys\": {}}".to_owned(), Retry::Never),
        (200, "{\"keys\": [{\"name\": \"no id\"}]}".to_owned(), Retry::Never),
        (200, "<html>".to_owned(), Retry::Now),
        (200, String::new(), Retry::Now),
        (204, String::new(), Retry::Now),
        (500, "{\"keys\": []}".to_owned(), Retry::Now),
        (200, format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(2_000_000)), Retry::Now),
    ] {
        let fake = Fake::start().await;
        fake.has("orphan", Some("keywheel:r-1"));
        fake.fault("list", Fault::Instead(status, &[], body.clone()));
        let target = fake.target(json!({}));
        let error = fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap_err();
        assert_eq!((error.effect, error.retry), (Effect::None, retry), "{status}: {error}");
        assert_eq!(fake.ids(), ["orphan"], "{status}");
    }
}

#[tokio::test]
async fn a_failure_after_the_first_deletion_may_have_changed_something() {
    let fake = Fake::start().await;
    fake.has("a", Some("keywheel:r-1"));
    fake.has("b", Some("keywheel:r-1"));
    fake.fault("disable", Fault::After(204, String::new()));
    fake.fault("disable", Fault::Instead(403, &[], String::new()));
    let target = fake.target(json!({}));
    assert_eq!(fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap_err().effect, Effect::Unknown);
    fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap();
    assert!(fake.ids().is_empty());
}

#[tokio::test]
async fn nothing_is_deleted_where_the_live_key_may_go_by_another_id() {
    let fake = Fake::start().await;
    let target = fake.target(json!({}));
    let live = fake.rotator.generate(&call(&target), None).await.unwrap();
    let by_another_id = live.with("key_id", keywheel_sdk::Secret::new("17".to_owned()));
    let error = fake.rotator.sweep(&call(&target), &[], &[&by_another_id]).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "not-listed"));
    assert_eq!(fake.ids(), ["new1"]);
}

#[tokio::test]
async fn a_key_that_no_sweep_would_find_is_not_kept() {
    // The list has the tag somewhere else than the declaration says.
    let fake = Fake::with(&DECLARATION.replace("tag: \"$.name\"", "tag: \"$.label\"")).await;
    let target = fake.target(json!({}));
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, "not-listed"));
    assert!(fake.ids().is_empty(), "it was deleted: {:?}", fake.ids());
}

#[tokio::test]
async fn a_cursor_on_the_last_page_ends_nothing() {
    let fake = Fake::with(&DECLARATION.replace("parameter: cursor }", "parameter: cursor, more: \"$.more\" }")).await;
    let target = fake.target(json!({}));
    let page = |more: &str, ids: &str| format!("{{\"keys\": [{ids}], {more} \"next_cursor\": \"2\"}}");
    let key = |id: &str| format!("{{\"id\": \"{id}\", \"name\": \"other\"}}");
    for last in ["\"more\": false,", "\"more\": \"false\","] {
        fake.fault("list", Fault::Instead(200, &[], page("\"more\": true,", &key("a"))));
        fake.fault("list", Fault::Instead(200, &[], page(last, &key("b"))));
        fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap();
    }
    assert_eq!(fake.count("list"), 4);
    for (more, cursor) in
        [("", "\"x\""), ("\"more\": 1,", "\"x\""), ("\"more\": null,", "\"x\""), ("\"more\": true,", "null")]
    {
        fake.fault("list", Fault::Instead(200, &[], format!("{{\"keys\": [], {more} \"next_cursor\": {cursor}}}")));
        let error = fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap_err();
        assert_eq!((error.effect, error.code.as_str()), (Effect::None, "unexpected-answer"), "{more}");
    }
}

#[tokio::test]
async fn a_link_stays_within_the_address_of_the_declaration() {
    let fake = Fake::with(&DECLARATION.replace(CURSOR, "next: { link: true }")).await;
    let target = fake.target(json!({}));
    for link in ["/", "/other/keys", "/basement/keys", "/base/../other", "/base/%2e%2e/other", "../../../../../other"] {
        let headers = Vec::leak(vec![("link", format!("<{link}>; rel=next"))]);
        fake.fault("list", Fault::Instead(200, headers, "{\"keys\": [{\"id\": 1}]}".to_owned()));
        let error = fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap_err();
        assert_eq!(error.code, "foreign-link", "{link}");
    }
    assert_eq!(fake.count("elsewhere"), 0);
}

#[tokio::test]
async fn a_list_has_a_longest_length() {
    let fake = Fake::start().await;
    let target = fake.target(json!({}));
    for page in 0..20 {
        let body = format!(
            "{{\"keys\": [{{\"id\": \"k{page}\"}}], \"next_cursor\": \"{page}\", \"x\": \"{}\"}}",
            "x".repeat(1_000_000)
        );
        fake.fault("list", Fault::Instead(200, &[], body));
    }
    let error = fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "unexpected-answer"));
    assert!(error.message.contains("longer than 16 MiB") && fake.count("list") == 17, "{error} {}", fake.count("list"));
}

#[tokio::test]
async fn a_live_key_that_is_gone_keeps_no_orphan_alive() {
    let fake = Fake::start().await;
    let target = fake.target(json!({}));
    let live = fake.has("live", Some("keywheel:r-0"));
    fake.has("orphan", Some("keywheel:r-1"));
    let listed = fake.scene().keys.remove(0);
    fake.rotator.sweep(&call(&target), &[], &[&live]).await.unwrap();
    assert!(fake.ids().is_empty(), "the provider refuses it, so it is not one of these by another id");
    drop(listed);
}

#[tokio::test]
async fn a_key_that_is_over_is_as_if_it_were_not_there() {
    let ended = "tag: \"$.name\", ended: \"$[?$.used == 'ended']\"";
    let fake = Fake::with(&DECLARATION.replace("tag: \"$.name\"", ended)).await;
    let target = fake.target(json!({}));
    // A whole page of them, and one that is not over between two that are.
    for (number, over) in [true, true, false, true, true].into_iter().enumerate() {
        fake.has(&format!("k{number}"), Some("keywheel:r-1"));
        fake.scene().keys[number].used = over.then(|| json!("ended"));
    }
    let findings = fake.rotator.preflight(&call(&target), None).await.unwrap();
    assert_eq!(findings[0].what, "the admin sees 1 keys, 1 of them made by rotations");
    fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap();
    assert_eq!(fake.ids(), ["k0", "k1", "k3", "k4"]);
    assert_eq!(fake.count("delete"), 1, "nobody asks for the end of what has ended");
}

#[tokio::test]
async fn a_key_that_is_over_was_used_as_any_other() {
    let each = "tag: \"$.name\", ended: \"$[?$.name == 'over']\", last_used: \"$.used\"";
    let fake = Fake::with(&DECLARATION.replace("tag: \"$.name\"", each)).await;
    let target = fake.target(json!({}));
    let key = fake.has("old", Some("over"));
    fake.scene().keys[0].used = Some(json!(1_700_000_000));
    let used = fake.rotator.last_used(&call(&target), &key).await.unwrap();
    assert_eq!(used, Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
    fake.scene().keys.clear();
    assert_eq!(fake.rotator.last_used(&call(&target), &key).await.unwrap_err().code, "not-listed");
}

#[tokio::test]
async fn where_the_live_key_is_over_in_the_list_alone_it_says_so() {
    let each = "tag: \"$.name\", ended: \"$[?$.name == 'over']\"";
    let fake = Fake::with(&DECLARATION.replace("tag: \"$.name\"", each)).await;
    let target = fake.target(json!({}));
    let live = fake.has("live", Some("over"));
    fake.has("orphan", Some("keywheel:r-1"));
    let error = fake.rotator.sweep(&call(&target), &[], &[&live]).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Never, "not-listed"));
    assert!(error.message.contains("shows the live key `live` as ended"), "{error}");
    assert!(error.message.ends_with("see `each.ended` in the declaration"), "{error}");
    assert_eq!(fake.count("delete"), 0);
}

#[tokio::test]
async fn whether_a_key_is_over_is_said_in_words() {
    let fake = Fake::with(&DECLARATION.replace("tag: \"$.name\"", "tag: \"$.name\", ended: \"$.used\"")).await;
    let target = fake.target(json!({}));
    fake.has("k", Some("keywheel:r-0"));
    for (said, over) in [
        (json!(true), Some(true)),
        (json!("true"), Some(true)),
        (json!("2026-01-01"), Some(true)),
        (json!(false), Some(false)),
        (json!("false"), Some(false)),
        (json!(""), Some(false)),
        (json!(null), Some(false)),
        (json!(0), None),
        (json!(1), None),
    ] {
        fake.scene().keys[0].used = Some(said.clone());
        let findings = fake.rotator.preflight(&call(&target), None).await.unwrap();
        match over {
            Some(over) => {
                let what = format!("the admin sees {} keys", u8::from(!over));
                assert!(findings[0].what.starts_with(&what), "{said}: {findings:?}");
            }
            None => assert!(findings[0].what.contains("but a number"), "{said}: {findings:?}"),
        }
    }
}

#[tokio::test]
async fn a_path_that_takes_every_key_for_over_makes_none() {
    let fake = Fake::with(&DECLARATION.replace("tag: \"$.name\"", "tag: \"$.name\", ended: \"$.id\"")).await;
    let target = fake.target(json!({}));
    let error = fake.rotator.generate(&call(&target), None).await.err().unwrap();
    assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, "not-listed"));
    assert!(fake.ids().is_empty(), "it was deleted: {:?}", fake.ids());
}
