//! `preflight` finds what would make a rotation fail, all of it at once.

use keywheel_postgres::PostgresRotator;
use keywheel_sdk::{Admin, Finding, GrantParity, Rotator, Severity, Strategy, Target};
use keywheel_testkit::{PostgresOptions, PostgresServer};

use crate::scene::{
    Pair, alternating, call, create_role, fresh, in_place, login, role_admin, server, settings, superuser, target,
};

async fn findings(target: &Target) -> Vec<Finding> {
    PostgresRotator::new().preflight(&call(target), None).await.unwrap()
}

fn has(findings: &[Finding], severity: Severity, part: &str) -> bool {
    findings.iter().any(|finding| finding.severity == severity && finding.what.contains(part))
}

#[tokio::test]
async fn a_sound_target_has_no_errors() {
    let pair = Pair::new(GrantParity::Require).await;
    let found = findings(&pair.target).await;
    assert!(found.iter().all(|finding| finding.severity != Severity::Error), "{found:#?}");
    assert!(has(&found, Severity::Fine, "the same rights"), "{found:#?}");
    assert!(has(&found, Severity::Fine, "a wrong password is refused"), "{found:#?}");
    assert!(has(&found, Severity::Warning, "the admin is a superuser"), "{found:#?}");
}

#[tokio::test]
async fn all_findings_come_at_once() {
    let (first, second) = (fresh("orders_a"), fresh("missing"));
    create_role(&first, "first-password").await;
    server().sql(&format!("ALTER ROLE {first} VALID UNTIL '2999-01-01' CONNECTION LIMIT 1")).await;
    let weak = fresh("weak_admin");
    create_role(&weak, "weak-password").await;
    let strategy = alternating(&first, &second, GrantParity::Require);
    let found = findings(&target(strategy, Admin::Credential(login(&weak, "weak-password")))).await;
    for (severity, part) in [
        (Severity::Error, "there is no role `missing"),
        (Severity::Error, "the admin may not change the role `orders_a"),
        (Severity::Warning, "has a `VALID UNTIL`"),
        (Severity::Warning, "low CONNECTION LIMIT"),
        (Severity::Warning, "cannot read `pg_authid`"),
        (Severity::Warning, "can end sessions of its own account only"),
    ] {
        assert!(has(&found, severity, part), "{part} in {found:#?}");
    }
}

#[tokio::test]
async fn a_role_admin_with_the_right_grants_has_no_errors() {
    let role = fresh("orders");
    create_role(&role, "live-password").await;
    let admin = role_admin(&[&role]).await;
    let found = findings(&target(in_place(&role), Admin::Credential(admin))).await;
    assert!(found.iter().all(|finding| finding.severity != Severity::Error), "{found:#?}");
    assert!(has(&found, Severity::Fine, "the admin may change the role"), "{found:#?}");
}

#[tokio::test]
async fn a_superuser_cannot_be_changed_by_a_role_admin() {
    let role = fresh("boss");
    create_role(&role, "live-password").await;
    server().sql(&format!("ALTER ROLE {role} SUPERUSER")).await;
    let admin = role_admin(&[&role]).await;
    let found = findings(&target(in_place(&role), Admin::Credential(admin))).await;
    assert!(has(&found, Severity::Error, "is a superuser, and the admin is none"), "{found:#?}");
}

#[tokio::test]
async fn differences_are_an_error_or_a_warning_as_the_policy_says() {
    for (parity, severity) in [(GrantParity::Require, Severity::Error), (GrantParity::Warn, Severity::Warning)] {
        let pair = Pair::new(parity).await;
        server().sql(&format!("ALTER ROLE {} CREATEDB", pair.idle())).await;
        let found = findings(&pair.target).await;
        assert!(has(&found, severity, "attribute CREATEDB"), "{found:#?}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_no_password_is_found() {
    // `pg_hba.conf` of the shared server trusts this name.
    create_role("trusting", "whatever").await;
    // The first role of the pair may not log in, so only the second one shows it.
    let locked = fresh("locked");
    server().sql(&format!("CREATE ROLE {locked}")).await;
    let strategy = alternating(&locked, "trusting", GrantParity::Ignore);
    let found = findings(&target(strategy, Admin::Credential(superuser()))).await;
    assert!(has(&found, Severity::Error, "with any password"), "{found:#?}");
}

#[tokio::test]
async fn an_admin_that_cannot_log_in_is_a_finding() {
    let role = fresh("orders");
    create_role(&role, "live-password").await;
    let found = findings(&target(in_place(&role), Admin::Credential(login("postgres", "wrong")))).await;
    assert!(has(&found, Severity::Error, "could not log in as the admin"), "{found:#?}");
    assert!(has(&found, Severity::Fine, "a wrong password is refused"), "the rest is still looked at: {found:#?}");
}

#[tokio::test]
async fn a_sibling_that_will_be_created_is_a_warning() {
    let (first, second) = (fresh("orders_a"), fresh("missing"));
    create_role(&first, "first-password").await;
    let users = [first, second];
    let strategy = Strategy::Alternating { users, grant_parity: GrantParity::Require, create_missing: true };
    let found = findings(&target(strategy, Admin::Credential(superuser()))).await;
    assert!(has(&found, Severity::Warning, "there is no role `missing"), "{found:#?}");
    assert!(found.iter().all(|finding| finding.severity != Severity::Error), "{found:#?}");
}

#[tokio::test]
async fn a_standby_is_found_and_refuses_changes_without_effect() {
    let options = PostgresOptions { standby: true, ..PostgresOptions::default() };
    let standby = PostgresServer::start_with(&options).unwrap();
    let (name, password) = standby.superuser();
    let target = Target {
        settings: settings(standby.port()),
        strategy: in_place(name),
        admin: Admin::Credential(login(name, password)),
        generates: None,
    };
    let found = findings(&target).await;
    assert!(has(&found, Severity::Error, "read-only standby"), "{found:#?}");
    let error = PostgresRotator::new().apply(&call(&target), &login(name, "new"), None).await.unwrap_err();
    assert_eq!(error.effect, keywheel_sdk::Effect::None, "{error:?}");
    assert!(error.message.contains("primary"), "{error:?}");
}
