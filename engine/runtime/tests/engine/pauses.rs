//! How long the engine waits: short while readers are refused, ever longer where trying again and again did not help.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::{Progress, Step, Why};
use keywheel_policies::Policy;
use keywheel_runtime::{Clock, Order, Stop};
use keywheel_secrets::faulty::FaultyStore;

use crate::world::{Open, Trouble, World, alternating, in_place, now, roll_back};

const DAY: u64 = 86_400;

/// What a pause may be at most while readers are refused.
const SHORT: f64 = 15.0;

/// With pauses of an hour and more.
fn patient(mut policy: Policy) -> Policy {
    policy.on_failure.attempts = 5;
    policy.on_failure.backoff.min = Duration::from_secs(3600);
    policy.on_failure.backoff.max = Duration::from_secs(7200);
    policy
}

fn pause(world: &World, until: Timestamp) -> f64 {
    until.duration_since(world.clock.now()).as_secs_f64()
}

#[tokio::test]
async fn in_place_verify_is_tried_again_within_seconds() {
    let world = World::in_place().await;
    world.bank.plan("verify", 0..4, Trouble::Refused);
    for _ in 0..4 {
        let Stop::Held(hold) = world.stop_of(&patient(in_place()), now()).await else { panic!("it waits") };
        assert_eq!(hold.why, Why::Backoff);
        let pause = pause(&world, hold.until);
        assert!(pause > 0.0 && pause <= SHORT, "{pause} s, and readers are refused");
        world.clock.advance_to(hold.until);
    }
    assert_eq!(world.stop_of(&patient(in_place()), now()).await, Stop::Done);
}

#[tokio::test]
async fn in_place_restore_is_tried_again_within_seconds() {
    let world = World::in_place().await;
    world.bank.plan("verify", [0], Trouble::Refused);
    world.bank.plan("restore", 0..8, Trouble::Refused);
    let _ = world.stop_of(&patient(in_place()), now()).await;
    let mut stop = world.stop_of(&patient(in_place()), roll_back()).await;
    for _ in 0..8 {
        let Stop::Held(hold) = stop else { panic!("it waits: {stop:?}") };
        let pause = pause(&world, hold.until);
        assert!(pause > 0.0 && pause <= SHORT, "{pause} s, and readers are refused");
        world.clock.advance_to(hold.until);
        stop = world.stop_of(&patient(in_place()), now()).await;
    }
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    world.assert_one_credential().await;
}

#[tokio::test]
async fn in_place_a_doubt_is_looked_at_within_seconds() {
    let world = World::in_place().await;
    world.bank.plan("apply", [0], Trouble::LostAnswer);
    world.bank.plan("probe", 0..8, Trouble::Refused);
    for looks in 0..8 {
        let engine = world.engine(Arc::new(Open));
        let turned = engine.turn(&patient(in_place()), &now(), looks, &Default::default()).await.unwrap();
        let Some((_, Stop::InDoubt { until, .. })) = turned else { panic!("it is in doubt: {turned:?}") };
        let pause = pause(&world, until);
        assert!(pause > 0.0 && pause <= SHORT, "{pause} s, and readers are refused");
        world.clock.advance_to(until);
    }
    assert_eq!(world.stop_of(&patient(in_place()), now()).await, Stop::Done);
}

#[tokio::test]
async fn in_place_an_unreachable_secret_store_at_promotion_is_asked_again_within_seconds() {
    let mut world = World::in_place().await;
    // It goes down after verify, so that promotion is in doubt for as long as it is down.
    let store = Arc::new(FaultyStore::new(Arc::clone(&world.secrets)));
    world.secrets = Arc::clone(&store) as _;
    world.bank.plan("verify", [0], Trouble::Refused);
    let Stop::Held(hold) = world.stop_of(&patient(in_place()), now()).await else { panic!("it waits") };
    world.clock.advance_to(hold.until);
    store.set_down(true);
    for _ in 0..3 {
        let stop = world.stop_of(&patient(in_place()), now()).await;
        let until = match &stop {
            Stop::Held(hold) => hold.until,
            Stop::InDoubt { until, .. } => *until,
            Stop::Done | Stop::RolledBack { .. } | Stop::Parked { .. } | Stop::Stopping => panic!("{stop:?}"),
        };
        assert!(pause(&world, until) <= SHORT);
        world.clock.advance_to(until);
    }
    store.set_down(false);
    assert_eq!(world.to_the_end(&patient(in_place()), now()).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn where_readers_are_served_the_pauses_are_the_policys() {
    let world = World::alternating().await;
    world.bank.plan("verify", 0..2, Trouble::Refused);
    for _ in 0..2 {
        let Stop::Held(hold) = world.stop_of(&patient(alternating()), now()).await else { panic!("it waits") };
        assert!(pause(&world, hold.until) >= 1800.0);
        world.clock.advance_to(hold.until);
    }
}

#[tokio::test]
async fn the_pause_after_a_roll_back_doubles_up_to_a_day() {
    let world = World::in_place().await;
    let mut policy = in_place();
    policy.on_failure.attempts = 1;
    world.clock.advance(Duration::from_secs(31 * DAY));
    let engine = world.engine(Arc::new(Open));
    // More tries at verify than there can be.
    world.bank.plan("verify", 0..15, Trouble::Refused);
    let mut expected = 60;
    for _ in 0..15 {
        let stop = world.to_the_end(&policy, Order::Scheduled).await;
        assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
        let ended = world.latest().await.updated_at;
        let due = engine.due(&policy).await.unwrap().unwrap();
        assert_eq!(due.duration_since(ended).as_secs(), expected);
        assert!(world.turn(&policy, Order::Scheduled).await.unwrap().is_none(), "not before its time");
        world.clock.advance_to(due);
        expected = (expected * 2).min(DAY as i64);
    }
    assert_eq!(expected, DAY as i64, "the longest was reached");
    // What went well ends the row.
    assert_eq!(world.to_the_end(&policy, Order::Scheduled).await, Stop::Done);
    world.clock.advance(Duration::from_secs(31 * DAY));
    world.bank.plan("verify", [16], Trouble::Refused);
    let stop = world.to_the_end(&policy, Order::Scheduled).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    let due = engine.due(&policy).await.unwrap().unwrap();
    assert_eq!(due.duration_since(world.latest().await.updated_at).as_secs(), 60);
}

#[tokio::test]
async fn a_person_need_not_wait_for_the_pause_after_a_roll_back() {
    let world = World::in_place().await;
    world.bank.plan("verify", [0], Trouble::RefusedForGood);
    let stop = world.to_the_end(&in_place(), now()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert_eq!(world.stop_of(&in_place(), now()).await, Stop::Done);
}

#[tokio::test]
async fn what_a_crash_interrupted_is_tried_again_at_once() {
    let world = World::in_place().await;
    let gate = crate::world::Gate::at("target/verify/before");
    let (engine, policy, order, stopping) =
        (world.engine(Arc::clone(&gate) as _), in_place(), now(), Default::default());
    tokio::select! {
        biased;
        () = gate.stopped.notified() => {}
        turned = engine.turn(&policy, &order, 0, &stopping) => panic!("it was not stopped: {turned:?}"),
    }
    assert_eq!(world.standing().await.progress, Progress::Attempting { step: Step::Verify });
    world.clock.advance(crate::world::LEASE);
    let started = world.clock.now();
    assert_eq!(world.another_process().stop_of(&patient(in_place()), Order::GoOn).await, Stop::Done);
    assert_eq!(world.clock.now(), started);
}

#[tokio::test]
async fn a_clock_that_was_ahead_once_does_not_silence_the_schedule() {
    let world = World::in_place().await;
    let before = world.clock.now();
    world.promoted_at("2031-01-01T00:00:00Z".parse().unwrap()).await;
    let due = world.engine(Arc::new(Open)).due(&in_place()).await.unwrap().unwrap();
    assert!(due.duration_since(before).as_secs() <= 30 * i64::try_from(DAY).unwrap(), "due {due}");
}
