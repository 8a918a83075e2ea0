//! Consumers take over a new version before the previous one ends, whatever happens.

use std::time::Duration;

use keywheel_core::{Progress, Why};
use keywheel_policies::Policy;
use keywheel_runtime::{Clock, Order, Stop};
use keywheel_state::StateStore;

use crate::world::{World, alternating, login, now};

const HOUR: Duration = Duration::from_secs(3600);

fn policy() -> Policy {
    let mut policy = alternating();
    policy.after_promote = vec!["file".into(), "reload".into()];
    policy.before_revoke = vec!["drain".into()];
    policy.revoke.after = HOUR;
    policy
}

/// What was told, without what is random.
fn told(world: &World) -> Vec<String> {
    world.apps.told().iter().map(|told| told.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn they_are_told_at_once_and_the_grace_period_follows() {
    let world = World::alternating().await;
    let promoted_by = world.clock.now();
    let Stop::Held(hold) = world.stop_of(&policy(), now()).await else { panic!("it waits") };
    assert_eq!((hold.why, hold.until.duration_since(promoted_by).as_secs()), (Why::Consumed, 3600));
    assert_eq!(told(&world), ["after-promote file", "after-promote reload"]);
    let current = world.current().await.password().unwrap().expose(str::to_owned);
    assert!(world.apps.told().iter().all(|told| told.ends_with(&current)), "they get the new one");
    assert!(world.bank.accepts(&login("app_a", "first")));
    world.clock.advance(HOUR);
    assert_eq!(world.stop_of(&policy(), Order::GoOn).await, Stop::Done);
    assert_eq!(told(&world)[2..], ["before-revoke drain"], "and not the others again");
    assert!(!world.bank.accepts(&login("app_a", "first")));
}

#[tokio::test]
async fn without_a_grace_period_and_for_a_first_value_too() {
    let world = World::in_place().await;
    let mut policy = crate::world::in_place();
    policy.after_promote = vec!["reload".into()];
    assert_eq!(world.stop_of(&policy, now()).await, Stop::Done);
    assert_eq!(told(&world), ["after-promote reload"]);

    let world = World::new(&[("app_a", Some("first"))]).await;
    let mut fresh = alternating();
    fresh.secret.name = "app/fresh".into();
    fresh.after_promote = vec!["reload".into()];
    assert_eq!(world.stop_of(&fresh, now()).await, Stop::Done);
    assert_eq!(told(&world), ["after-promote reload"]);
}

#[tokio::test]
async fn nothing_is_revoked_before_each_has_taken_over() {
    let world = World::alternating().await;
    world.apps.fail("reload", 5);
    let mut policy = policy();
    policy.revoke.after = Duration::ZERO;
    let mut stop = world.stop_of(&policy, now()).await;
    for failure in 1..=5 {
        let Stop::Held(hold) = stop else { panic!("{failure}: {stop:?}") };
        assert_eq!(hold.why, Why::Backoff);
        assert!(world.bank.accepts(&login("app_a", "first")), "the previous one still works");
        assert!(world.serves().await, "and so does the new one");
        let shown = format!("{:?}", world.state.events(world.latest().await.fixed.id).await.unwrap());
        let current = world.current().await.password().unwrap().expose(str::to_owned);
        assert!(shown.contains("the consumer `reload` failed: it does not like •••"), "{shown}");
        assert!(!shown.contains(&current), "S6");
        world.clock.advance_to(hold.until);
        stop = world.stop_of(&policy, Order::GoOn).await;
    }
    assert_eq!(stop, Stop::Done);
    assert_eq!(told(&world).iter().filter(|told| *told == "after-promote reload").count(), 1);
    assert!(told(&world).len() > 3, "an earlier one is told again: {:?}", told(&world));
    assert!(!world.bank.accepts(&login("app_a", "first")));
}

#[tokio::test]
async fn a_policy_that_names_it_no_more_waits_for_it_no_more_but_for_the_grace_period() {
    let world = World::alternating().await;
    world.apps.fail("reload", 1_000);
    let mut policy = policy();
    let promoted = world.clock.now();
    let Stop::Held(hold) = world.stop_of(&policy, now()).await else { panic!("it waits") };
    assert_eq!(hold.why, Why::Backoff);
    world.clock.advance_to(hold.until);
    policy.after_promote.clear();
    let Stop::Held(hold) = world.stop_of(&policy, Order::GoOn).await else { panic!("it waits") };
    assert_eq!((hold.why, hold.until.duration_since(promoted).as_secs()), (Why::Grace, 3600));
    assert!(world.bank.accepts(&login("app_a", "first")), "S3");
    world.clock.advance_to(hold.until);
    assert_eq!(world.stop_of(&policy, Order::GoOn).await, Stop::Done);
    let rotation = world.latest().await;
    assert_eq!((rotation.state.progress, rotation.state.consumed_at), (Progress::Done, None));
}

#[tokio::test]
async fn the_grace_period_begins_when_they_have_taken_over() {
    let world = World::alternating().await;
    world.apps.fail("reload", 3);
    let mut stop = world.stop_of(&policy(), now()).await;
    while let Stop::Held(hold) = stop
        && hold.why == Why::Backoff
    {
        world.clock.advance_to(hold.until);
        world.clock.advance(2 * HOUR);
        stop = world.stop_of(&policy(), Order::GoOn).await;
    }
    let Stop::Held(hold) = stop else { panic!("{stop:?}") };
    assert_eq!((hold.why, hold.until.duration_since(world.clock.now()).as_secs()), (Why::Consumed, 3600));
    assert!(world.bank.accepts(&login("app_a", "first")));
}

#[tokio::test]
async fn a_crash_while_the_first_value_is_handed_over_hands_it_over_again() {
    let world = World::new(&[("app_a", Some("first"))]).await;
    let mut fresh = alternating();
    fresh.secret.name = "app/fresh".into();
    fresh.after_promote = vec!["reload".into()];
    let gate = crate::world::Gate::at("consumer/after-promote/before");
    let engine = world.engine(std::sync::Arc::clone(&gate) as _);
    let (policy, token) = (fresh.clone(), tokio_util::sync::CancellationToken::new());
    let worker = tokio::spawn(async move { engine.turn(&policy, &now(), 0, &token).await });
    tokio::time::timeout(Duration::from_secs(5), gate.stopped.notified()).await.unwrap();
    worker.abort();
    let _ = worker.await;
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(told(&world), [""; 0]);
    assert_eq!(world.stop_of(&fresh, Order::GoOn).await, Stop::Done);
    assert_eq!(told(&world), ["after-promote reload"]);
}

#[tokio::test]
async fn what_is_said_of_a_secret_is_hidden_however_it_is_spelled() {
    let world = World::alternating().await;
    world.apps.fail("file", 1);
    world.apps.repeat(|password| {
        let quoted = serde_json::Value::from(password).to_string();
        format!("{}\n{quoted} and first", "x".repeat(500))
    });
    let Stop::Held(_) = world.stop_of(&policy(), now()).await else { panic!("it waits") };
    let shown = format!("{:?}", world.state.events(world.latest().await.fixed.id).await.unwrap());
    let current = world.current().await.password().unwrap().expose(str::to_owned);
    assert!(shown.contains("the consumer `file` failed: xxx"), "{shown}");
    assert!(!shown.contains(&current[..8]) && !shown.contains("and first"), "S6: {shown}");
}
