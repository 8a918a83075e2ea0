//! `verify`: as the application, read-only, and quiet about data.

use keywheel_sdk::{Answer, Call, Check, Effect, GrantParity, Retry, Rotator};
use std::time::{Duration, Instant};

use crate::scene::{Pair, fresh, login, server};

fn sql(statement: &str) -> Vec<Check> {
    vec![Check::Login, Check::Sql(statement.to_owned())]
}

#[tokio::test]
async fn checks_run_as_the_candidate_and_change_nothing() {
    let pair = Pair::new(GrantParity::Ignore).await;
    let call = pair.call();
    let table = fresh("orders");
    server()
        .sql(&format!(
            "CREATE TABLE {table} (a text); INSERT INTO {table} VALUES ('row-value-9'); GRANT ALL ON {table} TO {}",
            pair.idle()
        ))
        .await;
    pair.rotator.apply(&call, &pair.candidate, Some(&pair.current)).await.unwrap();
    let verify = async |statement: String| {
        pair.rotator.verify(&call, &pair.candidate, Some(&pair.current), &sql(&statement)).await
    };
    verify(format!("SELECT a FROM {table}")).await.unwrap();
    verify(format!("SELECT 1 / (CASE WHEN current_user = '{}' THEN 1 ELSE 0 END)", pair.idle())).await.unwrap();

    for (statement, code, retry) in [
        (format!("DELETE FROM {table}"), "25006", None),
        ("SELECT 1; SELECT 2".to_owned(), "42601", Some(Retry::Never)),
        ("SELECT rolpassword FROM pg_authid".to_owned(), "42501", Some(Retry::Never)),
        (format!("SELECT a::int FROM {table}"), "22P02", None),
    ] {
        let error = verify(statement.clone()).await.expect_err(&statement);
        assert_eq!((error.effect, error.code.as_str()), (Effect::None, code), "{statement}: {error:?}");
        assert!(retry.is_none_or(|retry| retry == error.retry), "{statement}: {error:?}");
        assert!(error.message.starts_with("check 2 failed"), "{error:?}");
        assert!(!error.message.contains("row-value-9"), "data in the error: {error:?}");
    }
    assert_eq!(server().sql(&format!("SELECT count(*) FROM {table}")).await, [[Some("1".to_owned())]]);
}

#[tokio::test]
async fn a_check_that_takes_too_long_ends_with_the_call() {
    let pair = Pair::new(GrantParity::Ignore).await;
    pair.rotator.apply(&pair.call(), &pair.candidate, Some(&pair.current)).await.unwrap();
    let short = Call { until: Instant::now() + Duration::from_secs(2), ..pair.call() };
    let checks = sql("SELECT pg_sleep(3600)");
    let error = pair.rotator.verify(&short, &pair.candidate, Some(&pair.current), &checks).await.unwrap_err();
    assert_eq!((error.effect, error.retry), (Effect::None, Retry::Now), "{error:?}");
}

#[tokio::test]
async fn a_server_that_gives_no_answer_is_no_no() {
    let pair = Pair::new(GrantParity::Ignore).await;
    // Nobody listens on port 1 of this machine.
    let target = keywheel_sdk::Target {
        settings: crate::scene::settings(1),
        strategy: pair.target.strategy.clone(),
        admin: keywheel_sdk::Admin::Credential(crate::scene::superuser()),
        generates: None,
    };
    let call = crate::scene::call(&target);
    let answer = pair.rotator.probe(&call, &pair.current, &[]).await;
    assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
    let error = pair.rotator.apply(&call, &pair.candidate, Some(&pair.current)).await.unwrap_err();
    assert_eq!(error.effect, Effect::None, "nothing was sent: {error:?}");
    assert!(matches!(error.retry, Retry::After(_)), "{error:?}");
}

#[tokio::test]
async fn too_many_connections_is_no_no() {
    let role = fresh("crowded");
    crate::scene::create_role(&role, "live-password").await;
    server().sql(&format!("ALTER ROLE {role} CONNECTION LIMIT 0")).await;
    let target = crate::scene::target(crate::scene::in_place(&role), keywheel_sdk::Admin::Own);
    let rotator = keywheel_postgres::PostgresRotator::new();
    let answer = rotator.probe(&crate::scene::call(&target), &login(&role, "live-password"), &[]).await;
    assert!(matches!(&answer, Answer::Unknown(error) if error.code == "53300"), "{answer:?}");
}

#[tokio::test]
async fn a_login_that_fails_for_another_reason_than_the_credential_is_no_no() {
    // `pg_hba.conf` of the shared server rejects this name, whatever the password.
    crate::scene::create_role("barred", "live-password").await;
    let target = crate::scene::target(crate::scene::in_place("barred"), keywheel_sdk::Admin::Own);
    let rotator = keywheel_postgres::PostgresRotator::new();
    let answer = rotator.probe(&crate::scene::call(&target), &login("barred", "live-password"), &[]).await;
    assert!(matches!(&answer, Answer::Unknown(error) if error.code == "28000"), "{answer:?}");

    // The password is right, the database is closed or absent: the credential is accepted.
    let (role, closed) = (fresh("orders"), fresh("closed"));
    crate::scene::create_role(&role, "live-password").await;
    server().sql(&format!("CREATE DATABASE {closed}")).await;
    server().sql(&format!("REVOKE CONNECT ON DATABASE {closed} FROM PUBLIC")).await;
    for database in [closed, "absent".to_owned()] {
        let mut target = crate::scene::target(crate::scene::in_place(&role), keywheel_sdk::Admin::Own);
        target.settings.insert("database".to_owned(), database.clone().into());
        let call = crate::scene::call(&target);
        assert_eq!(rotator.probe(&call, &login(&role, "live-password"), &[]).await, Answer::Yes, "{database}");
        let wrong = rotator.probe(&call, &login(&role, "wrong-password"), &[]).await;
        assert!(matches!(wrong, Answer::No { .. }), "{database}: {wrong:?}");
    }
}
