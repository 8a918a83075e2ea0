//! What people do in between: other values, other policies, orders.

use std::time::Duration;

use keywheel_core::{Progress, Step};
use keywheel_policies::Strategy;
use keywheel_runtime::{Order, RunError, Stop};

use crate::world::{Trouble, World, alternating, in_place, login, now, roll_back};

fn leave() -> Order {
    Order::Leave { by: "test".into(), reason: None }
}

#[tokio::test]
async fn a_restore_brings_back_what_is_current_now() {
    let world = World::in_place().await;
    world.bank.plan("verify", [0], Trouble::Refused);
    let stop = world.stop_of(&in_place(), now()).await;
    assert!(matches!(stop, Stop::Held(_)), "{stop:?}");
    world.move_current(&login("app", "by hand")).await;
    let stop = world.to_the_end(&in_place(), roll_back()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert!(world.current().await.same_as(&login("app", "by hand")));
    assert!(world.serves().await, "S2: the target accepts another value than CURRENT");
}

#[tokio::test]
async fn a_value_put_meanwhile_is_not_replaced_by_promotion() {
    let world = World::in_place().await;
    world.bank.plan("verify", [0], Trouble::Refused);
    let Stop::Held(hold) = world.stop_of(&in_place(), now()).await else { panic!("it waits") };
    world.move_current(&login("app", "by hand")).await;
    world.clock.advance_to(hold.until);
    let stop = world.to_the_end(&in_place(), now()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert!(world.current().await.same_as(&login("app", "by hand")));
    assert!(world.serves().await, "S2");
}

#[tokio::test]
async fn a_value_put_before_the_candidate_is_made_ends_the_rotation() {
    let world = World::new(&[("app_a", Some("first")), ("app_b", Some("second"))]).await;
    let _ = world.turn(&alternating(), leave()).await.unwrap();
    world.put("by-hand-2", &login("app_b", "second"), Some("by-hand")).await;
    let stop = world.to_the_end(&alternating(), Order::GoOn).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert!(world.bank.calls().is_empty(), "nothing is touched: {:?}", world.bank.calls());
    assert_eq!(world.failures().await, [(Step::Generate, false, "current-changed".to_owned())], "nor made");
    assert!(world.serves().await && world.lost().await.is_empty());
}

#[tokio::test]
async fn a_value_put_before_apply_ends_the_rotation_before_the_target_hears_of_it() {
    for (policy, user) in [(in_place(), "app"), (alternating(), "app_a")] {
        let world = World::new(&[(user, Some("first"))]).await;
        world.bank.plan("apply", [0], Trouble::Refused);
        let Stop::Held(hold) = world.stop_of(&policy, now()).await else { panic!("it waits") };
        let by_hand = login(user, "by hand");
        world.bank.set(&by_hand, true);
        world.move_current(&by_hand).await;
        world.clock.advance_to(hold.until);
        let stop = world.to_the_end(&policy, Order::GoOn).await;
        assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
        assert_eq!(world.bank.count("apply"), 1, "only the one before");
        assert_eq!(world.bank.count("restore"), 0, "nothing was touched");
        assert!(world.serves().await && world.current().await.same_as(&by_hand));
    }
}

#[tokio::test]
async fn nobody_puts_a_value_over_a_candidate() {
    let world = World::in_place().await;
    world.bank.plan("verify", [0], Trouble::Refused);
    let _ = world.stop_of(&in_place(), now()).await;
    assert!(!world.try_put("by-hand-2", &login("app", "by hand"), Some("by-hand")).await);
}

#[tokio::test]
async fn a_rotation_that_began_under_another_shape_is_not_turned() {
    let world = World::alternating().await;
    world.bank.plan("verify", [0], Trouble::Refused);
    let _ = world.stop_of(&alternating(), now()).await;
    let calls = world.bank.calls();
    for order in [Order::GoOn, Order::Scheduled, now(), roll_back()] {
        let turned = world.turn(&in_place(), order).await;
        assert!(matches!(turned, Err(RunError::PolicyChanged { .. })), "{turned:?}");
    }
    assert_eq!(world.bank.calls(), calls);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.to_the_end(&alternating(), Order::GoOn).await, Stop::Done);
}

#[tokio::test]
async fn a_rotation_that_began_at_another_target_or_account_is_not_turned() {
    let world = World::in_place().await;
    world.bank.plan("verify", [0], Trouble::Refused);
    let _ = world.stop_of(&in_place(), now()).await;
    let calls = world.bank.calls();
    let mut another_target = in_place();
    another_target.target.insert("host".into(), "db2.example".into());
    let mut another_account = in_place();
    another_account.strategy = Strategy::InPlace { user: "other".into() };
    let mut another_rotator = in_place();
    another_rotator.rotator = "vault".into();
    let mut another_part = in_place();
    another_part.target.insert("branch".into(), serde_json::json!(["north"]));
    for policy in [another_target, another_account, another_rotator, another_part] {
        for order in [Order::GoOn, now(), roll_back()] {
            let turned = world.turn(&policy, order).await;
            assert!(matches!(turned, Err(RunError::PolicyChanged { .. })), "{turned:?}");
        }
    }
    assert_eq!(world.bank.calls(), calls);
    let mut another_schedule = in_place();
    another_schedule.schedule.jitter = Duration::from_secs(60);
    another_schedule.digest = "1".repeat(64);
    another_schedule.target.insert("opening_hours".into(), serde_json::json!(["always"]));
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.to_the_end(&another_schedule, Order::GoOn).await, Stop::Done, "what does not matter, does not");
}

#[tokio::test]
async fn a_parked_rotation_waits_for_a_person() {
    let world = World::in_place().await;
    let mut policy = in_place();
    policy.on_failure.then = keywheel_policies::Exhausted::Park;
    world.bank.plan("verify", [0], Trouble::RefusedForGood);
    let stop = world.to_the_end(&policy, now()).await;
    assert!(matches!(stop, Stop::Parked { step: Step::Verify, .. }), "{stop:?}");
    let calls = world.bank.calls();
    world.clock.advance(Duration::from_secs(365 * 86_400));
    for order in [Order::Scheduled, Order::GoOn, leave()] {
        let _ = world.stop_of(&policy, order).await;
        assert!(matches!(world.standing().await.progress, Progress::Parked { .. }));
    }
    assert_eq!(world.bank.calls(), calls);
    assert_eq!(world.to_the_end(&policy, Order::Resume { by: "test".into() }).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn an_order_to_undo_needs_something_to_undo() {
    let world = World::in_place().await;
    for order in [roll_back(), Order::Resume { by: "test".into() }] {
        let turned = world.turn(&in_place(), order).await;
        assert!(matches!(turned, Err(RunError::NothingOpen(_))), "{turned:?}");
    }
}
