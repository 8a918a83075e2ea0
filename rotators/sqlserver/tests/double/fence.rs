//! The fence: no late effect of an earlier call can win.

use std::time::Duration;

use keywheel_sdk::{Answer, Effect as Did, Rotator};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_sqlserver_double::{Effect, Fault, Reply, Value};

use crate::scene::{Scene, login, site, within};

#[tokio::test]
async fn a_writer_that_sleeps_with_the_lock_is_ended_and_its_late_change_does_not_happen() {
    let scene = Scene::in_place(site());
    // A writer whose change is on its way and does not arrive: it holds the lock, its client hangs.
    let stalled = site().server.faults().arm(Fault::at_text(scene.live(), Effect::StallBefore).skip(1));
    let late_writer = SqlServerRotator::new();
    let late_call = within(&scene.target, Duration::from_secs(3600));
    let late = late_writer.apply(&late_call, &scene.candidate, Some(&scene.current));
    let mut late = std::pin::pin!(late);
    tokio::select! {
        _ = &mut late => panic!("the late writer was to hang"),
        () = stalled.wait_for(1) => {}
    }
    // Its successor asks. The no is final: the late writer's session is gone.
    let answer = scene.rotator.probe(&scene.call(), &scene.candidate, &[&scene.current]).await;
    assert!(matches!(answer, Answer::No { .. }), "{answer:?}");
    let error = late.await.unwrap_err();
    assert_eq!(error.effect, Did::Unknown, "{error:?}");
    let winner = login(&scene.live(), "The-winners-password-1");
    scene.rotator.apply(&scene.call(), &winner, Some(&scene.current)).await.unwrap();
    assert!(site().accepts(&winner, None) && !site().accepts(&scene.candidate, None));
}

#[tokio::test]
async fn nothing_is_sent_once_the_time_is_over() {
    let scene = Scene::in_place(site());
    let call = within(&scene.target, Duration::ZERO);
    let error = scene.rotator.apply(&call, &scene.candidate, Some(&scene.current)).await.unwrap_err();
    assert_eq!(error.effect, Did::None, "{error:?}");
    assert!(site().accepts(&scene.current, None) && !site().accepts(&scene.candidate, None));
}

#[tokio::test]
async fn without_the_right_to_end_sessions_the_lock_is_waited_for_and_its_holder_named() {
    let scene = Scene::in_place(site());
    let stalled = site().server.faults().arm(Fault::at_text(scene.live(), Effect::StallBefore).skip(1));
    let late_writer = SqlServerRotator::new();
    let late_call = within(&scene.target, Duration::from_secs(3600));
    let mut late = Box::pin(late_writer.apply(&late_call, &scene.candidate, Some(&scene.current)));
    tokio::select! {
        _ = &mut late => panic!("the late writer was to hang"),
        () = stalled.wait_for(1) => {}
    }
    let least = site().admin(&["ALTER ANY LOGIN", "VIEW SERVER STATE"]);
    let target = crate::scene::target(site().settings(), scene.target.strategy.clone(), least);
    let call = within(&target, Duration::from_secs(8));
    let error = scene.rotator.apply(&call, &scene.candidate, Some(&scene.current)).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Did::None, "fence-held"), "{error:?}");
    assert!(error.message.contains("of `sa`"), "{error:?}");
    // The hanging client goes, and with it the lock.
    drop(late);
    let call = within(&target, Duration::from_secs(60));
    scene.rotator.apply(&call, &scene.candidate, Some(&scene.current)).await.unwrap();
    assert!(site().accepts(&scene.candidate, None));
}

#[tokio::test]
async fn no_call_leaves_its_lock_behind() {
    let own = crate::scene::Site::of(keywheel_sqlserver_double::Version::V2022);
    let scene = Scene::alternating(&own);
    let call = scene.call();
    scene.rotator.apply(&call, &scene.candidate, Some(&scene.current)).await.unwrap();
    scene.rotator.probe(&call, &scene.candidate, &[]).await;
    scene.rotator.revoke(&call, &scene.current, &scene.candidate, crate::sessions::END).await.unwrap();
    scene.rotator.restore(&call, &scene.current, None).await.unwrap();
    let replies =
        own.server.execute("SELECT COUNT(*) AS n FROM sys.dm_tran_locks WHERE resource_type = N'APPLICATION'");
    assert!(replies.unwrap().contains(&Reply::Row(vec![Value::Int(0)])));
}
