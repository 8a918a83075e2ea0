//! Late effects of earlier calls cannot win.

use std::time::{Duration, Instant};

use keywheel_postgres::PostgresRotator;
use keywheel_sdk::{Admin, Answer, Call, Effect, Rotator, Target};
use keywheel_testkit::{CutProxy, Fault};

use crate::scene::{
    CANARY, accepts, call, create_role, fresh, in_place, login, role_admin, server, settings, superuser, target,
};

/// The sessions of ours that stand inside a transaction.
async fn open_transactions(admin: &str) -> usize {
    let query =
        format!("SELECT 1 FROM pg_stat_activity WHERE usename = '{admin}' AND state LIKE 'idle in transaction%'");
    server().sql(&query).await.len()
}

#[tokio::test]
async fn a_stopped_writer_between_lock_and_change_cannot_change_after_a_no() {
    let role = fresh("orders");
    create_role(&role, "live-password").await;
    let admin = role_admin(&[&role]).await;
    let admin_name = admin.username().unwrap();
    let (current, candidate) = (login(&role, "live-password"), login(&role, CANARY));

    // A writer whose change is on its way and does not arrive: it holds the lock, its client hangs.
    let proxy = CutProxy::start(([127, 0, 0, 1], server().port()).into()).await.unwrap();
    proxy.arm(Fault::Stall { marker: b"ALTER ROLE".to_vec() });
    let late = Target {
        settings: settings(proxy.port()),
        strategy: in_place(&role),
        admin: Admin::Credential(admin.duplicate()),
    };
    let late_writer = PostgresRotator::new();
    // Long enough that the server's own time-outs do not end it first.
    let late_call = Call { until: Instant::now() + Duration::from_secs(3600), ..call(&late) };
    let mut hanging = std::pin::pin!(late_writer.apply(&late_call, &candidate, Some(&current)));
    tokio::select! {
        ended = &mut hanging => panic!("it must hang, it ended with {ended:?}"),
        () = proxy.wait_for_strikes(1) => {}
    }
    assert_eq!(open_transactions(&admin_name).await, 1, "the late writer stands before its change");

    // Another process probes. Its no must end the late writer.
    let fresh_process = PostgresRotator::new();
    let direct = target(in_place(&role), Admin::Credential(admin));
    let answer = fresh_process.probe(&call(&direct), &candidate, &[&current]).await;
    assert!(matches!(answer, Answer::No { .. }), "{answer:?}");
    assert_eq!(open_transactions(&admin_name).await, 0, "the late writer's session is gone");
    assert!(accepts(&current).await && !accepts(&candidate).await);
}

#[tokio::test]
async fn a_lock_that_is_held_by_somebody_elses_program_is_not_broken() {
    let role = fresh("orders");
    create_role(&role, "live-password").await;
    let target = target(in_place(&role), Admin::Credential(superuser()));
    let rotator = PostgresRotator::new();
    // Learn the lock's number from a writer that stands still.
    let proxy = CutProxy::start(([127, 0, 0, 1], server().port()).into()).await.unwrap();
    proxy.arm(Fault::Stall { marker: b"ALTER ROLE".to_vec() });
    let late =
        Target { settings: settings(proxy.port()), strategy: in_place(&role), admin: Admin::Credential(superuser()) };
    let (current, candidate) = (login(&role, "live-password"), login(&role, CANARY));
    let late_writer = PostgresRotator::new();
    let lock = {
        let late_call = Call { until: Instant::now() + Duration::from_secs(3600), ..call(&late) };
        let mut hanging = std::pin::pin!(late_writer.apply(&late_call, &candidate, Some(&current)));
        tokio::select! {
            ended = &mut hanging => panic!("it must hang, it ended with {ended:?}"),
            () = proxy.wait_for_strikes(1) => {}
        }
        let held = "SELECT (l.classid::bigint << 32) | l.objid::bigint FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                    WHERE locktype = 'advisory' AND application_name = 'keywheel' AND query LIKE '%rolname = ''";
        let rows = server().sql(&format!("{held}{role}''%'")).await;
        rows[0][0].clone().unwrap()
    };
    let probed = rotator.probe(&call(&target), &candidate, &[&current]).await;
    assert!(matches!(probed, Answer::No { .. }), "{probed:?}");

    // Now a stranger holds the same number.
    let mut stranger = server().connect("postgres", server().superuser().1).await.unwrap();
    let taken = sqlx::AssertSqlSafe(format!("SELECT 1 / pg_try_advisory_lock({lock})::int"));
    sqlx::raw_sql(taken).execute(&mut stranger).await.expect("the lock is free after the no");
    let short = Call { until: Instant::now() + Duration::from_millis(1500), ..call(&target) };
    let error = rotator.apply(&short, &candidate, Some(&current)).await.unwrap_err();
    assert_eq!(error.effect, Effect::None, "{error:?}");
    sqlx::raw_sql("SELECT 1").execute(&mut stranger).await.expect("the stranger's session still lives");
    assert!(accepts(&current).await);
}

#[tokio::test]
async fn a_dropped_call_leaves_no_lock_and_no_half_done_session() {
    let role = fresh("orders");
    create_role(&role, "live-password").await;
    let admin = role_admin(&[&role]).await;
    let admin_name = admin.username().unwrap();
    let proxy = CutProxy::start(([127, 0, 0, 1], server().port()).into()).await.unwrap();
    let target =
        Target { settings: settings(proxy.port()), strategy: in_place(&role), admin: Admin::Credential(admin) };
    let (current, candidate) = (login(&role, "live-password"), login(&role, CANARY));
    let rotator = PostgresRotator::new();
    // A first call leaves an idle session, which the second one takes.
    assert_eq!(rotator.probe(&call(&target), &current, &[]).await, Answer::Yes);
    proxy.arm(Fault::StallAfterEffect { marker: b"ALTER ROLE".to_vec() });
    let the_call = call(&target);
    {
        let mut hanging = std::pin::pin!(rotator.apply(&the_call, &candidate, Some(&current)));
        tokio::select! {
            ended = &mut hanging => panic!("it must hang, it ended with {ended:?}"),
            () = proxy.wait_for_strikes(1) => {}
        }
    }
    // The effect was there, and the same rotator goes on with a sound session.
    assert_eq!(rotator.probe(&the_call, &candidate, &[&current]).await, Answer::Yes);
    assert_eq!(open_transactions(&admin_name).await, 0);
}

#[tokio::test]
async fn an_idle_session_that_was_cut_meanwhile_is_replaced_without_an_error() {
    let role = fresh("orders");
    create_role(&role, "live-password").await;
    let admin = role_admin(&[&role]).await;
    let admin_name = admin.username().unwrap();
    let target = target(in_place(&role), Admin::Credential(admin));
    let rotator = PostgresRotator::new();
    let (current, candidate) = (login(&role, "live-password"), login(&role, CANARY));
    assert_eq!(rotator.probe(&call(&target), &current, &[]).await, Answer::Yes);
    let ended = server()
        .sql(&format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '{admin_name}'"))
        .await;
    assert_eq!(ended, [[Some("t".to_owned())]], "there was one idle session");
    rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
    assert!(accepts(&candidate).await);
}
