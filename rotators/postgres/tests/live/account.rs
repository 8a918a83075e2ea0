//! Accounts as they come: odd names, forbidden logins, expired passwords, missing siblings.

use keywheel_postgres::PostgresRotator;
use keywheel_sdk::{Admin, Answer, Check, Effect, GrantParity, Retry, RevokeHow, Rotator, Strategy, Target};
use keywheel_testkit::{PostgresOptions, PostgresServer};

use crate::scene::{
    CANARY, Pair, accepts, call, create_role, fresh, in_place, login, quoted, role_admin, server, superuser, target,
};

#[tokio::test]
async fn names_that_need_quoting_are_only_names() {
    let long = format!("{}_{}", fresh("l"), "x".repeat(63));
    for name in ["we\"ird; drop".to_owned(), "Łódź 'quoted' \\ role".to_owned(), long[..63].to_owned()] {
        create_role(&name, "live-password").await;
        let admin = role_admin(&[&name]).await;
        let target = target(in_place(&name), Admin::Credential(admin));
        let rotator = PostgresRotator::new();
        let (current, candidate) = (login(&name, "live-password"), login(&name, CANARY));
        let call = call(&target);
        assert_eq!(rotator.probe(&call, &current, &[]).await, Answer::Yes, "{name}");
        rotator.apply(&call, &candidate, Some(&current)).await.unwrap();
        rotator.verify(&call, &candidate, Some(&current), &[Check::Login]).await.unwrap();
        rotator
            .revoke(&call, &current, &candidate, RevokeHow { disable: true, terminate_sessions: true })
            .await
            .unwrap();
        assert!(accepts(&candidate).await && !accepts(&current).await, "{name}");
    }
}

#[tokio::test]
async fn a_name_that_the_server_would_cut_off_is_refused() {
    let long = "x".repeat(64);
    let target = target(in_place(&long), Admin::Credential(superuser()));
    let error = PostgresRotator::new().apply(&call(&target), &login(&long, CANARY), None).await.unwrap_err();
    assert_eq!((error.effect, error.retry), (Effect::None, Retry::Never));
    assert!(error.message.contains("63 bytes"), "{}", error.message);
    let answer = PostgresRotator::new().probe(&call(&target), &login(&long, CANARY), &[]).await;
    assert!(matches!(answer, Answer::Unknown(_)), "the cut-off name is another role's: {answer:?}");
}

#[tokio::test]
async fn an_account_outside_the_policy_is_not_touched() {
    let (ours, other) = (fresh("ours"), fresh("other"));
    create_role(&ours, "ours-password").await;
    create_role(&other, "others-password").await;
    let target = target(in_place(&ours), Admin::Credential(superuser()));
    let rotator = PostgresRotator::new();
    let foreign = login(&other, CANARY);
    let errors = [
        rotator.apply(&call(&target), &foreign, None).await.unwrap_err(),
        rotator.restore(&call(&target), &foreign, None).await.unwrap_err(),
        rotator
            .revoke(
                &call(&target),
                &foreign,
                &login(&ours, "ours-password"),
                RevokeHow { disable: true, terminate_sessions: true },
            )
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.effect, error.retry), (Effect::None, Retry::Never), "{error:?}");
    }
    assert!(accepts(&login(&other, "others-password")).await);
}

#[tokio::test]
async fn an_idle_sibling_that_may_not_log_in_and_has_expired_is_revived() {
    let pair = Pair::new(GrantParity::Require).await;
    let idle = quoted(&pair.idle());
    server().sql(&format!("ALTER ROLE {idle} NOLOGIN VALID UNTIL '2001-01-01'")).await;
    let live = quoted(&pair.live());
    server().sql(&format!("ALTER ROLE {live} VALID UNTIL '2999-12-31'")).await;
    let call = pair.call();
    assert!(matches!(pair.rotator.probe(&call, &pair.candidate, &[]).await, Answer::No { .. }));
    pair.rotator.apply(&call, &pair.candidate, Some(&pair.current)).await.unwrap();
    pair.rotator.verify(&call, &pair.candidate, Some(&pair.current), &[Check::Login]).await.unwrap();
    let until =
        server().sql(&format!("SELECT rolvaliduntil::date FROM pg_roles WHERE rolname = '{}'", pair.idle())).await;
    assert_eq!(until, [[Some("2999-12-31".to_owned())]], "as long as its sibling");

    // And back: revoked with `disable`, the first one may not log in until its next turn.
    let how = RevokeHow { disable: true, terminate_sessions: true };
    pair.rotator.revoke(&call, &pair.current, &pair.candidate, how).await.unwrap();
    let login_right =
        server().sql(&format!("SELECT rolcanlogin FROM pg_roles WHERE rolname = '{}'", pair.live())).await;
    assert_eq!(login_right, [[Some("f".to_owned())]]);
    let next = login(&pair.live(), "the-next-candidate");
    pair.rotator.apply(&call, &next, Some(&pair.candidate)).await.unwrap();
    assert!(accepts(&next).await && accepts(&pair.candidate).await);
}

#[tokio::test]
async fn a_single_role_that_was_locked_on_purpose_stays_locked() {
    for (lock, code) in [("NOLOGIN", "nologin"), ("VALID UNTIL '2001-01-01'", "expired")] {
        let role = fresh("orders");
        create_role(&role, "live-password").await;
        server().sql(&format!("ALTER ROLE {role} {lock}")).await;
        let target = target(in_place(&role), Admin::Credential(superuser()));
        let error = PostgresRotator::new().apply(&call(&target), &login(&role, CANARY), None).await.unwrap_err();
        assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Never, code));
        let answer = PostgresRotator::new().probe(&call(&target), &login(&role, "live-password"), &[]).await;
        assert!(matches!(answer, Answer::No { .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn a_missing_sibling_is_created_as_a_copy() {
    let (first, second, group) = (fresh("orders_a"), fresh("orders_b"), fresh("readers"));
    create_role(&first, "first-password").await;
    server()
        .sql(&format!(
            "CREATE ROLE {group}; GRANT {group} TO {first} WITH ADMIN OPTION; ALTER ROLE {first} CONNECTION LIMIT 7 NOINHERIT \
             CREATEDB; ALTER ROLE {first} SET search_path TO \"$user\", \"odd, name\", public; ALTER ROLE {first} IN DATABASE \
             postgres SET statement_timeout TO '30s'; ALTER ROLE {first} SET app.tenant TO 'it''s \\ this'"
        ))
        .await;
    let strategy = |create_missing| Strategy::Alternating {
        users: [first.clone(), second.clone()],
        grant_parity: GrantParity::Require,
        create_missing,
    };
    let (current, candidate) = (login(&first, "first-password"), login(&second, CANARY));
    let rotator = PostgresRotator::new();

    let without = target(strategy(false), Admin::Credential(superuser()));
    let error = rotator.apply(&call(&without), &candidate, Some(&current)).await.unwrap_err();
    assert_eq!((error.effect, error.retry), (Effect::None, Retry::Never), "{error:?}");
    assert!(server().sql(&format!("SELECT 1 FROM pg_roles WHERE rolname = '{second}'")).await.is_empty());

    let with = target(strategy(true), Admin::Credential(superuser()));
    rotator.apply(&call(&with), &candidate, Some(&current)).await.unwrap();
    // `verify` requires parity, so it compares attributes, memberships and settings.
    rotator.verify(&call(&with), &candidate, Some(&current), &[Check::Login]).await.unwrap();
    assert!(accepts(&candidate).await && accepts(&current).await);
}

#[tokio::test]
async fn a_sibling_that_cannot_be_copied_whole_is_not_created_at_all() {
    let (first, second) = (fresh("orders_a"), fresh("orders_b"));
    create_role(&first, "first-password").await;
    server().sql(&format!("ALTER ROLE {first} REPLICATION")).await;
    let admin = role_admin(&[&first]).await;
    let strategy = Strategy::Alternating {
        users: [first.clone(), second.clone()],
        grant_parity: GrantParity::Require,
        create_missing: true,
    };
    let target = target(strategy, Admin::Credential(admin));
    let (current, candidate) = (login(&first, "first-password"), login(&second, CANARY));
    let error = PostgresRotator::new().apply(&call(&target), &candidate, Some(&current)).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Never, "42501"));
    assert!(server().sql(&format!("SELECT 1 FROM pg_roles WHERE rolname = '{second}'")).await.is_empty());
}

#[tokio::test]
async fn the_live_account_is_never_a_candidate() {
    let pair = Pair::new(GrantParity::Ignore).await;
    let wrong = login(&pair.live(), CANARY);
    for error in [
        pair.rotator.apply(&pair.call(), &wrong, Some(&pair.current)).await.unwrap_err(),
        pair.rotator.restore(&pair.call(), &wrong, Some(&pair.current)).await.unwrap_err(),
    ] {
        assert_eq!((error.effect, error.retry), (Effect::None, Retry::Never), "{error:?}");
    }
    assert!(accepts(&pair.current).await);
}

#[tokio::test]
async fn alternating_without_an_admin_is_refused_with_the_reason() {
    let mut pair = Pair::new(GrantParity::Ignore).await;
    pair.target.admin = Admin::Own;
    let error = pair.rotator.apply(&pair.call(), &pair.candidate, Some(&pair.current)).await.unwrap_err();
    assert_eq!((error.retry, error.code.as_str()), (Retry::Never, "self-managed"));
}

#[tokio::test]
async fn a_role_whose_sessions_are_read_only_by_default_can_still_manage_itself() {
    let role = fresh("orders");
    create_role(&role, "live-password").await;
    server()
        .sql(&format!(
            "ALTER ROLE {role} SET default_transaction_read_only = on; ALTER ROLE {role} SET search_path = nowhere; \
             ALTER ROLE {role} SET synchronous_commit = off"
        ))
        .await;
    let target = target(in_place(&role), Admin::Own);
    let rotator = PostgresRotator::new();
    let (current, candidate) = (login(&role, "live-password"), login(&role, CANARY));
    rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
    rotator
        .revoke(&call(&target), &current, &candidate, RevokeHow { disable: false, terminate_sessions: false })
        .await
        .unwrap();
    assert!(accepts(&candidate).await);
}

#[tokio::test]
async fn a_role_that_knows_none_of_its_passwords_says_so() {
    let role = fresh("orders");
    create_role(&role, "somebody-else-set-this").await;
    let target = target(in_place(&role), Admin::Own);
    let rotator = PostgresRotator::new();
    let (current, candidate) = (login(&role, "live-password"), login(&role, CANARY));
    let error = rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Never, "locked-out"));
    let answer = rotator.probe(&call(&target), &candidate, &[&current]).await;
    assert!(matches!(answer, Answer::Unknown(_)), "nothing could be fenced: {answer:?}");
    let heartbeat = rotator.probe(&call(&target), &current, &[]).await;
    assert!(matches!(heartbeat, Answer::No { .. }), "{heartbeat:?}");
}

#[tokio::test]
async fn a_value_that_the_servers_password_policy_refuses_asks_for_another_one() {
    // PostgreSQL's own `passwordcheck` cannot look into a verifier, but it tries the role's name as password.
    let settings = vec!["shared_preload_libraries = 'passwordcheck'".to_owned()];
    let server = PostgresServer::start_with(&PostgresOptions { settings, ..PostgresOptions::default() }).unwrap();
    server.sql("CREATE ROLE orders_of_today LOGIN").await;
    let (name, password) = server.superuser();
    let target = Target {
        settings: crate::scene::settings(server.port()),
        strategy: in_place("orders_of_today"),
        admin: Admin::Credential(login(name, password)),
        generates: None,
    };
    let rotator = PostgresRotator::new();
    let error = rotator.apply(&call(&target), &login("orders_of_today", "orders_of_today"), None).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::NewCandidate, "22023"));
    rotator.apply(&call(&target), &login("orders_of_today", CANARY), None).await.unwrap();
}

#[tokio::test]
async fn the_previous_one_is_refused_only_while_the_server_keeps_what_was_set() {
    let role = fresh("orders");
    create_role(&role, "first-password").await;
    let target = target(in_place(&role), Admin::Credential(superuser()));
    let (rotator, how) = (PostgresRotator::new(), RevokeHow { disable: false, terminate_sessions: false });
    let (previous, current) = (login(&role, "first-password"), login(&role, "ﬁxed-password-9"));
    rotator.apply(&call(&target), &current, Some(&previous)).await.unwrap();
    rotator.revoke(&call(&target), &previous, &current, how).await.unwrap();
    assert!(!accepts(&previous).await);

    // Another text, and yet the same password to the server.
    let alike = login(&role, "fixed-password-9");
    let error = rotator.revoke(&call(&target), &alike, &current, how).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "not-revoked"));
    assert!(accepts(&alike).await);

    server().sql(&format!("ALTER ROLE {role} PASSWORD 'first-password'")).await;
    let error = rotator.revoke(&call(&target), &previous, &current, how).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, "not-revoked"));
}
