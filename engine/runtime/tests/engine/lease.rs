//! Who has lost the lease does nothing more: not at the target, not in the secret store, not in the journal.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keywheel_policies::Policy;
use keywheel_runtime::{Order, RunError, Stop};
use tokio_util::sync::CancellationToken;

use crate::world::{Gate, LEASE, Open, Trouble, World, alternating, in_place, login, now, roll_back};

type Turned = Result<Option<Stop>, RunError>;

/// For what must happen at once: a test that fails does not hang.
const SOON: Duration = Duration::from_secs(5);

/// A worker stopped at a point. Its turn is polled by the test itself, so that it goes on before anything else of its process
/// gets to run: it must find out by itself what time it is.
struct Stopped {
    gate: Arc<Gate>,
    turn: Pin<Box<dyn Future<Output = Turned>>>,
}

impl Stopped {
    async fn at(world: &World, policy: &Policy, point: &'static str) -> Self {
        let gate = Gate::at(point);
        let (engine, policy) = (world.engine(Arc::clone(&gate) as _), policy.clone());
        let mut turn: Pin<Box<dyn Future<Output = Turned>>> = Box::pin(async move {
            let turned = engine.turn(&policy, &now(), 0, &CancellationToken::new()).await;
            turned.map(|turned| turned.map(|(_, stop)| stop))
        });
        tokio::select! {
            biased;
            () = gate.stopped.notified() => {}
            turned = &mut turn => panic!("it never passed {point}: {turned:?}"),
        }
        Stopped { gate, turn }
    }

    /// Lets it go on, and waits for it.
    async fn go_on(self) -> Turned {
        self.gate.go.notify_one();
        tokio::time::timeout(SOON, self.turn).await.expect("it ends")
    }
}

#[tokio::test]
async fn a_lost_lease_stops_the_worker_at_once() {
    let world = World::in_place().await;
    let worker = Stopped::at(&world, &in_place(), "target/verify/before").await;
    world.clock.advance(LEASE + Duration::from_secs(1));
    let stop = world.another_process().stop_of(&in_place(), Order::GoOn).await;
    assert_eq!(stop, Stop::Done);
    // It is not let go: its process alone notices.
    let turned = tokio::time::timeout(SOON, worker.turn).await.expect("it notices");
    assert!(matches!(turned, Err(RunError::LeaseLost(_))), "{turned:?}");
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_lease_is_renewed_while_its_holder_works() {
    let world = World::in_place().await;
    let worker = Stopped::at(&world, &in_place(), "target/verify/after").await;
    let other = world.another_process();
    for _ in 0..10 {
        world.clock.advance(LEASE / 3);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let turned = other.turn(&in_place(), Order::GoOn).await;
        assert!(matches!(turned, Err(RunError::Busy { .. })), "{turned:?}");
    }
    assert_eq!(worker.go_on().await.unwrap(), Some(Stop::Done));
    world.assert_one_credential().await;
}

#[tokio::test]
async fn who_wakes_after_the_lease_expired_calls_nobody() {
    for (point, verb) in [
        ("journal/succeeded-stage+began-apply/after", "apply"),
        ("journal/succeeded-apply+began-verify/after", "verify"),
        ("journal/succeeded-promote+began-revoke/after", "revoke"),
    ] {
        let world = World::alternating().await;
        let worker = Stopped::at(&world, &alternating(), point).await;
        world.clock.advance(LEASE + Duration::from_secs(1));
        // Nobody else came yet, so that only the clock tells it.
        let calls = world.bank.calls().len();
        let _ = worker.go_on().await;
        assert_eq!(world.bank.calls().len(), calls, "{verb} after the lease expired: {:?}", world.bank.calls());
        assert_eq!(world.another_process().to_the_end(&alternating(), now()).await, Stop::Done);
        world.assert_one_credential().await;
    }
}

#[tokio::test]
async fn the_time_of_a_step_counts_from_before_its_intent_is_written() {
    let mut world = World::in_place().await;
    world.limits.step = Duration::from_millis(20);
    let began = Instant::now();
    let worker = Stopped::at(&world, &in_place(), "journal/succeeded-stage+began-apply/after").await;
    // It is the passing of time itself that is waited for.
    while began.elapsed() <= world.limits.step * 2 {
        tokio::task::yield_now().await;
    }
    let stop = worker.go_on().await.unwrap();
    assert!(matches!(stop, Some(Stop::Held(_))), "{stop:?}");
    assert!(world.bank.calls().is_empty(), "{:?}", world.bank.calls());
    world.limits.step = Duration::from_secs(10);
    assert_eq!(world.to_the_end(&in_place(), now()).await, Stop::Done);
}

#[tokio::test]
async fn who_wakes_after_another_rolled_back_does_not_apply() {
    let world = World::in_place().await;
    let point = "journal/succeeded-stage+began-apply/after";
    let worker = Stopped::at(&world, &in_place(), point).await;
    world.clock.advance(LEASE + Duration::from_secs(1));
    let other = world.another_process();
    world.bank.plan("verify", [0], Trouble::Refused);
    let _ = other.stop_of(&in_place(), Order::GoOn).await;
    let stop = other.stop_of(&in_place(), roll_back()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    worker.go_on().await.unwrap_err();
    assert_eq!(world.bank.count("apply"), 1, "the other's");
    world.assert_one_credential().await;
}

#[tokio::test]
async fn who_wakes_after_another_staged_cannot_stage_over_it() {
    let world = World::in_place().await;
    let worker = Stopped::at(&world, &in_place(), "store/stage/before").await;
    world.clock.advance(LEASE + Duration::from_secs(1));
    let other = world.another_process();
    // The other makes a second candidate, which the target now accepts.
    world.bank.plan("verify", [0], Trouble::Refused);
    let stop = other.stop_of(&in_place(), Order::GoOn).await;
    assert!(matches!(stop, Stop::Held(_)), "{stop:?}");
    worker.go_on().await.unwrap_err();
    assert!(world.lost().await.is_empty(), "S1: {:?}", world.lost().await);
    assert_eq!(other.to_the_end(&in_place(), Order::GoOn).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn who_wakes_later_changes_nothing_in_the_secret_store() {
    for point in ["store/stage/before", "store/promote/before", "store/discard/before"] {
        let world = World::alternating().await;
        let worker = Stopped::at(&world, &alternating(), point).await;
        world.clock.advance(LEASE + Duration::from_secs(1));
        let other = world.another_process();
        assert_eq!(other.to_the_end(&alternating(), Order::GoOn).await, Stop::Done, "{point}");
        // And a whole rotation more, so that what was current is so no longer.
        assert_eq!(other.to_the_end(&alternating(), now()).await, Stop::Done, "{point}");
        let before = world.secrets.versions("app/db").await.unwrap();
        worker.go_on().await.unwrap_err();
        assert_eq!(world.secrets.versions("app/db").await.unwrap(), before, "{point}");
        world.assert_one_credential().await;
    }
}

#[tokio::test]
async fn who_wakes_after_the_next_rotation_does_not_revoke_its_credential() {
    let world = World::alternating().await;
    let point = "journal/succeeded-promote+began-revoke/after";
    let worker = Stopped::at(&world, &alternating(), point).await;
    world.clock.advance(LEASE + Duration::from_secs(1));
    let other = world.another_process();
    assert_eq!(other.stop_of(&alternating(), Order::GoOn).await, Stop::Done);
    assert_eq!(other.stop_of(&alternating(), now()).await, Stop::Done);
    worker.go_on().await.unwrap_err();
    assert_eq!(world.bank.count("revoke"), 2);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn two_workers_of_one_secret_take_turns() {
    let world = World::in_place().await;
    let worker = Stopped::at(&world, &in_place(), "target/apply/before").await;
    let turned = world.another_process().turn(&in_place(), now()).await;
    assert!(matches!(turned, Err(RunError::Busy { .. })), "{turned:?}");
    assert_eq!(worker.go_on().await.unwrap(), Some(Stop::Done));
    assert_eq!(world.rotations().await.len(), 1);
}

#[tokio::test]
async fn what_looking_showed_stays_true() {
    let world = World::in_place().await;
    let worker = Stopped::at(&world, &in_place(), "store/promote/before").await;
    world.clock.advance(LEASE + Duration::from_secs(1));
    // The other looks, sees that nothing was promoted, and stops: it writes no label.
    let (other, stopping) = (world.another_process(), CancellationToken::new());
    stopping.cancel();
    let engine = other.engine(Arc::new(Open));
    let (_, stop) = engine.turn(&in_place(), &Order::GoOn, 0, &stopping).await.unwrap().unwrap();
    assert_eq!(stop, Stop::Stopping);
    worker.go_on().await.unwrap_err();
    assert!(world.current().await.same_as(&login("app", "first")), "promoted after it was seen not to be");
    let stop = other.to_the_end(&in_place(), roll_back()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_previous_version_that_others_pushed_out_was_not_revoked() {
    let world = World::alternating().await;
    drop(Stopped::at(&world, &alternating(), "target/revoke/before").await);
    world.clock.advance(LEASE + Duration::from_secs(1));
    let version = world.latest().await.fixed.version(1);
    world.put("by-hand-2", &login("app_b", "by hand"), Some(&version)).await;
    let stop = world.another_process().to_the_end(&alternating(), Order::GoOn).await;
    assert!(matches!(stop, Stop::Parked { .. }), "{stop:?}");
}

#[tokio::test]
async fn all_candidates_are_destroyed_when_it_is_rolled_back() {
    let world = World::in_place().await;
    world.bank.plan("apply", [0], Trouble::BadValue);
    drop(Stopped::at(&world, &in_place(), "journal/failed-apply+began-generate/after").await);
    world.clock.advance(LEASE + Duration::from_secs(1));
    let stop = world.another_process().to_the_end(&in_place(), roll_back()).await;
    assert!(matches!(stop, Stop::RolledBack { .. }), "{stop:?}");
    assert_eq!(world.standing().await.candidate, 2);
    world.assert_one_credential().await;
}
