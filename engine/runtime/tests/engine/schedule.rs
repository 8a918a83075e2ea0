//! The daemon's share: what is due is begun, what waits is waited for, and one secret's trouble stays its own.

use std::sync::Arc;
use std::time::Duration;

use keywheel_core::{Cause, Progress};
use keywheel_policies::{Exhausted, Policy, Strategy};
use keywheel_runtime::{Clock, Order, Schedule, Until};
use keywheel_secrets::{Label, Selector};
use keywheel_state::StateStore;
use keywheel_state::faulty::FaultyState;
use tokio_util::sync::CancellationToken;

use crate::world::{Open, SECRET, Trouble, World, alternating, in_place, login, now};

const SOON: Duration = Duration::from_secs(5);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// All that can be done at this moment.
async fn until_idle(world: &World, policies: &[Policy]) {
    let policies = policies.iter().cloned().map(Arc::new).collect();
    let schedule = Schedule::new(Arc::new(world.engine(Arc::new(Open))), policies, CancellationToken::new());
    let run = tokio::spawn(schedule.run(Until::Idle));
    tokio::time::timeout(SOON, run).await.expect("it comes to rest").expect("it does not panic").unwrap();
}

#[tokio::test]
async fn what_is_due_is_rotated_and_what_is_not_is_left() {
    let world = World::in_place().await;
    world.clock.advance(MONTH - Duration::from_secs(1));
    until_idle(&world, &[in_place()]).await;
    assert!(world.rotations().await.is_empty());
    world.clock.advance(Duration::from_secs(1));
    until_idle(&world, &[in_place()]).await;
    let latest = world.latest().await;
    assert_eq!(latest.state.progress, Progress::Done);
    assert_eq!(latest.fixed.cause, Cause::Schedule { due: world.clock.now() });
    until_idle(&world, &[in_place()]).await;
    assert_eq!(world.rotations().await.len(), 1);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_parked_rotation_is_not_resumed_by_the_daemon() {
    let world = World::in_place().await;
    let mut policy = in_place();
    policy.on_failure.then = Exhausted::Park;
    world.bank.plan("verify", [0], Trouble::RefusedForGood);
    let _ = world.to_the_end(&policy, now()).await;
    let calls = world.bank.calls();
    world.clock.advance(MONTH * 2);
    until_idle(&world, std::slice::from_ref(&policy)).await;
    assert!(matches!(world.standing().await.progress, Progress::Parked { .. }));
    assert_eq!(world.bank.calls(), calls);
}

#[tokio::test]
async fn the_daemon_wakes_when_the_grace_period_is_over() {
    let world = World::alternating().await;
    let mut policy = alternating();
    policy.revoke.after = Duration::from_secs(3600);
    let _ = world.turn(&policy, now()).await.unwrap();
    let (seen, mut notices) = tokio::sync::mpsc::unbounded_channel();
    let mut engine = world.engine(Arc::new(Open));
    engine.observer = Some(Arc::new(move |notice| {
        let _ = seen.send(format!("{notice:?}"));
    }));
    let stopping = CancellationToken::new();
    let schedule = Schedule::new(Arc::new(engine), vec![Arc::new(policy)], stopping.clone());
    let daemon = tokio::spawn(schedule.run(Until::Stopped));
    world.clock.advance(Duration::from_secs(3599));
    tokio::task::yield_now().await;
    assert!(notices.try_recv().is_err() && world.bank.accepts(&login("app_a", "first")));
    world.clock.advance(Duration::from_secs(1));
    let notice = tokio::time::timeout(SOON, notices.recv()).await.expect("it wakes").unwrap();
    assert!(notice.contains("Revoke"), "{notice}");
    tokio::time::timeout(SOON, notices.recv()).await.expect("it finishes").unwrap();
    stopping.cancel();
    tokio::time::timeout(SOON, daemon).await.unwrap().unwrap().unwrap();
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_rotator_that_panics_costs_its_secret_a_pause_and_not_the_daemon() {
    let world = World::new(&[("app", Some("first")), ("other", Some("second"))]).await;
    let mut other = in_place();
    other.secret.name = "app/other".into();
    other.name = "other".into();
    other.strategy = Strategy::InPlace { user: "other".into() };
    let both = [in_place(), other];
    for policy in &both {
        let _ = world.turn(policy, Order::Leave { by: "test".into(), reason: None }).await.unwrap();
    }
    // Whichever comes first.
    world.bank.plan("apply", [0], Trouble::Panic);
    until_idle(&world, &both).await;
    let open = world.state.open().await.unwrap();
    assert_eq!(open.len(), 1, "the other one is done: {open:?}");
    assert_eq!(world.bank.count("apply"), 2, "no second try at once");
    // Its lease is nobody's any more once it expired, if it was not given back.
    world.clock.advance(Duration::from_secs(60));
    until_idle(&world, &both).await;
    assert!(world.state.open().await.unwrap().is_empty());
    for secret in [SECRET, "app/other"] {
        let current = world.secrets.read(secret, Selector::Label(Label::Current)).await.unwrap().unwrap();
        assert!(world.bank.accepts(&current.bundle), "{secret}");
    }
}

#[tokio::test]
async fn a_daemon_whose_store_is_away_as_it_begins_looks_again() {
    let world = World::in_place().await;
    world.clock.advance(MONTH);
    let mut engine = world.engine(Arc::new(Open));
    let store = Arc::new(FaultyState::new(Arc::clone(&engine.state)));
    store.set_down(true);
    engine.state = Arc::clone(&store) as _;
    let stopping = CancellationToken::new();
    let schedule = Schedule::new(Arc::new(engine), vec![Arc::new(in_place())], stopping.clone());
    let daemon = tokio::spawn(schedule.run(Until::Stopped));
    while store.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(!daemon.is_finished() && world.rotations().await.is_empty());
    store.set_down(false);
    let done = async {
        while world.rotations().await.first().is_none_or(|one| one.state.progress != Progress::Done) {
            world.clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, done).await.expect("it looks again");
    stopping.cancel();
    tokio::time::timeout(SOON, daemon).await.unwrap().unwrap().unwrap();
}
