//! Workers that come too late.

use super::{FENCE, NAME, Store, at, conflict, holds, labels, login, on, rotate, stage};

/// Each of the four writes under `fence`, as it would be right after [`prepare`]. `None` for an unknown number.
async fn write(store: &Store, number: usize, fence: u64) -> Option<Result<(), crate::SecretsError>> {
    Some(match number {
        0 => store.stage(NAME, "v4", &login("v4"), at(9), fence).await,
        1 => store.promote(NAME, "v3", Some("v2"), at(9), fence).await,
        2 => store.discard(NAME, "v1", fence).await,
        3 => store.put("other", "p1", &login("p1"), None, at(9), fence).await,
        _ => return None,
    })
}

/// Every write is legal now, and the highest fence seen is [`FENCE`], also for the secret without versions.
async fn prepare(store: &Store) {
    rotate(store, &["v1", "v2"]).await;
    stage(store, "v3").await;
    store.discard("other", "p0", FENCE).await.expect("nothing to discard, and a fence");
}

pub(in crate::exam) async fn older_workers_change_nothing(store: Store) {
    prepare(&store).await;
    for number in 0..4 {
        let late = write(&store, number, FENCE - 1).await.expect("there are four");
        assert!(matches!(late, Err(crate::SecretsError::Conflict { .. })), "write {number}: {late:?}");
    }
    assert_eq!(labels(&store).await, on(Some("v3"), Some("v2"), Some("v1")));
    assert_eq!(store.labels("other").await.expect("reading"), on(None, None, None));
    conflict(store.raise_fence(NAME, FENCE - 1).await);
    // A repeat of what did happen comes too late as well.
    conflict(store.stage(NAME, "v3", &login("v3"), at(9), FENCE - 1).await);
    conflict(store.promote(NAME, "v2", Some("v1"), at(9), FENCE - 1).await);
    conflict(store.discard(NAME, "v0", FENCE - 1).await);
}

pub(in crate::exam) async fn the_same_fence_may_write_again(store: Store) {
    prepare(&store).await;
    // In this order each is still legal after the ones before.
    for number in [2, 1, 0, 3] {
        write(&store, number, FENCE).await.expect("there are four").expect("an equal fence is fine");
    }
    for _ in 0..2 {
        store.raise_fence(NAME, FENCE).await.expect("an equal fence is fine");
    }
    assert_eq!(labels(&store).await, on(Some("v4"), Some("v3"), Some("v2")));
}

pub(in crate::exam) async fn every_write_raises_the_fence(store: Store) {
    prepare(&store).await;
    for (fence, number) in (FENCE + 1..).zip([2, 1, 0]) {
        write(&store, number, fence).await.expect("there are four").expect("a higher fence is fine");
        conflict(store.raise_fence(NAME, fence - 1).await);
    }
    // So does a repeat that changes nothing.
    store.stage(NAME, "v4", &login("v4"), at(9), FENCE + 5).await.expect("the same again");
    conflict(store.raise_fence(NAME, FENCE + 4).await);
    store.discard(NAME, "v0", FENCE + 6).await.expect("gone already");
    conflict(store.raise_fence(NAME, FENCE + 5).await);
    store.promote(NAME, "v3", Some("v2"), at(9), FENCE + 7).await.expect("the same again");
    conflict(store.raise_fence(NAME, FENCE + 6).await);
    write(&store, 3, FENCE + 1).await.expect("there are four").expect("putting");
    let late = store.raise_fence("other", FENCE).await;
    assert!(matches!(late, Err(crate::SecretsError::Conflict { .. })), "{late:?}");
    assert_eq!(labels(&store).await, on(Some("v4"), Some("v3"), Some("v2")));
}

pub(in crate::exam) async fn a_late_stage_leaves_the_live_pending(store: Store) {
    rotate(&store, &["v1"]).await;
    // The older worker fell asleep before its write; the newer one looked, and staged what the target then accepted.
    store.raise_fence(NAME, FENCE + 1).await.expect("the newer worker looks");
    assert_eq!(labels(&store).await, on(None, Some("v1"), None));
    conflict(store.stage(NAME, "v2", &login("v2"), at(3), FENCE).await);
    assert_eq!(labels(&store).await, on(None, Some("v1"), None), "what was seen under the fence is final");
    store.stage(NAME, "v3", &login("v3"), at(4), FENCE + 1).await.expect("the newer worker's own");
    conflict(store.stage(NAME, "v2", &login("v2"), at(5), FENCE).await);
    conflict(store.discard(NAME, "v3", FENCE).await);
    assert_eq!(labels(&store).await, on(Some("v3"), Some("v1"), None));
    assert!(holds(&store, "v3", "v3").await);
}

pub(in crate::exam) async fn refused_writes_raise_no_fence(store: Store) {
    rotate(&store, &["v1", "v2"]).await;
    stage(&store, "v3").await;
    let high = FENCE + 10;
    conflict(store.stage(NAME, "v2", &login("v2"), at(3), high).await);
    conflict(store.stage(NAME, "v3", &login("another"), at(3), high).await);
    conflict(store.promote(NAME, "v3", Some("v1"), at(3), high).await);
    conflict(store.discard(NAME, "v2", high).await);
    conflict(store.put(NAME, "v4", &login("v4"), Some("v2"), at(3), high).await);
    store.raise_fence(NAME, FENCE).await.expect("nobody got further");
}

pub(in crate::exam) async fn fences_outlive_versions_and_are_of_one_secret(store: Store) {
    stage(&store, "v1").await;
    store.discard(NAME, "v1", FENCE).await.expect("discarding");
    conflict(store.stage(NAME, "v2", &login("v2"), at(3), FENCE - 1).await);
    store.stage("other", "v1", &login("v1"), at(3), 1).await.expect("another secret's leases count for themselves");
    store.raise_fence("never stored", 3).await.expect("there need be no such secret");
    let listed: Vec<_> = store.list().await.expect("reading").into_iter().map(|info| info.name).collect();
    assert_eq!(listed, ["other"], "a fence makes no secret");
    let unnamed = store.raise_fence("", FENCE).await;
    assert!(matches!(unnamed, Err(crate::SecretsError::Invalid(_))), "{unnamed:?}");
}
