//! What no event says is told too: what is too old, and what stands still. And digests.

use std::sync::Arc;
use std::time::Duration;

use keywheel_core::NoticeKind;
use keywheel_policies::{Exhausted, Policy};
use keywheel_runtime::{Aging, Clock, Schedule, Until};
use keywheel_state::Outbox;
use tokio_util::sync::CancellationToken;

use crate::world::{Open, SECRET, Trouble, World, in_place, now};

const SOON: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A daemon's first look, once more.
async fn looked(world: &World, policies: &[Policy], aging: &[Aging]) {
    let policies = policies.iter().cloned().map(Arc::new).collect();
    let engine = Arc::new(world.engine(Arc::new(Open)));
    let schedule = Schedule::new(engine, policies, CancellationToken::new()).watching(aging.iter().cloned());
    tokio::time::timeout(SOON, schedule.run(Until::Idle)).await.expect("it comes to rest").unwrap();
}

/// Kind and last part of the id of each notice so far, of one kind.
async fn told(world: &World, kind: NoticeKind) -> Vec<String> {
    let notices = world.state.notices(0, usize::MAX).await.unwrap();
    let like = notices.iter().filter(|one| one.notice.kind == kind);
    like.map(|one| one.notice.id.rsplit('/').next().unwrap().to_owned()).collect()
}

fn by_hand() -> Policy {
    let mut policy = in_place();
    policy.schedule.trigger = keywheel_policies::Trigger::Manual;
    policy.max_age = Some(2 * DAY);
    policy
}

#[tokio::test]
async fn a_secret_that_is_too_old_is_told_of_once_a_day() {
    let world = World::in_place().await;
    for (hours, wanted) in [(47, 0), (1, 0), (1, 1), (10, 1), (13, 2), (0, 2), (24, 3)] {
        world.clock.advance(HOUR * hours);
        looked(&world, &[by_hand()], &[]).await;
        assert_eq!(told(&world, NoticeKind::Overdue).await.len(), wanted, "{}", world.clock.now());
    }
    let notices = world.state.notices(0, 1).await.unwrap();
    let notice = &notices[0].notice;
    assert_eq!((notice.secret.as_deref(), notice.policy.as_deref()), (Some(SECRET), Some("test")));
    // Once it is rotated, it is young.
    let _ = world.to_the_end(&by_hand(), now()).await;
    world.clock.advance(DAY);
    looked(&world, &[by_hand()], &[]).await;
    assert_eq!(told(&world, NoticeKind::Overdue).await.len(), 3);
}

#[tokio::test]
async fn a_policy_that_rests_ages_too() {
    let world = World::in_place().await;
    world.clock.advance(DAY * 3);
    let aging = Aging { secret: SECRET.into(), policy: "rests".into(), max_age: DAY * 2 };
    looked(&world, &[], std::slice::from_ref(&aging)).await;
    looked(&world, &[], &[aging]).await;
    assert_eq!(told(&world, NoticeKind::Overdue).await, ["2026-03-04"]);
}

#[tokio::test]
async fn what_stands_still_is_told_of() {
    let world = World::in_place().await;
    let mut policy = by_hand();
    policy.max_age = None;
    policy.on_failure.then = Exhausted::Park;
    world.bank.plan("verify", [0], Trouble::RefusedForGood);
    let _ = world.to_the_end(&policy, now()).await;
    assert_eq!(told(&world, NoticeKind::Parked).await.len(), 1, "as it happens");
    for _ in 0..4 {
        world.clock.advance(HOUR * 12);
        looked(&world, std::slice::from_ref(&policy), &[]).await;
    }
    assert_eq!(told(&world, NoticeKind::Parked).await[1..], ["2026-03-02", "2026-03-03"], "each day");
}

/// What a daemon tells of a rotation that stands still, hour by hour.
async fn told_by_a_daemon(world: &World, policies: &[Policy], hours: u64) -> Vec<String> {
    let policies = policies.iter().cloned().map(Arc::new).collect();
    let stopping = CancellationToken::new();
    let schedule = Schedule::new(Arc::new(world.engine(Arc::new(Open))), policies, stopping.clone());
    let daemon = tokio::spawn(schedule.run(Until::Stopped));
    for _ in 0..=hours {
        // All that can be done at this moment.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        world.clock.advance(HOUR);
    }
    stopping.cancel();
    tokio::time::timeout(SOON, daemon).await.expect("it stops").expect("it does not panic").unwrap();
    told(world, NoticeKind::Failed).await
}

#[tokio::test]
async fn a_doubt_that_nobody_can_settle_is_told_of() {
    let world = World::in_place().await;
    let mut policy = by_hand();
    policy.max_age = None;
    world.bank.plan("apply", [0], Trouble::LostRequest);
    world.bank.plan("probe", 0..10_000, Trouble::LostRequest);
    let _ = world.turn(&policy, now()).await.unwrap();
    world.clock.advance(DAY);
    // Not as soon as a daemon starts, but from when it has tried for long; here applications may be refused.
    assert_eq!(told_by_a_daemon(&world, &[policy], 5).await, ["8", "16", "32"]);
}

#[tokio::test]
async fn what_nobody_takes_up_is_told_of() {
    let world = World::in_place().await;
    let left = keywheel_runtime::Order::Leave { by: "test".into(), reason: None };
    let _ = world.turn(&by_hand(), left).await.unwrap();
    world.clock.advance(DAY);
    assert_eq!(told_by_a_daemon(&world, &[], 5).await, ["1", "2", "4"], "ever more rarely");
}

#[tokio::test]
async fn a_digest_says_what_was_what_is_and_what_comes() {
    let world = World::in_place().await;
    let policies = [Arc::new(in_place())];
    let start = world.clock.now();
    let digest = async |since| {
        let engine = world.engine(Arc::new(Open));
        engine.digest(&policies, &[], since, world.clock.now()).await.unwrap()
    };
    world.clock.advance(HOUR);
    let _ = world.to_the_end(&in_place(), now()).await;
    world.clock.advance(DAY);
    let text = digest(start).await;
    assert!(text.contains(&format!("1 rotated: {SECRET}\n")), "{text}");
    assert!(text.contains("0 due within") && text.contains("0 under way") && text.contains("0 parked"), "{text}");
    // What was before is not told again, and the next one is near.
    world.clock.advance(DAY * 28);
    let since = world.clock.now().checked_add(jiff::SignedDuration::from_hours(-48)).unwrap();
    let text = digest(since).await;
    assert!(
        text.contains("0 rotated\n") && text.ends_with(&format!("1 due within as long from now: {SECRET}")),
        "{text}"
    );
}
