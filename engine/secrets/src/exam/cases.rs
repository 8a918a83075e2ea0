//! The cases. Each begins with an empty store.

mod fences;

pub(super) use fences::{
    a_late_stage_leaves_the_live_pending, every_write_raises_the_fence, fences_outlive_versions_and_are_of_one_secret,
    older_workers_change_nothing, refused_writes_raise_no_fence, the_same_fence_may_write_again,
};

use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use keywheel_sdk::{Bundle, EXPIRES_AT, Secret};

use crate::{
    Label, Labels, MAX_BUNDLE_BYTES, MAX_NAME_BYTES, SecretInfo, SecretStore, SecretsError, Selector, Stored,
    VersionInfo,
};

type Store = Arc<dyn SecretStore>;

const NAME: &str = "prod/orders/db";
/// Of a lease that nobody disputes.
const FENCE: u64 = 5;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("small numbers are in range")
}

fn login(password: &str) -> Bundle {
    Bundle::login("app_a", Secret::new(password.to_owned()))
}

fn on(pending: Option<&str>, current: Option<&str>, previous: Option<&str>) -> Labels {
    let owned = |version: Option<&str>| version.map(str::to_owned);
    Labels { pending: owned(pending), current: owned(current), previous: owned(previous) }
}

async fn labels(store: &Store) -> Labels {
    store.labels(NAME).await.expect("labels can be read")
}

async fn read(store: &Store, which: Selector<'_>) -> Option<Stored> {
    store.read(NAME, which).await.expect("versions can be read")
}

async fn holds(store: &Store, version: &str, password: &str) -> bool {
    let stored = read(store, Selector::Version(version)).await;
    stored.is_some_and(|stored| stored.version == version && stored.bundle.same_as(&login(password)))
}

async fn stage(store: &Store, version: &str) {
    store.stage(NAME, version, &login(version), at(1), FENCE).await.expect("it can be staged");
}

async fn promote(store: &Store, version: &str, replaces: Option<&str>) {
    store.promote(NAME, version, replaces, at(2), FENCE).await.expect("it can be promoted");
}

/// Stages and promotes `versions` one after the other.
async fn rotate(store: &Store, versions: &[&str]) {
    let mut replaces = None;
    for version in versions {
        stage(store, version).await;
        promote(store, version, replaces).await;
        replaces = Some(version);
    }
}

/// It was a conflict, and the labels did not move.
#[track_caller]
fn conflict<T>(result: Result<T, SecretsError>) {
    match result {
        Err(SecretsError::Conflict { secret, .. }) => assert_eq!(secret, NAME),
        Err(other) => panic!("not a conflict: {other}"),
        Ok(_) => panic!("not refused"),
    }
}

pub(super) async fn unknown_secrets_have_no_labels(store: Store) {
    assert_eq!(labels(&store).await, Labels::default());
    assert!(read(&store, Selector::Label(Label::Current)).await.is_none());
    assert!(read(&store, Selector::Version("v1")).await.is_none());
    assert!(store.versions(NAME).await.expect("reading").is_empty());
    assert!(store.list().await.expect("reading").is_empty());
    conflict(store.promote(NAME, "v1", None, at(1), FENCE).await);
    assert!(store.list().await.expect("reading").is_empty(), "a refused change leaves no trace");
}

pub(super) async fn staging_makes_pending(store: Store) {
    stage(&store, "v1").await;
    assert_eq!(labels(&store).await, on(Some("v1"), None, None));
    let stored = read(&store, Selector::Label(Label::Pending)).await.expect("it is there");
    assert_eq!((stored.version.as_str(), stored.label), ("v1", Some(Label::Pending)));
    assert!(stored.bundle.same_as(&login("v1")));
    assert!(read(&store, Selector::Label(Label::Current)).await.is_none(), "nobody reads what is only staged");
}

pub(super) async fn staging_again_is_fine(store: Store) {
    stage(&store, "v1").await;
    store.stage(NAME, "v1", &login("v1"), at(9), FENCE).await.expect("the same again");
    assert_eq!(labels(&store).await, on(Some("v1"), None, None));
    assert_eq!(store.versions(NAME).await.expect("reading").len(), 1);
}

pub(super) async fn staging_another_value_is_refused(store: Store) {
    stage(&store, "v1").await;
    conflict(store.stage(NAME, "v1", &login("another"), at(1), FENCE).await);
    conflict(store.stage(NAME, "v1", &login("v1").with("port", Secret::new("1".to_owned())), at(1), FENCE).await);
    assert!(holds(&store, "v1", "v1").await);
}

pub(super) async fn staging_replaces_the_earlier_pending(store: Store) {
    rotate(&store, &["v1"]).await;
    stage(&store, "v2").await;
    stage(&store, "v3").await;
    assert_eq!(labels(&store).await, on(Some("v3"), Some("v1"), None));
    assert!(read(&store, Selector::Version("v2")).await.is_none(), "the earlier one is destroyed");
}

pub(super) async fn staging_what_was_promoted_is_refused(store: Store) {
    rotate(&store, &["v1", "v2"]).await;
    for version in ["v1", "v2"] {
        conflict(store.stage(NAME, version, &login(version), at(3), FENCE).await);
    }
    assert_eq!(labels(&store).await, on(None, Some("v2"), Some("v1")));
}

pub(super) async fn the_first_promotion_replaces_nothing(store: Store) {
    stage(&store, "v1").await;
    promote(&store, "v1", None).await;
    assert_eq!(labels(&store).await, on(None, Some("v1"), None));
    assert!(holds(&store, "v1", "v1").await);
}

pub(super) async fn promotion_moves_both_labels(store: Store) {
    rotate(&store, &["v1", "v2"]).await;
    assert_eq!(labels(&store).await, on(None, Some("v2"), Some("v1")));
    assert!(holds(&store, "v1", "v1").await && holds(&store, "v2", "v2").await);
}

pub(super) async fn promotion_destroys_the_older_previous(store: Store) {
    rotate(&store, &["v1", "v2", "v3"]).await;
    assert_eq!(labels(&store).await, on(None, Some("v3"), Some("v2")));
    assert!(read(&store, Selector::Version("v1")).await.is_none());
}

pub(super) async fn promotion_from_another_current_is_refused(store: Store) {
    rotate(&store, &["v1"]).await;
    stage(&store, "v2").await;
    conflict(store.promote(NAME, "v2", None, at(3), FENCE).await);
    conflict(store.promote(NAME, "v2", Some("v0"), at(3), FENCE).await);
    conflict(store.promote(NAME, "v2", Some("v2"), at(3), FENCE).await);
    assert_eq!(labels(&store).await, on(Some("v2"), Some("v1"), None));
}

pub(super) async fn promotion_of_what_is_not_pending_is_refused(store: Store) {
    rotate(&store, &["v1", "v2"]).await;
    conflict(store.promote(NAME, "v3", Some("v2"), at(3), FENCE).await);
    conflict(store.promote(NAME, "v1", Some("v2"), at(3), FENCE).await);
    stage(&store, "v3").await;
    conflict(store.promote(NAME, "v4", Some("v2"), at(3), FENCE).await);
    assert_eq!(labels(&store).await, on(Some("v3"), Some("v2"), Some("v1")));
}

pub(super) async fn promoting_again_is_fine(store: Store) {
    stage(&store, "v1").await;
    for _ in 0..2 {
        store.promote(NAME, "v1", None, at(2), FENCE).await.expect("as often as one likes");
    }
    stage(&store, "v2").await;
    for second in [3, 4] {
        store.promote(NAME, "v2", Some("v1"), at(second), FENCE).await.expect("as often as one likes");
    }
    assert_eq!(labels(&store).await, on(None, Some("v2"), Some("v1")));
    assert_eq!(store.versions(NAME).await.expect("reading")[0].promoted_at, Some(at(3)), "the first time counts");
}

pub(super) async fn promoting_again_is_refused_once_the_labels_moved(store: Store) {
    rotate(&store, &["v1", "v2", "v3"]).await;
    conflict(store.promote(NAME, "v2", Some("v1"), at(3), FENCE).await);
    conflict(store.promote(NAME, "v3", Some("v1"), at(3), FENCE).await);
    assert_eq!(labels(&store).await, on(None, Some("v3"), Some("v2")));
}

pub(super) async fn one_of_many_promotions_wins(store: Store) {
    rotate(&store, &["v1"]).await;
    stage(&store, "v2").await;
    // Half promote what is staged; half believe in another history. Both sorts at once, several times.
    let attempts = (0..16).map(|n| {
        let store = Arc::clone(&store);
        async move {
            let replaces = if n % 2 == 0 { "v1" } else { "v0" };
            store.promote(NAME, "v2", Some(replaces), at(3), FENCE).await
        }
    });
    for (n, result) in join_all(attempts).await.into_iter().enumerate() {
        assert_eq!(result.is_ok(), n % 2 == 0, "attempt {n}: {result:?}");
    }
    // Of several people who put a value at once, one is first.
    let puts = (0..8).map(|n| {
        let store = Arc::clone(&store);
        async move { store.put(NAME, &format!("p{n}"), &login("put"), Some("v2"), at(4), FENCE).await.is_ok() }
    });
    assert_eq!(join_all(puts).await.into_iter().filter(|&won| won).count(), 1);
    assert_eq!(labels(&store).await.previous.as_deref(), Some("v2"));
}

pub(super) async fn many_may_stage_the_same(store: Store) {
    let same = (0..8).map(|_| stage(&store, "v1"));
    join_all(same).await;
    assert!(holds(&store, "v1", "v1").await);
    assert_eq!(store.versions(NAME).await.expect("reading").len(), 1);
}

pub(super) async fn discarding_pending_and_previous(store: Store) {
    rotate(&store, &["v1", "v2"]).await;
    stage(&store, "v3").await;
    for version in ["v3", "v1"] {
        store.discard(NAME, version, FENCE).await.expect("it may go");
        assert!(read(&store, Selector::Version(version)).await.is_none());
    }
    assert_eq!(labels(&store).await, on(None, Some("v2"), None));
}

pub(super) async fn discarding_current_is_refused(store: Store) {
    rotate(&store, &["v1"]).await;
    conflict(store.discard(NAME, "v1", FENCE).await);
    assert!(holds(&store, "v1", "v1").await);
}

pub(super) async fn discarding_what_is_gone_is_fine(store: Store) {
    store.discard(NAME, "v1", FENCE).await.expect("no such secret");
    stage(&store, "v1").await;
    for version in ["v0", "v1", "v1"] {
        store.discard(NAME, version, FENCE).await.expect("gone or going");
    }
    assert_eq!(labels(&store).await, Labels::default());
    assert!(store.list().await.expect("reading").is_empty(), "a secret without versions is no secret");
}

pub(super) async fn putting_makes_current_at_once(store: Store) {
    store.put(NAME, "v1", &login("v1"), None, at(1), FENCE).await.expect("the first");
    assert_eq!(labels(&store).await, on(None, Some("v1"), None));
    store.put(NAME, "v2", &login("v2"), Some("v1"), at(2), FENCE).await.expect("the second");
    assert_eq!(labels(&store).await, on(None, Some("v2"), Some("v1")));
    store.put(NAME, "v3", &login("v3"), Some("v2"), at(3), FENCE).await.expect("the third");
    assert_eq!(labels(&store).await, on(None, Some("v3"), Some("v2")));
    assert!(read(&store, Selector::Version("v1")).await.is_none());
    assert!(holds(&store, "v3", "v3").await);
}

pub(super) async fn putting_again_is_fine(store: Store) {
    rotate(&store, &["v1"]).await;
    for _ in 0..2 {
        store.put(NAME, "v2", &login("v2"), Some("v1"), at(3), FENCE).await.expect("as often as one likes");
    }
    conflict(store.put(NAME, "v2", &login("another"), Some("v1"), at(3), FENCE).await);
    assert_eq!(labels(&store).await, on(None, Some("v2"), Some("v1")));
    assert!(holds(&store, "v2", "v2").await);
}

pub(super) async fn putting_during_a_rotation_is_refused(store: Store) {
    rotate(&store, &["v1"]).await;
    stage(&store, "v2").await;
    conflict(store.put(NAME, "v3", &login("v3"), Some("v1"), at(3), FENCE).await);
    conflict(store.put(NAME, "v2", &login("v2"), Some("v1"), at(3), FENCE).await);
    assert_eq!(labels(&store).await, on(Some("v2"), Some("v1"), None));
    store.discard(NAME, "v2", FENCE).await.expect("rolled back");
    store.put(NAME, "v3", &login("v3"), Some("v1"), at(3), FENCE).await.expect("now it may");
}

pub(super) async fn putting_on_another_current_is_refused(store: Store) {
    conflict(store.put(NAME, "v1", &login("v1"), Some("v0"), at(1), FENCE).await);
    rotate(&store, &["v1"]).await;
    conflict(store.put(NAME, "v2", &login("v2"), None, at(3), FENCE).await);
    assert_eq!(labels(&store).await, on(None, Some("v1"), None));
}

pub(super) async fn putting_a_used_version_is_refused(store: Store) {
    rotate(&store, &["v1", "v2"]).await;
    conflict(store.put(NAME, "v1", &login("v1"), Some("v2"), at(3), FENCE).await);
    conflict(store.put(NAME, "v2", &login("v2"), Some("v2"), at(3), FENCE).await);
    assert_eq!(labels(&store).await, on(None, Some("v2"), Some("v1")));
}

pub(super) async fn versions_are_newest_first(store: Store) {
    // Neither names nor times are in the order of creation.
    for (version, replaces, second) in [("m", None, 50), ("z", Some("m"), 20)] {
        store.stage(NAME, version, &login(version), at(second), FENCE).await.expect("staging");
        store.promote(NAME, version, replaces, at(second + 1), FENCE).await.expect("promoting");
    }
    store.stage(NAME, "a", &login("a"), at(10), FENCE).await.expect("staging");
    let info = |version: &str, label, created, promoted: Option<i64>| VersionInfo {
        version: version.to_owned(),
        label: Some(label),
        created_at: at(created),
        promoted_at: promoted.map(at),
        expires_at: None,
    };
    let expected = [
        info("a", Label::Pending, 10, None),
        info("z", Label::Current, 20, Some(21)),
        info("m", Label::Previous, 50, Some(51)),
    ];
    assert_eq!(store.versions(NAME).await.expect("reading"), expected);
}

pub(super) async fn lists_are_in_name_order(store: Store) {
    for name in ["zeta", "Alpha", "alpha", "ärger", "alpha/b"] {
        store.stage(name, "v1", &login("x"), at(1), FENCE).await.expect("staging");
    }
    store.promote("alpha", "v1", None, at(7), FENCE).await.expect("promoting");
    let pending = |name: &str| SecretInfo {
        name: name.to_owned(),
        labels: on(Some("v1"), None, None),
        current_since: None,
        current_expires_at: None,
    };
    let current = SecretInfo {
        name: "alpha".to_owned(),
        labels: on(None, Some("v1"), None),
        current_since: Some(at(7)),
        ..pending("alpha")
    };
    let expected = [pending("Alpha"), current, pending("alpha/b"), pending("zeta"), pending("ärger")];
    assert_eq!(store.list().await.expect("reading"), expected);
}

pub(super) async fn times_are_kept_and_decide_nothing(store: Store) {
    let exact: Timestamp = "2026-03-29T01:59:59.123456789Z".parse().expect("a time");
    store.stage(NAME, "v1", &login("v1"), exact, FENCE).await.expect("staging");
    store.promote(NAME, "v1", None, at(-5), FENCE).await.expect("earlier than staged, and fine");
    let stored = read(&store, Selector::Version("v1")).await.expect("it is there");
    assert_eq!(stored.created_at, exact);
    assert_eq!(store.list().await.expect("reading")[0].current_since, Some(at(-5)));
}

pub(super) async fn the_end_of_a_value_is_told_without_the_value(store: Store) {
    let ends = |text: &str| login("x").with(EXPIRES_AT, Secret::new(text.to_owned()));
    store.stage(NAME, "v1", &ends("2027-01-02T03:04:05+01:00"), at(1), FENCE).await.expect("staging");
    let listed = &store.list().await.expect("reading")[0];
    assert_eq!(listed.current_expires_at, None, "it is not CURRENT yet");
    store.promote(NAME, "v1", None, at(2), FENCE).await.expect("promoting");
    let end: Timestamp = "2027-01-02T02:04:05Z".parse().expect("a time");
    assert_eq!(store.list().await.expect("reading")[0].current_expires_at, Some(end));
    // What is no instant is kept like any other text, and says nothing.
    store.put(NAME, "v2", &ends("next summer"), Some("v1"), at(3), FENCE).await.expect("putting");
    assert_eq!(store.list().await.expect("reading")[0].current_expires_at, None);
    let ends: Vec<_> = store.versions(NAME).await.expect("reading").into_iter().map(|info| info.expires_at).collect();
    assert_eq!(ends, [None, Some(end)]);
}

pub(super) async fn secrets_do_not_touch_each_other(store: Store) {
    let other = "prod/billing/db";
    rotate(&store, &["v1"]).await;
    store.stage(other, "v1", &login("theirs"), at(1), FENCE).await.expect("the same version name elsewhere");
    store.promote(other, "v1", None, at(2), FENCE).await.expect("promoting");
    store.stage(other, "v2", &login("theirs too"), at(3), FENCE).await.expect("staging");
    store.discard(other, "v2", FENCE).await.expect("discarding");
    assert_eq!(labels(&store).await, on(None, Some("v1"), None));
    assert!(holds(&store, "v1", "v1").await);
}

pub(super) async fn odd_names_and_values_survive(store: Store) {
    let name = "prod/größe 🔑/'; DROP TABLE versions; --";
    let version = "v 1 % _ \"quoted\" ";
    let bundle = Bundle::new()
        .with("", Secret::new(String::new()))
        .with("päss\nwörd\0", Secret::new("🔑 \0 \n \" ' \\ \u{feff}".to_owned()))
        .with("dsn", Secret::new("postgres://app_a:p%40ss@db/orders?sslmode=verify-full".to_owned()));
    store.stage(name, version, &bundle, at(1), FENCE).await.expect("staging");
    store.promote(name, version, None, at(2), FENCE).await.expect("promoting");
    let stored = store.read(name, Selector::Label(Label::Current)).await.expect("reading").expect("it is there");
    assert_eq!(stored.version, version);
    assert!(stored.bundle.same_as(&bundle));

    store.stage(NAME, "empty", &Bundle::new(), at(1), FENCE).await.expect("an empty bundle");
    let stored = read(&store, Selector::Version("empty")).await.expect("it is there");
    assert!(stored.bundle.is_empty());
}

pub(super) async fn big_values_survive(store: Store) {
    let big: String = (0..200_000_u32).map(|n| char::from(b'!' + (n % 90) as u8)).collect();
    let bundle = Bundle::new().with("key", Secret::new(big)).with("password", Secret::new("small".to_owned()));
    store.put(NAME, "v1", &bundle, None, at(1), FENCE).await.expect("putting");
    let stored = read(&store, Selector::Label(Label::Current)).await.expect("it is there");
    assert!(stored.bundle.same_as(&bundle));
}

pub(super) async fn bad_names_and_sizes_are_refused(store: Store) {
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    let huge = Bundle::new().with("key", Secret::new("x".repeat(MAX_BUNDLE_BYTES)));
    let fine = login("x");
    for (secret, version, bundle) in [
        ("", "v1", &fine),
        (NAME, "", &fine),
        (long.as_str(), "v1", &fine),
        (NAME, long.as_str(), &fine),
        ("two\nlines", "v1", &fine),
        (NAME, "v\u{7}1", &fine),
        (NAME, "v1", &huge),
    ] {
        let staged = store.stage(secret, version, bundle, at(1), FENCE).await;
        assert!(matches!(staged, Err(SecretsError::Invalid(_))), "{staged:?}");
        let put = store.put(secret, version, bundle, None, at(1), FENCE).await;
        assert!(matches!(put, Err(SecretsError::Invalid(_))), "{put:?}");
    }
    assert!(store.list().await.expect("reading").is_empty());
}
