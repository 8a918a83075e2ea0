//! Lines that break: the server did what it was told, and its answer never arrived.

use std::net::SocketAddr;

use keywheel::core::{Event, Step};
use keywheel::state::{History, StateStore, sqlite::SqliteState};
use keywheel_testkit::{CutProxy, Fault};

use super::{Case, End, Scenario};
use crate::house::server;

/// Rotates through a line that breaks once, and returns the journal.
async fn rotate_through(scenario: Scenario, name: &str, fault: Fault) -> Vec<Event> {
    let upstream = SocketAddr::from(([127, 0, 0, 1], server().port()));
    let proxy = CutProxy::start(upstream).await.expect("a free port");
    let case = Case::new(scenario, name, proxy.port()).await;
    case.house.settings("deadlines: { step: 5s, lease: 10s }\n");
    proxy.arm(fault);
    case.recover(name).await;
    assert_eq!(proxy.strikes(), 1, "the line broke once");
    let state = SqliteState::open(&case.house.path("state.db")).await.expect("the state opens");
    let rotations = state.history(&History { secret: None, limit: 9 }).await.expect("the state is readable");
    assert_eq!(rotations.len(), 1, "no second rotation");
    assert_eq!(rotations[0].state.candidate, 1, "no second password");
    let events = state.events(rotations[0].fixed.id).await.expect("the state is readable");
    events.into_iter().map(|recorded| recorded.event).collect()
}

fn began(events: &[Event], step: Step) -> usize {
    events.iter().filter(|event| matches!(event, Event::Began { step: begun, .. } if *begun == step)).count()
}

fn settled(events: &[Event], step: Step) -> usize {
    events
        .iter()
        .filter(|event| matches!(event, Event::Succeeded { step: done, settled: true, .. } if *done == step))
        .count()
}

fn marker() -> Vec<u8> {
    b"ALTER ROLE".to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acknowledgement_in_place() {
    let scenario = Scenario { alternating: false, end: End::Done };
    let events = rotate_through(scenario, "lost_in_place", Fault::CutAfterEffect { marker: marker() }).await;
    assert_eq!((began(&events, Step::Apply), settled(&events, Step::Apply)), (1, 1), "looked, and did not repeat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acknowledgement_alternating() {
    let scenario = Scenario { alternating: true, end: End::Done };
    let events = rotate_through(scenario, "lost_alternating", Fault::CutAfterEffect { marker: marker() }).await;
    assert_eq!((began(&events, Step::Apply), settled(&events, Step::Apply)), (1, 1), "looked, and did not repeat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_request_is_sent_again_with_the_same_password() {
    let scenario = Scenario { alternating: false, end: End::Done };
    let events = rotate_through(scenario, "lost_request", Fault::CutBeforeEffect { marker: marker() }).await;
    assert_eq!((began(&events, Step::Apply), settled(&events, Step::Apply)), (2, 0), "looked, then repeated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_comes_is_looked_up_after_the_deadline() {
    let scenario = Scenario { alternating: false, end: End::Done };
    let events = rotate_through(scenario, "no_answer", Fault::StallAfterEffect { marker: marker() }).await;
    assert_eq!((began(&events, Step::Apply), settled(&events, Step::Apply)), (1, 1), "looked, and did not repeat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acknowledgement_while_rolling_back() {
    let scenario = Scenario { alternating: true, end: End::RolledBack };
    let fault = Fault::CutAfterEffect { marker: b"PASSWORD NULL".to_vec() };
    let events = rotate_through(scenario, "lost_restore", fault).await;
    assert_eq!((began(&events, Step::Restore), settled(&events, Step::Restore)), (1, 1), "looked, and did not repeat");
}
