//! `secret put` beside rotations: it takes the lease, and never pushes out a credential that is still to be revoked.

use std::io::Write;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use keywheel::runtime::{Clock, SystemClock};
use keywheel::secrets::{SecretStore, SecretsError};
use keywheel::state::{Claim, Lease, StateStore, sqlite::SqliteState};

use crate::house::House;

/// A house whose one policy's target is away.
fn house(name: &str) -> House {
    let house = House::new();
    let more = "adopt: rotate\nschedule: { every: 30d }\non_failure: { attempts: 9, backoff: 1h..1h }";
    house.policy(name, 1, &format!("{{ in_place: {{ user: {name}, accept_gap: true }} }}"), more);
    house
}

/// `secret put`, at the point where it waits for the value.
fn begin(house: &House, name: &str) -> Child {
    let mut command = house.keywheel(&["secret", "put", name, "--username", name]);
    command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
}

/// Types the value.
fn finish(mut child: Child) -> (Option<i32>, String) {
    child.stdin.take().expect("piped").write_all(b"a new value\n").expect("it is read");
    let Output { status, stderr, .. } = child.wait_with_output().expect("it ends");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

async fn claim(state: &SqliteState, name: &str) -> Lease {
    match state.claim(name, Duration::from_secs(600), SystemClock.now()).await.expect("a claim") {
        Claim::Granted(lease) => lease,
        Claim::Held { until } => panic!("nobody else is here, but it is held until {until}"),
    }
}

#[tokio::test]
async fn a_held_lease_is_exit_5_and_ours_is_given_back() {
    let house = house("cli_put");
    let state = SqliteState::open(&house.path("state.db")).await.expect("the state opens");
    let ours = claim(&state, "cli_put").await;
    let (code, err) = finish(begin(&house, "cli_put"));
    assert_eq!(code, Some(5), "{err}");
    assert!(err.contains("another process is at work") && err.contains("nothing was changed"), "{err}");
    assert!(house.versions("cli_put").await.is_empty());

    state.release(&ours).await.expect("it was ours");
    let (code, err) = finish(begin(&house, "cli_put"));
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(house.versions("cli_put").await.len(), 1);
    let later = claim(&state, "cli_put").await;
    assert_eq!(later.fence, ours.fence + 2, "the value was put under a lease of its own");
    // Whoever slept since the first lease comes too late.
    let late = house.store().await.raise_fence("cli_put", ours.fence).await;
    assert!(matches!(late, Err(SecretsError::Conflict { .. })), "{late:?}");
}

#[tokio::test]
async fn a_rotation_that_begins_while_a_person_types_is_not_overrun() {
    let house = house("cli_typing");
    let typing = begin(&house, "cli_typing");
    house.run(&["rotate", "cli_typing", "--detach"]);
    let (code, err) = finish(typing);
    assert_eq!(code, Some(5), "{err}");
    assert!(err.contains("is under way") && err.contains("nothing was changed"), "{err}");
    assert!(err.contains("`keywheel rollback`"), "{err}");
    assert!(house.versions("cli_typing").await.is_empty());

    assert!(house.keywheel(&["rollback", "cli_typing"]).output().expect("the binary runs").status.success());
    let (code, err) = finish(begin(&house, "cli_typing"));
    assert_eq!(code, Some(0), "{err}");
}
