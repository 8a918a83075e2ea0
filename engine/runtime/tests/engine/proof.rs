//! Nothing is promoted or revoked on trust: the target is asked first.

use std::sync::atomic::Ordering;
use std::time::Duration;

use keywheel_core::{Progress, Step, Why};
use keywheel_policies::{OnDeadline, RevokeWhen};
use keywheel_runtime::{Clock, Stop};
use keywheel_secrets::faulty::{FaultyStore, When};
use std::sync::Arc;

use crate::world::{Trouble, World, alternating, in_place, login, now};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_value_that_cannot_log_in_is_not_promoted() {
    for (world, policy) in [(World::in_place().await, in_place()), (World::alternating().await, alternating())] {
        world.bank.plan("apply", 0..10, Trouble::Lie);
        let stop = world.to_the_end(&policy, now()).await;
        assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
        assert!(world.current().await.same_as(&login(&policy_user(&world).await, "first")));
        assert_eq!(world.bank.count("verify"), 3, "each of the tries asks");
        world.assert_one_credential().await;
    }
}

async fn policy_user(world: &World) -> String {
    world.current().await.username().unwrap()
}

#[tokio::test]
async fn what_goes_well_goes_in_this_order() {
    let world = World::in_place().await;
    assert_eq!(world.to_the_end(&in_place(), now()).await, Stop::Done);
    assert_eq!(world.bank.calls(), ["apply app", "verify app", "revoke app"]);
    let world = World::alternating().await;
    assert_eq!(world.to_the_end(&alternating(), now()).await, Stop::Done);
    assert_eq!(world.bank.calls(), ["apply app_b", "verify app_b", "probe app_b", "revoke app_a"]);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn the_previous_credential_works_until_the_grace_period_is_over() {
    let world = World::alternating().await;
    let mut policy = alternating();
    policy.revoke.after = HOUR;
    let Stop::Held(hold) = world.stop_of(&policy, now()).await else { panic!("it waits") };
    assert_eq!(hold.why, Why::Grace);
    let promoted = world.standing().await.promoted_at.unwrap();
    assert_eq!(hold.until.duration_since(promoted).as_secs(), 3600);
    world.clock.advance(HOUR - Duration::from_secs(1));
    let stop = world.stop_of(&policy, now()).await;
    assert!(matches!(stop, Stop::Held(_)), "{stop:?}");
    assert!(world.bank.accepts(&login("app_a", "first")));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.stop_of(&policy, now()).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_promotion_whose_answer_was_lost_gives_the_grace_period_too() {
    let mut world = World::alternating().await;
    let mut policy = alternating();
    policy.revoke.after = HOUR;
    lose_the_answer_to(&mut world, &policy, "promote").await;
    let Stop::Held(hold) = world.stop_of(&policy, now()).await else { panic!("it waits") };
    assert_eq!(hold.why, Why::Grace);
    assert!(world.bank.accepts(&login("app_a", "first")));
    assert!(world.serves().await);
}

/// Learns from a rotation of a like world which call that is, and lets it fail after the write.
pub async fn lose_the_answer_to(world: &mut World, policy: &keywheel_policies::Policy, call: &str) {
    let user = policy_user(world).await;
    let mut like = World::new(&[(&user, Some("first"))]).await;
    let store = Arc::new(FaultyStore::new(Arc::clone(&like.secrets)));
    like.secrets = Arc::clone(&store) as _;
    let _ = like.stop_of(policy, now()).await;
    let number = store.calls().iter().position(|made| *made == call).unwrap() as u64 + 1;
    world.secrets = Arc::new(FaultyStore::new(Arc::clone(&world.secrets)).failing(number, When::After));
}

#[tokio::test]
async fn nothing_is_revoked_once_a_person_has_put_another_value() {
    let world = World::alternating().await;
    let mut policy = alternating();
    policy.revoke.after = HOUR;
    let _ = world.stop_of(&policy, now()).await;
    let version = world.latest().await.fixed.version(1);
    let by_hand = login("app_b", "by hand");
    world.bank.set(&by_hand, true);
    world.put("by-hand-2", &by_hand, Some(&version)).await;
    world.clock.advance(HOUR);
    let stop = world.stop_of(&policy, now()).await;
    assert!(!matches!(stop, Stop::Done), "{stop:?}");
    assert_eq!(world.bank.count("revoke"), 0);
    assert!(world.bank.accepts(&login("app_a", "first")) && world.serves().await);
}

#[tokio::test]
async fn the_old_value_as_the_present_one_is_not_revoked() {
    let world = World::alternating().await;
    let mut policy = alternating();
    policy.revoke.after = HOUR;
    let _ = world.stop_of(&policy, now()).await;
    let version = world.latest().await.fixed.version(1);
    // Back to the old value by hand: `app_a` is live again, and still the one that this rotation replaced.
    world.put("back", &login("app_a", "first"), Some(&version)).await;
    world.clock.advance(HOUR);
    let stop = world.stop_of(&policy, now()).await;
    assert!(!matches!(stop, Stop::Done), "{stop:?}");
    assert_eq!(world.bank.count("revoke"), 0);
    assert!(world.serves().await, "S2");
}

#[tokio::test]
async fn nothing_is_revoked_while_the_successor_is_refused() {
    let world = World::alternating().await;
    let mut policy = alternating();
    policy.revoke.after = HOUR;
    let _ = world.stop_of(&policy, now()).await;
    let successor = world.current().await;
    world.bank.set(&successor, false);
    world.clock.advance(HOUR);
    for _ in 0..5 {
        let Stop::Held(hold) = world.stop_of(&policy, now()).await else { panic!("it tries again") };
        assert_eq!(world.bank.count("revoke"), 0);
        assert!(world.bank.accepts(&login("app_a", "first")));
        world.clock.advance_to(hold.until);
    }
    world.bank.set(&successor, true);
    assert_eq!(world.to_the_end(&policy, now()).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn no_answer_about_the_successor_is_not_a_yes() {
    let world = World::alternating().await;
    world.bank.plan("probe", 0..3, Trouble::LostRequest);
    let stop = world.stop_of(&alternating(), now()).await;
    assert!(matches!(stop, Stop::Held(_)), "{stop:?}");
    assert_eq!(world.bank.count("revoke"), 0);
    assert_eq!(world.to_the_end(&alternating(), now()).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn sessions_keep_the_previous_credential_until_they_are_gone() {
    let world = World::alternating().await;
    let mut policy = alternating();
    policy.revoke.when = RevokeWhen::NoSessions;
    world.bank.sessions.store(2, Ordering::SeqCst);
    for _ in 0..5 {
        let Stop::Held(hold) = world.stop_of(&policy, now()).await else { panic!("it waits") };
        assert_eq!(hold.why, Why::Drain);
        assert!(world.bank.accepts(&login("app_a", "first")));
        world.clock.advance_to(hold.until);
    }
    world.bank.sessions.store(0, Ordering::SeqCst);
    assert_eq!(world.stop_of(&policy, now()).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn sessions_past_the_deadline_are_met_as_the_policy_says() {
    for (on_deadline, revokes) in [(OnDeadline::Park, false), (OnDeadline::Revoke, true)] {
        let world = World::alternating().await;
        let mut policy = alternating();
        policy.revoke.when = RevokeWhen::NoSessions;
        policy.revoke.deadline = Duration::from_secs(600);
        policy.revoke.on_deadline = on_deadline;
        world.bank.sessions.store(1, Ordering::SeqCst);
        let started = world.clock.now();
        let stop = world.to_the_end(&policy, now()).await;
        assert_eq!(world.clock.now().duration_since(started).as_secs(), 600, "not before the deadline");
        assert_eq!(world.bank.count("revoke"), usize::from(revokes));
        assert_eq!(world.bank.accepts(&login("app_a", "first")), !revokes);
        if revokes {
            assert_eq!(stop, Stop::Done);
        } else {
            assert!(matches!(stop, Stop::Parked { step: Step::Revoke, .. }), "{stop:?}");
            assert!(matches!(world.standing().await.progress, Progress::Parked { .. }));
        }
    }
}
