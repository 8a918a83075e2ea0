//! The daemon among others: signals, a second daemon beside it, and a stopped one that comes back too late.

use std::net::SocketAddr;

use keywheel::core::{Event, Progress, Step};
use keywheel::state::{History, StateStore, sqlite::SqliteState};
use keywheel_testkit::{CutProxy, Fault};
use rustix::process::{Pid, Signal, kill_process};

use crate::crash::{Case, End, Scenario};
use crate::ground::Ground;
use crate::house::{House, message_of, server};

const IN_PLACE: Scenario = Scenario { ground: Ground::Postgres, alternating: false, end: End::Done };

async fn state(house: &House) -> SqliteState {
    SqliteState::open(&house.path("state.db")).await.expect("the state opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_in_the_middle_of_a_step_stops_cleanly_and_the_next_daemon_goes_on() {
    let proxy = CutProxy::start(SocketAddr::from(([127, 0, 0, 1], server().port()))).await.expect("a free port");
    let case = Case::new(IN_PLACE, "sigterm", Some(proxy.port())).await;
    case.house.settings("deadlines: { step: 5s, lease: 10s }\n");
    proxy.arm(Fault::Stall { marker: b"ALTER ROLE".to_vec() });
    let daemon = case.house.daemon("keywheel=info", None);
    proxy.wait_for_strikes(1).await;
    daemon.stop();
    let open = state(&case.house).await.open_of(&case.name).await.expect("readable").expect("still open");
    assert_eq!(open.state.step(), Some(Step::Apply), "finished looking, or left in doubt: {}", open.state.progress);
    case.check("after SIGTERM").await;
    case.recover("after SIGTERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_on_one_state_rotate_each_secret_once() {
    let house = House::new();
    let count = 12;
    for n in 0..count {
        let name = format!("pair_{n}");
        server().sql(&format!("CREATE ROLE {name} LOGIN")).await;
        let strategy = format!("{{ in_place: {{ user: {name}, accept_gap: true }} }}");
        house.policy(&name, server().port(), &strategy, "adopt: rotate\nschedule: { every: 30d }");
    }
    let mut daemons = [house.daemon("keywheel=info", None), house.daemon("keywheel=info", None)];
    let state = state(&house).await;
    let mut done = 0;
    // Each daemon logs what it finished; together they finish all of them, and each ends its part before it is stopped.
    for daemon in &mut daemons {
        let mut ready = false;
        while !ready {
            ready = daemon.next().is_some_and(|entry| message_of(&entry).starts_with("ready"));
        }
    }
    let all_done = async {
        while done < count || !state.open().await.expect("readable").is_empty() {
            done = state.history(&History { secret: None, limit: 100 }).await.expect("readable").len();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(120), all_done)
        .await
        .expect("all are rotated within two minutes");
    for daemon in daemons {
        daemon.stop();
    }
    let rotations = state.history(&History { secret: None, limit: 100 }).await.expect("readable");
    assert_eq!(rotations.len(), count, "each secret once");
    assert!(rotations.iter().all(|rotation| rotation.state.progress == Progress::Done));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_slept_through_its_lease_writes_nothing_more() {
    let proxy = CutProxy::start(SocketAddr::from(([127, 0, 0, 1], server().port()))).await.expect("a free port");
    let case = Case::new(IN_PLACE, "sleeper", Some(proxy.port())).await;
    case.house.settings("deadlines: { step: 5s, lease: 10s }\n");
    proxy.arm(Fault::Stall { marker: b"ALTER ROLE".to_vec() });
    let sleeper = case.house.daemon("keywheel=info", None);
    proxy.wait_for_strikes(1).await;
    let pid = Pid::from_raw(sleeper.id().cast_signed()).expect("a process id");
    kill_process(pid, Signal::STOP).expect("it runs");

    // Its lease runs out; another daemon looks, and brings the rotation to its end.
    case.recover("by another daemon").await;
    let state = state(&case.house).await;
    let history = state.history(&History { secret: None, limit: 9 }).await.expect("readable");
    let before = state.events(history[0].fixed.id).await.expect("readable");

    kill_process(pid, Signal::CONT).expect("it is still there");
    sleeper.stop();
    let after = state.events(history[0].fixed.id).await.expect("readable");
    assert_eq!(before, after, "the journal has not changed");
    let fences: Vec<u64> = after.iter().map(|recorded| recorded.fence).collect();
    assert!(fences.is_sorted() && fences.first() < fences.last(), "the fence grew: {fences:?}");
    assert!(after.iter().any(|recorded| matches!(recorded.event, Event::Failed { settled: true, .. })));
    case.check_end("after the sleeper woke").await;
}
