//! A process that is told to stop finishes the step at work and begins no other.

use std::sync::Arc;
use std::time::Duration;

use keywheel_core::{Progress, Step};
use keywheel_runtime::{Order, Schedule, Stop, Until};
use tokio_util::sync::CancellationToken;

use crate::world::{Gate, Open, World, in_place, now};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn no_step_begins_once_told_to_stop() {
    let world = World::in_place().await;
    let stopping = CancellationToken::new();
    stopping.cancel();
    let turned = world.engine(Arc::new(Open)).turn(&in_place(), &now(), 0, &stopping).await.unwrap();
    assert_eq!(turned.unwrap().1, Stop::Stopping);
    assert!(world.bank.calls().is_empty());
    assert_eq!(world.standing().await.progress, Progress::Ready { step: Step::Generate, hold: None });
    assert_eq!(world.to_the_end(&in_place(), Order::GoOn).await, Stop::Done);
}

#[tokio::test]
async fn the_step_at_work_is_finished_and_recorded() {
    let world = World::in_place().await;
    let (stopping, gate) = (CancellationToken::new(), Gate::at("target/apply/before"));
    let (engine, token) = (world.engine(Arc::clone(&gate) as _), stopping.clone());
    let worker = tokio::spawn(async move { engine.turn(&in_place(), &now(), 0, &token).await });
    tokio::time::timeout(SOON, gate.stopped.notified()).await.unwrap();
    stopping.cancel();
    gate.go.notify_one();
    let turned = tokio::time::timeout(SOON, worker).await.unwrap().unwrap().unwrap();
    assert_eq!(turned.unwrap().1, Stop::Stopping);
    assert_eq!(world.bank.calls(), ["apply app"]);
    assert_eq!(world.standing().await.progress, Progress::Ready { step: Step::Verify, hold: None });
    assert_eq!(world.to_the_end(&in_place(), Order::GoOn).await, Stop::Done);
    world.assert_one_credential().await;
}

#[tokio::test]
async fn a_schedule_told_to_stop_returns_with_nothing_at_work() {
    let world = World::in_place().await;
    let _ = world.turn(&in_place(), Order::Leave { by: "test".into(), reason: None }).await.unwrap();
    let (stopping, gate) = (CancellationToken::new(), Gate::at("target/apply/before"));
    let engine = Arc::new(world.engine(Arc::clone(&gate) as _));
    let schedule = Schedule::new(engine, vec![Arc::new(in_place())], stopping.clone());
    let daemon = tokio::spawn(schedule.run(Until::Stopped));
    tokio::time::timeout(SOON, gate.stopped.notified()).await.unwrap();
    stopping.cancel();
    gate.go.notify_one();
    tokio::time::timeout(SOON, daemon).await.unwrap().unwrap().unwrap();
    assert_eq!(world.bank.calls(), ["apply app"]);
    assert_eq!(world.standing().await.progress, Progress::Ready { step: Step::Verify, hold: None });
}

#[tokio::test]
async fn a_schedule_that_makes_way_leaves_its_turn_to_end_by_itself() {
    let world = World::in_place().await;
    let _ = world.turn(&in_place(), Order::Leave { by: "test".into(), reason: None }).await.unwrap();
    let (stopping, making_way) = (CancellationToken::new(), CancellationToken::new());
    let gate = Gate::at("target/apply/before");
    let engine = Arc::new(world.engine(Arc::clone(&gate) as _));
    let schedule = |engine| Schedule::new(engine, vec![Arc::new(in_place())], stopping.clone());
    let (earlier, token) = (schedule(Arc::clone(&engine)), making_way.clone());
    let earlier = tokio::spawn(async move { earlier.run_until(Until::Stopped, &token).await });
    tokio::time::timeout(SOON, gate.stopped.notified()).await.unwrap();
    making_way.cancel();
    let retired = tokio::time::timeout(SOON, earlier).await.expect("it waits for nobody").unwrap().unwrap();
    let retired = retired.expect("it made way");

    // The next one, over the same stores, is kept off by the lease.
    let next = tokio::spawn(schedule(Arc::new(world.engine(Arc::new(Open)))).run(Until::Idle));
    tokio::time::timeout(SOON, next).await.expect("it comes to rest").unwrap().unwrap();
    assert_eq!(world.bank.calls(), [""; 0], "the earlier one is at it");
    gate.go.notify_one();
    tokio::time::timeout(SOON, retired.done()).await.expect("it ends by itself");
    assert_eq!(world.latest().await.state.progress, Progress::Done, "and all the way");
    world.assert_one_credential().await;
}
