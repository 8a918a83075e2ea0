//! Keys that a provider makes: whatever is lost on the way, none is left over, and none that lives is ended.

use std::time::Duration;

use keywheel_core::{Progress, Step, Why};
use keywheel_runtime::{Clock, Order, RunError, Stop};

use crate::world::{Trouble, World, login, now, overlapping, roll_back};

#[tokio::test]
async fn a_key_is_made_beside_the_first_and_the_first_ends_last() {
    let world = World::overlapping().await;
    assert_eq!(world.to_the_end(&overlapping(), now()).await, Stop::Done);
    let calls = ["generate key-0", "apply key-0", "verify key-0", "probe key-0", "sweep all"];
    assert_eq!(world.bank.calls(), [&calls[..], &["revoke key-by-hand"]].concat());
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_key_whose_answer_was_lost_is_swept_away_before_another_is_made() {
    let world = World::overlapping().await;
    world.bank.plan("generate", [0, 1], Trouble::LostAnswer);
    assert_eq!(world.to_the_end(&overlapping(), now()).await, Stop::Done);
    assert_eq!((world.bank.count("generate"), world.bank.count("sweep")), (3, 3));
    assert!(world.current().await.same_as(&login("key-2", "value of key-2")));
    world.assert_one_credential().await;
}

#[tokio::test]
async fn who_gives_up_on_lost_answers_leaves_no_key_behind() {
    let world = World::overlapping().await;
    world.bank.plan("generate", 0..10, Trouble::LostAnswer);
    // Not even if the sweeping is troubled itself.
    world.bank.plan("sweep", [3, 4], Trouble::LostRequest);
    let stop = world.to_the_end(&overlapping(), now()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert_eq!(world.bank.count("generate"), 3);
    world.assert_one_credential().await;
    assert!(world.current().await.same_as(&login("key-by-hand", "first")));
}

#[tokio::test]
async fn a_key_that_does_not_work_is_deleted_and_the_live_one_stays() {
    let world = World::overlapping().await;
    world.bank.plan("verify", 0..10, Trouble::RefusedForGood);
    let stop = world.to_the_end(&overlapping(), now()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert_eq!(world.bank.count("restore"), 1);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn an_answer_without_a_promised_field_is_no_key() {
    let world = World::overlapping().await;
    let mut policy = overlapping();
    policy.secret.fields.push("expires_at".into());
    let stop = world.to_the_end(&policy, now()).await;
    let Stop::RolledBack { reason } = stop else { panic!("{stop:?}") };
    assert!(reason.contains("expires_at"), "{reason}");
    world.assert_one_credential().await;
}

#[tokio::test]
async fn the_way_back_is_open_until_promotion_and_leaves_nothing() {
    let world = World::overlapping().await;
    world.bank.plan("verify", [0], Trouble::Refused);
    let stop = world.stop_of(&overlapping(), now()).await;
    assert!(matches!(stop, Stop::Held(_)), "{stop:?}");
    let stop = world.to_the_end(&overlapping(), roll_back()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    world.assert_one_credential().await;
}

#[tokio::test]
async fn both_keys_work_through_the_grace_period_and_a_third_goes_with_it() {
    let world = World::overlapping().await;
    let mut policy = overlapping();
    policy.revoke.after = Duration::from_secs(3600);
    let stop = world.stop_of(&policy, now()).await;
    assert!(matches!(stop, Stop::Held(_)), "{stop:?}");
    assert!(world.bank.accepts(&login("key-by-hand", "first")) && world.serves().await);
    assert_eq!(world.standing().await.step(), Some(Step::Revoke));
    world.bank.arrives_late(&world.latest().await.fixed.id.to_string());
    assert_eq!(world.to_the_end(&policy, now()).await, Stop::Done);
    assert_eq!(world.standing().await.progress, Progress::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_first_key_leaves_no_other_beside_it() {
    let world = World::overlapping().await;
    let by_hand = world.current().await;
    world.bank.set(&by_hand, false);
    let empty = World { secrets: std::sync::Arc::new(keywheel_secrets::memory::MemoryStore::new()), ..world };
    empty.bank.plan("generate", [0], Trouble::LostAnswer);
    // Where the process dies between the sweep and the end of revoke, it is swept again.
    empty.bank.plan("sweep", [1], Trouble::LostRequest);
    assert_eq!(empty.to_the_end(&overlapping(), now()).await, Stop::Done);
    assert_eq!(empty.bank.count("sweep"), 3);
    empty.assert_one_credential().await;
}

#[tokio::test]
async fn a_creation_in_doubt_is_waited_for_before_the_last_look() {
    let world = World::overlapping().await;
    world.bank.plan("generate", 0..10, Trouble::LostRequest);
    let mut policy = overlapping();
    policy.on_failure.attempts = 1;
    let mut stop = world.stop_of(&policy, now()).await;
    while !matches!(&stop, Stop::Held(hold) if hold.why == Why::InDoubt) {
        match stop {
            Stop::InDoubt { until, .. } => world.clock.advance_to(until),
            Stop::Done | Stop::RolledBack { .. } | Stop::Held(_) | Stop::Parked { .. } | Stop::Stopping => {
                panic!("waits for the creation, not {stop:?}")
            }
        }
        stop = world.stop_of(&policy, Order::GoOn).await;
    }
    assert_eq!(world.standing().await.step(), Some(Step::Discard));
    world.bank.arrives_late(&world.latest().await.fixed.id.to_string());
    assert!(matches!(world.to_the_end(&policy, Order::GoOn).await, Stop::RolledBack { .. }));
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_creation_that_arrives_after_the_end_goes_with_the_next_rotation() {
    let world = World::overlapping().await;
    world.to_the_end(&overlapping(), now()).await;
    world.bank.arrives_late(&world.latest().await.fixed.id.to_string());
    assert_eq!(world.to_the_end(&overlapping(), now()).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_key_that_a_person_replaced_works_until_the_grace_of_the_next_is_over() {
    let world = World::overlapping().await;
    world.to_the_end(&overlapping(), now()).await;
    let (made, by_hand) = (world.current().await, login("key-of-a-person", "put"));
    world.bank.set(&by_hand, true);
    let replaces = world.latest().await.fixed.version(1);
    assert!(world.try_put("by-hand", &by_hand, Some(&replaces)).await);
    let mut policy = overlapping();
    policy.revoke.after = Duration::from_secs(3600);
    assert!(matches!(world.stop_of(&policy, now()).await, Stop::Held(_)));
    assert!(world.bank.accepts(&made) && world.bank.accepts(&by_hand) && world.serves().await);
    assert_eq!(world.to_the_end(&policy, Order::GoOn).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_value_that_a_provider_makes_never_takes_the_place_of_the_live_one() {
    let world = World::overlapping().await;
    let error = world.turn(&crate::world::in_place(), now()).await.expect_err("it is unsafe");
    assert!(matches!(error, RunError::Unsafe(_)), "{error}");
    assert_eq!(world.bank.calls(), [""; 0]);
}

#[tokio::test]
async fn a_rotation_rests_while_its_keys_would_be_made_elsewhere() {
    let world = World::overlapping().await;
    world.bank.plan("verify", [0], Trouble::Refused);
    world.stop_of(&overlapping(), now()).await;
    let declared = world.bank.at("https://elsewhere.example");
    let error = world.turn(&overlapping(), Order::GoOn).await.expect_err("another place");
    assert!(matches!(error, RunError::PolicyChanged { .. }), "{error}");
    world.bank.at(&declared);
    assert_eq!(world.to_the_end(&overlapping(), Order::GoOn).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_key_makes_its_successor_and_the_successor_ends_it() {
    let world = World::overlapping().await;
    let policy = keywheel_policies::Policy { admin: keywheel_policies::AdminSource::Own, ..overlapping() };
    assert_eq!(world.to_the_end(&policy, now()).await, Stop::Done);
    let admins = world.bank.admins();
    assert_eq!(admins.first().map(String::as_str), Some("key-by-hand"), "{admins:?}");
    assert_eq!(admins.last().map(String::as_str), Some("key-0"), "{admins:?}");
    world.assert_one_credential().await;

    // Without a first key there is nothing to begin with, and nothing to clean up.
    let by_hand = world.current().await;
    world.bank.set(&by_hand, false);
    let empty = World { secrets: std::sync::Arc::new(keywheel_secrets::memory::MemoryStore::new()), ..world };
    let stop = empty.to_the_end(&policy, now()).await;
    let Stop::RolledBack { reason } = stop else { panic!("{stop:?}") };
    assert!(reason.contains("has no CURRENT"), "{reason}");
}

#[tokio::test]
async fn a_key_is_disabled_for_its_time_and_then_deleted() {
    let world = World::overlapping().await;
    // The answer to `disable` is lost once: asked again, it changes nothing.
    world.bank.plan("disable", [0], Trouble::LostAnswer);
    let mut policy = overlapping();
    policy.revoke.disable_first = Some(Duration::from_secs(86_400));
    let mut stop = world.stop_of(&policy, now()).await;
    let began = world.clock.now();
    while !matches!(&stop, Stop::Held(hold) if hold.why == Why::Disabled) {
        match stop {
            Stop::InDoubt { until, .. } => world.clock.advance_to(until),
            Stop::Held(hold) => world.clock.advance_to(hold.until),
            Stop::Done | Stop::RolledBack { .. } | Stop::Parked { .. } | Stop::Stopping => panic!("{stop:?}"),
        }
        stop = world.stop_of(&policy, Order::GoOn).await;
    }
    let Stop::Held(hold) = stop else { panic!("{stop:?}") };
    assert!(hold.until.duration_since(began).as_secs() >= 86_400, "{hold:?}");
    assert_eq!((world.bank.count("disable"), world.bank.count("revoke")), (2, 0));
    assert!(world.serves().await && !world.bank.accepts(&login("key-by-hand", "first")));
    assert_eq!(world.to_the_end(&policy, Order::GoOn).await, Stop::Done);
    assert_eq!((world.bank.count("disable"), world.bank.count("revoke")), (2, 1), "once is enough");
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_key_stays_until_nobody_has_used_it_for_as_long() {
    let world = World::overlapping().await;
    let mut policy = overlapping();
    policy.revoke.when = keywheel_policies::RevokeWhen::Unused(Duration::from_secs(3600));
    policy.revoke.deadline = Duration::from_secs(86_400);
    let used_at = |at: jiff::Timestamp| {
        let seconds = u64::try_from(at.as_second()).unwrap();
        world.bank.last_used.store(seconds, std::sync::atomic::Ordering::SeqCst);
    };
    let began = world.clock.now();
    let stop = world.stop_of(&policy, now()).await;
    // Never used, as far as the provider knows; yet readers had it a moment ago.
    let Stop::Held(hold) = stop else { panic!("{stop:?}") };
    assert_eq!((hold.why, hold.until.duration_since(began).as_secs()), (Why::Drain, 3600));
    world.clock.advance_to(hold.until);
    used_at(world.clock.now());
    let Stop::Held(hold) = world.stop_of(&policy, Order::GoOn).await else { panic!("it is in use") };
    assert_eq!(hold.until.duration_since(began).as_secs(), 7200);
    assert_eq!(world.bank.count("revoke"), 0);
    assert_eq!(world.to_the_end(&policy, Order::GoOn).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_key_that_its_owner_enabled_again_is_not_deleted() {
    let world = World::overlapping().await;
    let mut policy = overlapping();
    policy.revoke.disable_first = Some(Duration::from_secs(86_400));
    let Stop::Held(hold) = world.stop_of(&policy, now()).await else { panic!("it is disabled first") };
    let previous = login("key-by-hand", "first");
    world.bank.set(&previous, true);
    world.clock.advance_to(hold.until);
    let stop = world.stop_of(&policy, Order::GoOn).await;
    assert!(matches!(&stop, Stop::Parked { reason, .. } if reason.contains("enabled")), "{stop:?}");
    assert!(world.bank.accepts(&previous));
    world.bank.set(&previous, false);
    assert_eq!(world.to_the_end(&policy, Order::Resume { by: "test".into() }).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_roll_back_spares_what_the_store_holds_and_asks_nothing_where_nothing_was_made() {
    let world = World::overlapping().await;
    world.to_the_end(&overlapping(), now()).await;
    let (made, by_hand) = (world.current().await, login("key-of-a-person", "put"));
    world.bank.set(&by_hand, true);
    let replaces = world.latest().await.fixed.version(1);
    assert!(world.try_put("by-hand", &by_hand, Some(&replaces)).await);
    world.bank.plan("verify", 1..10, Trouble::RefusedForGood);
    let stop = world.to_the_end(&overlapping(), now()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert!(world.bank.accepts(&made) && world.bank.accepts(&by_hand), "PREVIOUS and CURRENT stay");

    let sweeps = world.bank.count("sweep");
    world.bank.plan("generate", 2..10, Trouble::RefusedForGood);
    let stop = world.to_the_end(&overlapping(), now()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert_eq!(world.bank.count("sweep"), sweeps + 1, "before the creation, and not after one that was refused");
}
