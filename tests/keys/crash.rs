//! SIGKILL at each journal write, store write and request to the provider.

use std::collections::BTreeSet;

use super::Case;
use crate::crash::End;
use crate::crash::points::{kill_at, passed};
use crate::house::say;

/// SIGKILL at each point once; after a restart it ends by itself.
async fn every_point(end: End, name: &str) {
    let undisturbed = Case::ordered(end, &format!("{name}_record")).await;
    let points = passed(&undisturbed.house);
    undisturbed.check_end("undisturbed").await;
    for point in ["target/generate/before", "target/generate/after", "target/sweep/after"] {
        assert!(points.iter().any(|passed| passed == point), "{point} is among {points:?}");
    }
    for (nth, point) in points.iter().enumerate() {
        let when = format!("killed at {point} (passing {nth})");
        let case = Case::ordered(end, &format!("{name}_{nth}")).await;
        assert!(kill_at(&case.house, &case.name, nth).await, "{when}: it was not passed");
        case.check(&when).await;
        case.recover(&when).await;
    }
    let kinds: BTreeSet<_> = points.iter().collect();
    say(&format!("{name}: SIGKILL at {} points ({} kinds), each ended as {end:?}", points.len(), kinds.len()));
}

/// A second SIGKILL while the first is being recovered from.
async fn two_kills(end: End, name: &str) {
    let undisturbed = Case::ordered(end, &format!("{name}_record")).await;
    let points = passed(&undisturbed.house);
    let mut second = 0;
    for (nth, point) in points.iter().enumerate() {
        let case = Case::ordered(end, &format!("{name}_{nth}")).await;
        assert!(kill_at(&case.house, &case.name, nth).await, "killed at {point}");
        // A stride that shares no factor with the length visits all distances from the restart.
        let then = (nth * 7) % (points.len() - nth).max(8);
        let when = format!("killed at {point} (passing {nth}), then at passing {then} of the recovery");
        second += usize::from(kill_at(&case.house, &case.name, then).await);
        case.check(&when).await;
        case.recover(&when).await;
    }
    say(&format!("{name}: {} first kills, {second} second kills during recovery", points.len()));
    assert!(second > points.len() / 2, "most second kills struck: {second} of {}", points.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_key() {
    every_point(End::Done, "key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_key_that_is_disabled_first() {
    every_point(End::Done, "disabled_key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_key_rolled_back() {
    every_point(End::RolledBack, "key_back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_in_a_row_of_a_key() {
    two_kills(End::Done, "twice_key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_in_a_row_of_a_key_rolled_back() {
    two_kills(End::RolledBack, "twice_key_back").await;
}
