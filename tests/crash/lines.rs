//! Lines that break: the server did what it was told, and its answer never arrived.

use std::net::SocketAddr;

use keywheel::core::{Event, Step};
use keywheel::state::{History, StateStore, sqlite::SqliteState};
use keywheel_sqlserver_double::{Effect, Fault};
use keywheel_testkit::CutProxy;

use super::{Case, End, Scenario};
use crate::ground::Ground;
use crate::house::server;

/// Rotates through a line that breaks once, and returns the journal.
async fn rotate_through(scenario: Scenario, name: &str, fault: keywheel_testkit::Fault) -> Vec<Event> {
    let upstream = SocketAddr::from(([127, 0, 0, 1], server().port()));
    let proxy = CutProxy::start(upstream).await.expect("a free port");
    let case = Case::new(scenario, name, Some(proxy.port())).await;
    case.house.settings("deadlines: { step: 5s, lease: 10s }\n");
    proxy.arm(fault);
    case.recover(name).await;
    assert_eq!(proxy.strikes(), 1, "the line broke once");
    journal(&case).await
}

/// The same at the `nth` statement to SQL Server's double (of several: the second one) that begins like that.
async fn rotate_past(scenario: Scenario, name: &str, statement: &str, nth: usize, effect: Effect) -> Vec<Event> {
    let case = Case::new(scenario, name, None).await;
    case.house.settings("deadlines: { step: 5s, lease: 10s }\n");
    let servers = scenario.ground.servers();
    let server = servers.get(1).unwrap_or(&servers[0]);
    let struck = server.faults().arm(Fault::at_text(statement, effect).skip(nth));
    case.recover(name).await;
    assert_eq!(struck.count(), 1, "the line broke once");
    journal(&case).await
}

/// What was recorded of the one rotation with its one password.
async fn journal(case: &Case) -> Vec<Event> {
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
    let scenario = Scenario { ground: Ground::Postgres, alternating: false, end: End::Done };
    let events =
        rotate_through(scenario, "lost_in_place", keywheel_testkit::Fault::CutAfterEffect { marker: marker() }).await;
    assert_eq!((began(&events, Step::Apply), settled(&events, Step::Apply)), (1, 1), "looked, and did not repeat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acknowledgement_alternating() {
    let scenario = Scenario { ground: Ground::Postgres, alternating: true, end: End::Done };
    let events =
        rotate_through(scenario, "lost_alternating", keywheel_testkit::Fault::CutAfterEffect { marker: marker() })
            .await;
    assert_eq!((began(&events, Step::Apply), settled(&events, Step::Apply)), (1, 1), "looked, and did not repeat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_request_is_sent_again_with_the_same_password() {
    let scenario = Scenario { ground: Ground::Postgres, alternating: false, end: End::Done };
    let events =
        rotate_through(scenario, "lost_request", keywheel_testkit::Fault::CutBeforeEffect { marker: marker() }).await;
    assert_eq!((began(&events, Step::Apply), settled(&events, Step::Apply)), (2, 0), "looked, then repeated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_comes_is_looked_up_after_the_deadline() {
    let scenario = Scenario { ground: Ground::Postgres, alternating: false, end: End::Done };
    let events =
        rotate_through(scenario, "no_answer", keywheel_testkit::Fault::StallAfterEffect { marker: marker() }).await;
    assert_eq!((began(&events, Step::Apply), settled(&events, Step::Apply)), (1, 1), "looked, and did not repeat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acknowledgement_while_rolling_back() {
    let scenario = Scenario { ground: Ground::Postgres, alternating: true, end: End::RolledBack };
    let fault = keywheel_testkit::Fault::CutAfterEffect { marker: b"PASSWORD NULL".to_vec() };
    let events = rotate_through(scenario, "lost_restore", fault).await;
    assert_eq!((began(&events, Step::Restore), settled(&events, Step::Restore)), (1, 1), "looked, and did not repeat");
}

/// The kinds of account of SQL Server, with the statement that changes them.
const SQL: [(Ground, &str, &str); 3] = [
    (Ground::SqlServer, "login", "ALTER LOGIN"),
    (Ground::Contained, "contained", "ALTER USER"),
    (Ground::Group, "group", "ALTER LOGIN"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acknowledgements_of_sqlserver() {
    for (ground, kind, verb) in SQL {
        for alternating in [false, true] {
            let scenario = Scenario { ground, alternating, end: End::Done };
            let name = format!("lost_ack_{kind}_{alternating}");
            let events = rotate_past(scenario, &name, &format!("{verb} [{name}_"), 0, Effect::ApplyThenClose).await;
            // Of a group the third replica is still to do, and so is an idle account's right to log in.
            let whole = ground != Ground::Group && !alternating;
            let expected = if whole { (1, 1) } else { (2, 0) };
            assert_eq!((began(&events, Step::Apply), settled(&events, Step::Apply)), expected, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_requests_of_sqlserver() {
    for (ground, kind, verb) in SQL {
        let scenario = Scenario { ground, alternating: false, end: End::Done };
        let name = format!("lost_req_{kind}");
        let events = rotate_past(scenario, &name, &format!("{verb} [{name}_"), 0, Effect::CloseBefore).await;
        assert_eq!((began(&events, Step::Apply), settled(&events, Step::Apply)), (2, 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_sqlserver_that_never_come() {
    for (ground, kind, verb) in SQL {
        let scenario = Scenario { ground, alternating: false, end: End::Done };
        let name = format!("no_answer_{kind}");
        let events = rotate_past(scenario, &name, &format!("{verb} [{name}_"), 0, Effect::ApplyThenStall).await;
        let expected = if ground == Ground::Group { (2, 0) } else { (1, 1) };
        assert_eq!((began(&events, Step::Apply), settled(&events, Step::Apply)), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acknowledgements_of_sqlserver_while_rolling_back() {
    for (ground, kind, verb) in SQL {
        let scenario = Scenario { ground, alternating: false, end: End::RolledBack };
        let name = format!("lost_back_{kind}");
        // The first statement of an instance applies, the second restores.
        let events = rotate_past(scenario, &name, &format!("{verb} [{name}_"), 1, Effect::ApplyThenClose).await;
        assert_eq!((began(&events, Step::Restore), settled(&events, Step::Restore)), (1, 1), "{name}: looked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acknowledgements_of_sqlserver_while_revoking() {
    for (ground, kind, verb) in SQL {
        let scenario = Scenario { ground, alternating: true, end: End::Done };
        let name = format!("lost_end_{kind}");
        // Of the two accounts the first is changed by revoke alone.
        let events = rotate_past(scenario, &name, &format!("{verb} [{name}_a]"), 0, Effect::ApplyThenClose).await;
        // The store still holds it, so it is ended once more.
        assert_eq!((began(&events, Step::Revoke), settled(&events, Step::Revoke)), (2, 0), "{name}");
    }
}
