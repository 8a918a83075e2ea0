//! Late effects of earlier calls cannot win.

use std::time::{Duration, Instant};

use keywheel_postgres::PostgresRotator;
use keywheel_sdk::{Admin, Answer, Call, Effect, Rotator, Target};
use keywheel_testkit::{CutProxy, Fault};
use sqlx::Row;
use sqlx::postgres::PgConnection;

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
        generates: None,
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

/// Takes the lock of a role as anybody can who may log in: its number follows from the role's name.
async fn take_the_lock(holder: &str, password: &str, role: &str) -> (PgConnection, String) {
    let mut session = server().connect(holder, password).await.unwrap();
    let take = format!(
        "SELECT 1 / pg_try_advisory_lock(('x' || encode(substr(sha256(convert_to('keywheel postgres role v1', 'UTF8') \
         || '\\x00'::bytea || convert_to('{role}', 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint)::int, \
         pg_backend_pid()::text AS pid"
    );
    let row = sqlx::raw_sql(sqlx::AssertSqlSafe(take)).fetch_one(&mut session).await.expect("the lock was free");
    let pid = row.try_get_unchecked("pid").unwrap();
    (session, pid)
}

async fn lives(session: &mut PgConnection) -> bool {
    sqlx::raw_sql("SELECT 1").execute(session).await.is_ok()
}

#[tokio::test]
async fn a_stranger_that_takes_the_lock_is_displaced_and_cannot_block_a_rotation() {
    let (role, stranger) = (fresh("orders"), fresh("stranger"));
    create_role(&role, "live-password").await;
    create_role(&stranger, "strangers-password").await;
    let admin = role_admin(&[&role]).await;
    server().sql(&format!("GRANT pg_signal_backend TO {}", admin.username().unwrap())).await;
    let target = target(in_place(&role), Admin::Credential(admin));
    let (current, candidate) = (login(&role, "live-password"), login(&role, CANARY));
    let rotator = PostgresRotator::new();

    let (mut holder, _) = take_the_lock(&stranger, "strangers-password", &role).await;
    rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
    assert!(accepts(&candidate).await && !accepts(&current).await);
    assert!(!lives(&mut holder).await, "the stranger's session is gone");

    // A probe comes through as well.
    let (mut holder, _) = take_the_lock(&stranger, "strangers-password", &role).await;
    assert_eq!(rotator.probe(&call(&target), &candidate, &[&current]).await, Answer::Yes);
    assert!(!lives(&mut holder).await);
}

#[tokio::test]
async fn a_stranger_that_may_not_be_ended_is_named() {
    let (role, stranger) = (fresh("orders"), fresh("stranger"));
    create_role(&role, "live-password").await;
    create_role(&stranger, "strangers-password").await;
    // May change the role, and may not end other accounts' sessions.
    let admin = role_admin(&[&role]).await;
    let target = target(in_place(&role), Admin::Credential(admin));
    let (current, candidate) = (login(&role, "live-password"), login(&role, CANARY));
    let rotator = PostgresRotator::new();

    let (mut holder, pid) = take_the_lock(&stranger, "strangers-password", &role).await;
    let error = rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "fence-held"), "{error:?}");
    for part in [format!("`{stranger}` (pid {pid})"), "pg_signal_backend".to_owned()] {
        assert!(error.message.contains(&part), "`{part}`: {error:?}");
    }
    assert!(lives(&mut holder).await && accepts(&current).await);

    // When it has gone, the same rotator goes on.
    drop(holder);
    server().sql(&format!("SELECT pg_terminate_backend({pid}, 10000)")).await;
    rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_session_that_does_not_end_is_named() {
    let (role, stranger) = (fresh("orders"), fresh("stranger"));
    create_role(&role, "live-password").await;
    create_role(&stranger, "strangers-password").await;
    let target = target(in_place(&role), Admin::Credential(superuser()));
    let (current, candidate) = (login(&role, "live-password"), login(&role, CANARY));
    let rotator = PostgresRotator::new();

    let (_holder, pid) = take_the_lock(&stranger, "strangers-password", &role).await;
    // A process that stands still does not hear that it is to end.
    let signal = |name: &str| std::process::Command::new("kill").args([name, &pid]).status().unwrap().success();
    assert!(signal("-STOP"));
    let short = Call { until: Instant::now() + Duration::from_secs(3), ..call(&target) };
    let ended = rotator.apply(&short, &candidate, Some(&current)).await;
    assert!(signal("-CONT"));
    let error = ended.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "fence-held"), "{error:?}");
    for part in [format!("`{stranger}` (pid {pid})"), "did not go away".to_owned()] {
        assert!(error.message.contains(&part), "`{part}`: {error:?}");
    }
    assert!(accepts(&current).await);
    rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
}

#[tokio::test]
async fn a_dropped_call_leaves_no_lock_and_no_half_done_session() {
    let role = fresh("orders");
    create_role(&role, "live-password").await;
    let admin = role_admin(&[&role]).await;
    let admin_name = admin.username().unwrap();
    let proxy = CutProxy::start(([127, 0, 0, 1], server().port()).into()).await.unwrap();
    let target = Target {
        settings: settings(proxy.port()),
        strategy: in_place(&role),
        admin: Admin::Credential(admin),
        generates: None,
    };
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
