//! An outcome that nobody knows is settled by looking, never by believing.

use std::time::Duration;

use keywheel_core::Step;
use keywheel_runtime::Stop;
use keywheel_secrets::{Label, Selector};

use crate::proof::lose_the_answer_to;
use crate::world::{Trouble, World, alternating, in_place, now, roll_back};

#[tokio::test]
async fn an_apply_that_never_arrived_is_seen_not_to_have_happened() {
    let world = World::in_place().await;
    world.bank.plan("apply", [0], Trouble::LostRequest);
    assert_eq!(world.to_the_end(&in_place(), now()).await, Stop::Done);
    assert_eq!(world.bank.calls(), ["apply app", "probe app", "apply app", "verify app", "revoke app"]);
    assert_eq!(world.failures().await, [(Step::Apply, true, "cut".to_owned())]);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn an_apply_whose_answer_was_lost_is_not_done_twice() {
    let world = World::in_place().await;
    world.bank.plan("apply", [0], Trouble::LostAnswer);
    assert_eq!(world.to_the_end(&in_place(), now()).await, Stop::Done);
    assert_eq!(world.bank.calls(), ["apply app", "probe app", "verify app", "revoke app"]);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_call_that_never_answers_is_in_doubt_at_its_deadline() {
    let mut world = World::in_place().await;
    world.limits.step = Duration::from_millis(250);
    world.bank.plan("apply", [0], Trouble::Silence);
    let stop = world.stop_of(&in_place(), now()).await;
    assert!(matches!(stop, Stop::Held(_)), "{stop:?}");
    world.limits.step = Duration::from_secs(10);
    assert_eq!(world.to_the_end(&in_place(), now()).await, Stop::Done);
    assert_eq!(world.failures().await, [(Step::Apply, true, "deadline".to_owned())]);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn what_may_still_arrive_is_restored() {
    let world = World::in_place().await;
    let mut policy = in_place();
    policy.on_failure.attempts = 1;
    world.bank.plan("apply", [0], Trouble::LostRequest);
    let stop = world.to_the_end(&policy, now()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert_eq!(world.bank.calls(), ["apply app", "probe app", "restore app"]);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn what_the_target_refused_for_certain_needs_no_restore() {
    let world = World::in_place().await;
    let mut policy = in_place();
    policy.on_failure.attempts = 1;
    world.bank.plan("apply", [0], Trouble::Refused);
    let stop = world.to_the_end(&policy, now()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert_eq!(world.bank.calls(), ["apply app"]);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_value_refused_for_its_content_is_followed_by_another() {
    let world = World::in_place().await;
    world.bank.plan("apply", [0], Trouble::BadValue);
    assert_eq!(world.to_the_end(&in_place(), now()).await, Stop::Done);
    assert_eq!(world.standing().await.candidate, 2);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_value_in_doubt_is_not_forgotten_for_another() {
    for policy in [in_place(), alternating()] {
        let user = if policy.strategy == in_place().strategy { "app" } else { "app_a" };
        let world = World::new(&[(user, Some("first"))]).await;
        world.bank.plan("apply", [0], Trouble::LostBadValue);
        assert_eq!(world.to_the_end(&policy, now()).await, Stop::Done);
        assert_eq!(world.standing().await.candidate, 1, "the first one may have arrived");
        world.assert_one_credential().await;
    }
}

#[tokio::test]
async fn a_doubt_that_does_not_clear_is_looked_at_again() {
    let world = World::in_place().await;
    world.bank.plan("apply", [0], Trouble::LostAnswer);
    world.bank.plan("probe", 0..3, Trouble::Refused);
    for _ in 0..3 {
        let Stop::InDoubt { step: Step::Apply, until, .. } = world.stop_of(&in_place(), now()).await else {
            panic!("nobody knows")
        };
        assert!(world.lost().await.is_empty(), "S1");
        world.clock.advance_to(until);
    }
    assert_eq!(world.stop_of(&in_place(), now()).await, Stop::Done);
    assert_eq!(world.bank.count("apply"), 1);
}

#[tokio::test]
async fn a_write_to_the_secret_store_whose_answer_was_lost_may_have_happened() {
    for call in ["stage", "promote", "discard"] {
        for mut policy in [in_place(), alternating()] {
            let user = if policy.strategy == in_place().strategy { "app" } else { "app_a" };
            let mut world = World::new(&[(user, Some("first"))]).await;
            policy.on_failure.attempts = 1;
            lose_the_answer_to(&mut world, &policy, call).await;
            assert_eq!(world.to_the_end(&policy, now()).await, Stop::Done, "{call}");
            assert!(world.failures().await.is_empty(), "{call}: {:?}", world.failures().await);
            world.assert_one_credential().await;
        }
    }
}

#[tokio::test]
async fn an_apply_in_doubt_can_be_rolled_back_and_is_restored() {
    let world = World::in_place().await;
    world.bank.plan("apply", [0], Trouble::LostAnswer);
    world.bank.plan("probe", [0], Trouble::Refused);
    let stop = world.stop_of(&in_place(), now()).await;
    assert!(matches!(stop, Stop::InDoubt { step: Step::Apply, .. }), "{stop:?}");
    assert!(!world.serves().await, "it did happen");
    let stop = world.stop_of(&in_place(), roll_back()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert_eq!(world.bank.count("restore"), 1);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_promotion_cannot_be_rolled_back() {
    let world = World::alternating().await;
    let mut policy = alternating();
    policy.revoke.after = Duration::from_secs(3600);
    let _ = world.stop_of(&policy, now()).await;
    world.turn(&policy, roll_back()).await.unwrap_err();
    let stop = world.stop_of(&policy, now()).await;
    assert!(matches!(stop, Stop::Held(_)), "{stop:?}");
    assert!(world.held(Selector::Label(Label::Previous)).await.is_some());
    assert!(world.serves().await);
}
